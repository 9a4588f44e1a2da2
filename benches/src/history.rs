//! What more messages cost: the same sends and reads in rooms of 1,000 to 10,000,000 messages.

use anyhow::{Context as _, Result};
use chat_load::chart::{self, Labels};
use serde_json::Value;

use crate::{
    Extent,
    document::{Document, Section, count, times},
    parts,
    program::Programs,
};

/// What is measured: its name in the output, and in the table.
const MEASURED: [(&str, &str); 5] = [
    ("send", "a send, committed"),
    ("newest", "the newest 50"),
    ("anywhere", "50 anywhere before"),
    ("missed", "100 that were missed"),
    ("unread", "unread number"),
];
/// Messages of the largest room.
const MOST: u64 = 10_000_000;
const MOST_QUICKLY: u64 = 1_000_000;

pub(crate) fn run(programs: &Programs, extent: Extent, document: &Document) -> Result<Section> {
    let most = if extent.full { MOST } else { MOST_QUICKLY };
    let settings = [("CHAT_BENCH_MESSAGES", most.to_string())];
    let printed = parts::printed(programs, "chat-backend-postgres", "growth", &settings)?;
    let rooms: Vec<Value> =
        printed.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(printed.clone())?;
    section(&rooms, document)
}

fn number(room: &Value, name: &str) -> Result<f64> {
    room[name].as_f64().with_context(|| format!("no {name} in {room}"))
}

fn section(rooms: &[Value], document: &Document) -> Result<Section> {
    let smallest = rooms.first().context("nothing was measured")?;
    let mut rows = Vec::new();
    for room in rooms {
        let mut row = vec![count(number(room, "messages")?)];
        for (name, _) in MEASURED {
            let (time, least) = (number(room, name)?, number(smallest, name)?);
            row.push(format!("{} ({})", count(time), times(time / least)));
        }
        row.push(format!("{} MiB", count(number(room, "database")? / 1_048_576.0)));
        rows.push(row);
    }
    let words = MEASURED.map(|(_, words)| words);
    let head = ["messages"].into_iter().chain(words).chain(["the database then"]).map(str::to_owned);
    Ok(Section {
        title: "Growth: messages".into(),
        done: "Rooms on PostgreSQL, each with ten times as many messages as the one before, which stays beside it. Medians of 200 in µs, and against the smallest room. The server's cache (`shared_buffers`) has 256 MiB. Pages anywhere and clients' ids are random: others each time.".into(),
        head: head.collect(),
        rows,
        charts: charts(rooms, document)?,
        notes: vec!["Everything is found by an index on room and position, which gets a level deeper with every few hundred times as many messages. Nothing counts or passes over what lies between.".into()],
        ..Section::default()
    })
}

fn charts(rooms: &[Value], document: &Document) -> Result<Vec<(String, String)>> {
    let Some((folder, name)) = document.charts()? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for (measured, words) in MEASURED {
        let points = rooms.iter().map(|room| Ok((number(room, "messages")?, number(room, measured)?)));
        lines.push((words.to_owned(), points.collect::<Result<_>>()?));
    }
    let labels = Labels {
        title: "A room with more and more messages, p50",
        x: "messages",
        y: "microseconds",
        logarithmic: true,
    };
    chart::lines(&folder.join("growth-messages.svg"), labels, &lines)?;
    Ok(vec![(format!("{name}/growth-messages.svg"), "latency by the number of messages".to_owned())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_room_is_told_against_the_smallest() {
        let room = |messages: u64, time: u64| json!({ "messages": messages, "send": time, "newest": 10, "anywhere": 10, "missed": 10, "unread": 10, "database": 1 << 20 });
        let document = Document::printed();
        let section = section(&[room(1_000, 100), room(10_000, 150)], &document).unwrap();
        assert_eq!(section.rows[1][..2], ["10,000", "150 (1.50 ×)"]);
        assert_eq!(section.rows[1][6], "1 MiB");
        assert!(super::section(&[], &document).is_err());
        assert!(super::section(&[json!({ "messages": 1 })], &document).is_err());
    }
}
