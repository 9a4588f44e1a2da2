//! Groups: a send is answered once Kafka has it; a worker stores it, and then all are told.

use anyhow::{Context as _, Result};
use chat_load::places::Place;
use chat_test_services::{Kafka, Postgres, Redis};
use serde_json::{Value, json};

use crate::{
    Extent,
    document::Section,
    program::{Programs, Server},
    systems::{self, PAIRS, System, post, tokens},
};

const OURS: &str = "examples/axum-group";
const THEIRS: &str = "NestJS, KafkaJS";
const STEADY: f64 = 200.0;

fn claims() -> Value {
    json!({ "email": "somebody@example.com" })
}

pub(crate) async fn run(programs: &Programs, extent: Extent) -> Result<Section> {
    let names = [OURS, THEIRS];
    let all = systems::compare(extent, "group", &claims(), STEADY, &names, async |name| {
        start(programs, name).await
    })
    .await?;
    let done = format!(
        "Groups (`docs/migrating/group.md`): a gateway and a worker each, on one Kafka (one broker, `acks=all`), one PostgreSQL and one Redis; the second rate is {STEADY} a second. A delivery is after the storing."
    );
    Ok(systems::section("Queued sends: the group", &done, &all, "after Kafka's acknowledgement"))
}

async fn start(programs: &Programs, name: &'static str) -> Result<System> {
    let database = Postgres::shared().await?.database().await?;
    let (redis, kafka) = (Redis::shared().await?, Kafka::shared().await?);
    let prefix = kafka.prefix();
    let command = |ours: &str, role: &str| {
        let mut command = if name == OURS {
            programs.ours(ours)
        } else {
            let mut command = programs.node("out/nest-group/main.js");
            command.arg(role);
            command
        };
        command
            .env("DATABASE_URL", database.url())
            .env("REDIS_URL", redis.url())
            .env("KAFKA_BROKERS", kafka.url())
            .env("KAFKA_TOPIC_PREFIX", format!("{prefix}."))
            .env("KAFKA_PARTITIONS", "6")
            .env("RATE_LIMITS", "off")
            .env("DRAIN_WINDOW", "0s");
        if name == OURS {
            command.env("REDIS_PREFIX", redis.prefix());
        }
        command
    };
    // Each makes the topics and tables that are missing, and both may do so at once.
    let gateway = Server::listening(name, command("example-axum-group", "gateway"))?;
    let ready = if name == OURS { "working: 6 partitions" } else { "working on " };
    let worker = Server::start(name, command("example-axum-group-worker", "worker"), ready)?;
    let tokens = tokens(claims())?;
    let mut places = Vec::new();
    for pair in 0..PAIRS {
        let (one, other) = (format!("ann-{pair}"), format!("bob-{pair}"));
        let room =
            post(&gateway, &tokens.of(&one)?, "/rooms", json!({ "name": format!("pair {pair}") })).await?;
        let room = room["id"]
            .as_str()
            .or(room["roomId"].as_str())
            .with_context(|| format!("no id of a room: {room}"))?
            .to_owned();
        post(&gateway, &tokens.of(&other)?, &format!("/rooms/{room}/join"), json!({})).await?;
        places.push(Place { room, users: vec![one, other] });
    }
    let gives = if name == OURS {
        "one order for all, dedup, a crash announces again"
    } else {
        "order of live events and history may differ"
    };
    Ok(System { gives, servers: vec![gateway, worker], places, _stores: Box::new(database) })
}
