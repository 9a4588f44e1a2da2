//! axum-quickstart: write-through, or with a hot log.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use chat_core::{RoomId, UserId};
use serde_json::json;

use super::{Kind, SECRET, database, first, listen, needed};
use crate::{
    client::{Person, Protocol, Role},
    cluster::Ground,
    http,
    node::{self, Spec},
};

const ROOMS: [&str; 2] = ["tea", "coffee"];
/// The last one only reads.
pub(super) const PEOPLE: [(&str, Protocol); 5] = [
    ("Ann", Protocol::Json),
    ("Bob", Protocol::Json),
    ("Cy", Protocol::Json),
    ("Di", Protocol::Json),
    ("Eve", Protocol::Events),
];

pub(super) fn gateway(kind: Kind, number: usize, port: u16, ground: &Ground) -> Result<Spec> {
    let words = ["--no-rate-limits", "--token-lifetime", "7days", "--drain-window", "1s", "--listen"];
    let mut arguments: Vec<String> = words.map(str::to_owned).into();
    arguments.push(listen(port));
    if kind == Kind::HotLog {
        arguments.push("--hot-log".to_owned());
    }
    Ok(Spec {
        name: format!("{} gateway {number}", kind.name()),
        kind,
        role: node::Role::Gateway,
        program: "example-axum-quickstart",
        arguments,
        environment: vec![
            database(ground),
            ("REDIS_URL", needed(&ground.redis_url)?),
            ("CHAT_SECRET", SECRET.to_owned()),
            ("CHAT_REDIS_PREFIX", kind.name().to_owned()),
        ],
    })
}

pub(super) async fn people(gateways: &[SocketAddr]) -> Result<(Vec<RoomId>, Vec<Role>)> {
    let at = first(gateways)?;
    let rooms: Vec<RoomId> = ROOMS.iter().map(|room| RoomId::new(room)).collect::<Result<_, _>>()?;
    let mut roles = Vec::new();
    for (name, protocol) in PEOPLE {
        let (_, guest) = http::request(at, "POST", "/guest", None, Some(&json!({ "name": name }))).await?;
        let field = |name: &str| guest[name].as_str().context("a guest is not let in");
        let person = Person { user: UserId::new(field("user")?)?, token: field("token")?.to_owned() };
        roles.push(Role { name: name.to_owned(), person, protocol, rooms: rooms.clone() });
    }
    let owner = &roles[0].person.token;
    for room in &rooms {
        http::done(at, "POST", "/chat/rooms", owner, Some(&json!({ "id": room }))).await?;
        for role in &roles[1..] {
            let path = format!("/chat/rooms/{room}/members/{}", role.person.user);
            http::done(at, "PUT", &path, owner, Some(&json!({}))).await?;
        }
    }
    Ok((rooms, roles))
}
