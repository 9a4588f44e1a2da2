//! Buyers and sellers: a send is answered once PostgreSQL has committed it.

use anyhow::{Context as _, Result};
use chat_load::places::Place;
use chat_test_services::Postgres;
use serde_json::{Value, json};

use crate::{
    Extent,
    document::Section,
    program::{Programs, Server, finish},
    systems::{self, PAIRS, System, post, tokens},
};

const OURS: &str = "examples/axum-shop";
const THEIRS: &str = "NestJS, TypeORM";
/// Each with an owner, who has a session for each of its rooms: nobody may have any number of them.
const STORES: usize = 8;
/// What the slower one keeps up with.
const STEADY: f64 = 200.0;

/// A seller may buy too.
fn claims() -> Value {
    json!({ "role": "SELLER" })
}

pub(crate) async fn run(programs: &Programs, extent: Extent) -> Result<Section> {
    let names = [OURS, THEIRS];
    let all =
        systems::compare(extent, "shop", &claims(), STEADY, &names, async |name| start(programs, name).await)
            .await?;
    let done = format!(
        "Buyers and sellers (`docs/migrating/shop.md`), both on one PostgreSQL with `fsync` and `synchronous_commit`, each with a database of its own; the second rate is {STEADY} a second."
    );
    Ok(systems::section("Durable sends: the shop", &done, &all, "after the commit"))
}

async fn start(programs: &Programs, name: &'static str) -> Result<System> {
    let database = Postgres::shared().await?.database().await?;
    let url = database.url().to_owned();
    let command = || {
        let mut command = if name == OURS {
            programs.ours("example-axum-shop")
        } else {
            programs.node("out/nest-shop/main.js")
        };
        command.env("DATABASE_URL", &url).env("RATE_LIMITS", "off").env("DRAIN_WINDOW", "0s");
        command
    };
    for number in 0..STORES {
        let mut store = command();
        store.args(["store", &number.to_string(), &format!("seller-{number}"), "Flowers"]);
        finish(name, store)?;
    }
    let server = Server::listening(name, command())?;
    let tokens = tokens(claims())?;
    let mut places = Vec::new();
    for buyer in 0..PAIRS {
        let (store, buyer) = (buyer % STORES, format!("buyer-{buyer}"));
        let room =
            post(&server, &tokens.of(&buyer)?, "/user/chat-room", json!({ "storeId": store.to_string() }))
                .await?;
        let room = room["id"]
            .as_str()
            .or(room["roomId"].as_str())
            .with_context(|| format!("no id of a room: {room}"))?;
        places.push(Place { room: room.to_owned(), users: vec![buyer, format!("seller-{store}")] });
    }
    let gives = if name == OURS {
        "dedup, exact resume, any number of processes"
    } else {
        "no dedup, no resume, one process"
    };
    Ok(System { gives, servers: vec![server], places, _stores: Box::new(database) })
}
