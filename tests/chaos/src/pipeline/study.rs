//! axum-study: two study groups, with STOMP over WebSocket and over SockJS.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use chat_core::RoomId;
use serde_json::json;

use super::{Kind, SECRET, database, first, listen, needed, person};
use crate::{
    client::{Person, Protocol, Role},
    cluster::Ground,
    http,
    node::{self, Spec},
};

const PEOPLE: [&str; 4] = ["1", "2", "3", "4"];
const STUDIES: [u64; 2] = [101, 102];

pub(super) fn gateway(number: usize, port: u16, ground: &Ground) -> Result<Spec> {
    Ok(Spec {
        name: format!("study gateway {number}"),
        kind: Kind::Study,
        role: node::Role::Gateway,
        program: "example-axum-study",
        arguments: Vec::new(),
        environment: vec![
            database(ground),
            ("REDIS_URL", needed(&ground.redis_url)?),
            ("REDIS_PREFIX", "study".to_owned()),
            ("REDIS_CHANNEL", "study:messages".to_owned()),
            ("KAFKA_BROKERS", needed(&ground.brokers)?),
            ("JWT_SECRET", SECRET.to_owned()),
            ("INTERNAL_TOKEN", "a token of other services".to_owned()),
            ("SENDS_PER_SECOND", "1000".to_owned()),
            ("LISTEN", listen(port)),
            ("DRAIN", "1s".to_owned()),
        ],
    })
}

pub(super) async fn people(gateways: &[SocketAddr]) -> Result<(Vec<RoomId>, Vec<Role>)> {
    let at = first(gateways)?;
    let persons: Vec<Person> = PEOPLE.iter().map(|name| person(name, &[])).collect::<Result<_>>()?;
    let mut rooms = Vec::new();
    for study in STUDIES {
        let body = json!({ "studyId": study, "name": "Rust" });
        let made = http::done(at, "POST", "/api/chat/rooms", &persons[0].token, Some(&body)).await?;
        let room = made["chatRoomId"].as_u64().context("a room without id")?;
        for person in &persons[1..] {
            let path = format!("/api/chat/rooms/{room}/join");
            http::done(at, "POST", &path, &person.token, None).await?;
        }
        rooms.push(RoomId::new(&room.to_string())?);
    }
    let role = |(number, person): (usize, Person)| {
        let protocol = if number % 2 == 0 { Protocol::Stomp } else { Protocol::StompOverSockJs };
        Role { name: format!("user {}", person.user), person, protocol, rooms: rooms.clone() }
    };
    let roles = persons.into_iter().enumerate().map(role).collect();
    Ok((rooms, roles))
}
