//! What an unread count costs, derived and remembered, with Redis in front of PostgreSQL.
//!
//! One user in 20 rooms asks for all of them: while nothing happens, and after each new entry in one of them; and marks.
#![allow(clippy::unwrap_used, reason = "a benchmark says why by panicking")]

use std::time::{Duration, Instant};

use chat_core::testkit::{
    LogHarness as _, LogNode,
    fixtures::{create_room, draft, fill, room, store, user},
};
use chat_test_tiers::{Behind, Front, Tiers};

const ROOMS: usize = 20;
const TIMES: usize = 400;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!("times in microseconds: median and 99th of 100, of {TIMES} calls for {ROOMS} rooms");
    for remembering in [false, true] {
        let tiers = Tiers::new(Front::Single, Behind::Postgres, 1_000);
        let tiers = if remembering { tiers.remembering() } else { tiers };
        let node = tiers.nodes(1).await.remove(0);
        let what = if remembering { "remembered" } else { "derived" };
        measure(&node, what).await;
    }
}

async fn measure(node: &LogNode, what: &str) {
    let rooms: Vec<_> = (0..ROOMS).map(|number| room(&format!("r{number}"))).collect();
    let mut heads = Vec::new();
    for room in &rooms {
        create_room(node, room.as_str(), &["ann", "bob"]).await;
        heads.extend(fill(node, room.as_str(), "bob", 200).await);
    }
    let ann = user("ann");
    let mut quiet = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        node.rooms.unread(&ann, &rooms).await.unwrap();
        quiet.push(begun.elapsed());
    }
    let mut moving = Vec::new();
    for number in 0..TIMES {
        let of = rooms[number % ROOMS].as_str();
        store(node, draft(of, "bob", &format!("m{number}"), "hello")).await;
        let begun = Instant::now();
        node.rooms.unread(&ann, &rooms).await.unwrap();
        moving.push(begun.elapsed());
    }
    let mut marks = Vec::new();
    for head in heads.iter().step_by(heads.len() / TIMES) {
        let of = &rooms[marks.len() * ROOMS / TIMES];
        let begun = Instant::now();
        node.rooms.mark_read(of, &ann, &head.cursor).await.unwrap();
        marks.push(begun.elapsed());
    }
    for (when, mut times) in [("quiet", quiet), ("after an entry", moving), ("marks", marks)] {
        times.sort_unstable();
        let [median, high] = [times[times.len() / 2], times[times.len() * 99 / 100]];
        let micros = |time: Duration| time.as_micros();
        println!("{what:>11} {when:<15} {:>6} {:>6}", micros(median), micros(high));
    }
}
