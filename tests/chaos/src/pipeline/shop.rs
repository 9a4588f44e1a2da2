//! axum-shop: a store, its owner on two devices, and three buyers, each in a room of their own with the store.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use chat_core::RoomId;
use serde_json::json;

use super::{Kind, SECRET, database, first, listen, person};
use crate::{
    client::{Protocol, Role},
    cluster::Ground,
    http,
    node::{self, Node, Spec},
};

const STORE: &str = "7";
const OWNER: &str = "sue";
const BUYERS: [&str; 3] = ["ann", "bob", "cy"];

pub(super) fn gateway(number: usize, port: u16, ground: &Ground) -> Spec {
    Spec {
        name: format!("shop gateway {number}"),
        kind: Kind::Shop,
        role: node::Role::Gateway,
        program: "example-axum-shop",
        arguments: Vec::new(),
        environment: vec![
            database(ground),
            ("JWT_SECRET", SECRET.to_owned()),
            ("LISTEN", listen(port)),
            ("RATE_LIMITS", "off".to_owned()),
            ("DRAIN_WINDOW", "1s".to_owned()),
        ],
    }
}

pub(super) async fn people(gateways: &[SocketAddr], node: &Node) -> Result<(Vec<RoomId>, Vec<Role>)> {
    node.run_once(&["store", STORE, OWNER, "Sue's flowers"]).await?;
    let at = first(gateways)?;
    let (mut rooms, mut roles) = (Vec::new(), Vec::new());
    for buyer in BUYERS {
        let person = person(buyer, &[("role", "USER")])?;
        let body = json!({ "storeId": STORE });
        let made = http::done(at, "POST", "/user/chat-room", &person.token, Some(&body)).await?;
        let id = ["id", "roomId"].iter().find_map(|name| made[name].as_str()).context("a room without id")?;
        let room = RoomId::new(id)?;
        let role =
            Role { name: buyer.to_owned(), person, protocol: Protocol::Shop, rooms: vec![room.clone()] };
        roles.push(role);
        rooms.push(room);
    }
    let owner = person(OWNER, &[("role", "SELLER")])?;
    for device in ["phone", "desk"] {
        let name = format!("{OWNER} ({device})");
        roles.push(Role { name, person: owner.clone(), protocol: Protocol::Shop, rooms: rooms.clone() });
    }
    Ok((rooms, roles))
}
