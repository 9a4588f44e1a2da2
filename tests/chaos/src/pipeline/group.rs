//! axum-group: gateways and workers with Kafka between them.

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

const PEOPLE: [&str; 4] = ["ann", "bob", "cy", "di"];
const ROOMS: [&str; 3] = ["tea", "coffee", "water"];

pub(super) fn gateway(number: usize, port: u16, ground: &Ground) -> Result<Spec> {
    let environment = vec![
        ("REDIS_URL", needed(&ground.redis_url)?),
        ("REDIS_PREFIX", "group".to_owned()),
        ("JWT_SECRET", SECRET.to_owned()),
        ("LISTEN", listen(port)),
        ("RATE_LIMITS", "off".to_owned()),
        ("DRAIN_WINDOW", "1s".to_owned()),
    ];
    spec(format!("queued gateway {number}"), node::Role::Gateway, "example-axum-group", ground, environment)
}

pub(super) fn worker(number: usize, ground: &Ground) -> Result<Spec> {
    let name = format!("queued worker {number}");
    spec(name, node::Role::Worker, "example-axum-group-worker", ground, Vec::new())
}

fn spec(
    name: String,
    role: node::Role,
    program: &'static str,
    ground: &Ground,
    mut environment: Vec<(&'static str, String)>,
) -> Result<Spec> {
    environment.extend([
        database(ground),
        ("KAFKA_BROKERS", needed(&ground.brokers)?),
        ("KAFKA_TOPIC_PREFIX", "group.".to_owned()),
        ("KAFKA_PARTITIONS", "4".to_owned()),
    ]);
    Ok(Spec { name, kind: Kind::Queued, role, program, arguments: Vec::new(), environment })
}

pub(super) async fn people(gateways: &[SocketAddr]) -> Result<(Vec<RoomId>, Vec<Role>)> {
    let at = first(gateways)?;
    let mail = |name: &&str| person(name, &[("email", &format!("{name}@example.com"))]);
    let persons: Vec<Person> = PEOPLE.iter().map(mail).collect::<Result<_>>()?;
    let mut rooms = Vec::new();
    for name in ROOMS {
        let made =
            http::done(at, "POST", "/rooms", &persons[0].token, Some(&json!({ "name": name }))).await?;
        let id = made["id"].as_str().context("a room without id")?;
        for person in &persons[1..] {
            http::done(at, "POST", &format!("/rooms/{id}/join"), &person.token, None).await?;
        }
        rooms.push(RoomId::new(id)?);
    }
    let role = |person: Person| Role {
        name: person.user.to_string(),
        person,
        protocol: Protocol::Group,
        rooms: rooms.clone(),
    };
    let roles = persons.into_iter().map(role).collect();
    Ok((rooms, roles))
}
