//! Where the time of a server's processor goes, and how often it asks for memory, on the three paths that count: broadcasting, storing,
//! catching up.

mod load;
mod memory;
mod samples;

use std::time::Duration;

use anyhow::{Context as _, Result};

use self::load::Load;
use crate::{
    document::{Document, Section},
    program::Programs,
};

/// What the table has rows for: the crates whose names begin so. Whatever is the kernel's, or memory's, is that, whoever asked for it.
const AREAS: [(&str, &[&str]); 7] = [
    ("this library", &["chat_"]),
    ("HTTP and WebSocket", &["axum", "hyper", "tungstenite", "tokio_tungstenite", "tower", "http"]),
    ("JSON", &["serde", "serde_json", "itoa", "simdutf8"]),
    ("PostgreSQL's client", &["sqlx"]),
    ("tokio and futures", &["tokio", "mio", "futures"]),
    (KERNEL, &[]),
    (MEMORY, &[]),
];
const KERNEL: &str = "the kernel: network, waking up";
const MEMORY: &str = "getting, copying and giving back memory";
const REST: &str = "all else";

/// What was found of a path.
struct Profiled {
    load: Load,
    shares: Vec<f64>,
    /// Of processor time.
    seen: Duration,
    asked: f64,
}

pub(crate) async fn run(programs: &Programs, document: &Document) -> Result<Section> {
    let folder = tempfile::tempdir()?;
    let mut paths = Vec::new();
    let mut charts = Vec::new();
    for load in load::all() {
        eprintln!("{}", load.title);
        let sampled = samples::of(programs, &load, folder.path()).await.with_context(|| load.title)?;
        if let Some((beside, name)) = document.charts()? {
            let file = format!("flame-{}.svg", load.name);
            samples::draw(&sampled, load.title, &beside.join(&file))?;
            charts.push((format!("{name}/{file}"), format!("where the time goes: {}", load.title)));
        }
        let asked = memory::asked(programs, &load, folder.path()).await.with_context(|| load.title)?;
        let seen = Duration::from_nanos(sampled.iter().map(|(_, nanoseconds)| nanoseconds).sum());
        paths.push(Profiled { load, shares: shares(&sampled), seen, asked });
    }
    Ok(section(&paths, charts))
}

/// The share of each area, in order, and of the rest.
fn shares(stacks: &[(String, u64)]) -> Vec<f64> {
    let mut sums = vec![0; AREAS.len() + 1];
    for (stack, count) in stacks {
        let area = AREAS.iter().position(|(name, _)| *name == area(stack)).unwrap_or(AREAS.len());
        sums[area] += count;
    }
    let all: u64 = sums.iter().sum();
    sums.into_iter().map(|sum| 100.0 * sum as f64 / all.max(1) as f64).collect()
}

/// What a stack's time counts for: where it is, and else the nearest caller that is of an area.
fn area(stack: &str) -> &'static str {
    let mut frames = stack.rsplit(';');
    let innermost = frames.clone().next().unwrap_or_default();
    if innermost.ends_with("_[k]") {
        return KERNEL;
    }
    const OF_MEMORY: [&str; 10] =
        ["malloc", "free", "realloc", "calloc", "cfree", "memcpy", "memmove", "memset", "memalign", "_int_"];
    if OF_MEMORY.iter().any(|name| innermost.contains(name)) {
        return MEMORY;
    }
    let found = frames.find_map(|frame| {
        let of = krate(frame);
        AREAS.iter().find(|(_, crates)| crates.iter().any(|name| of.starts_with(name)))
    });
    found.map_or(REST, |(name, _)| name)
}

/// The crate of a function's name, such as `a` of `<a::B as c::D>::e`.
fn krate(frame: &str) -> &str {
    let name = frame.trim_start_matches(|c: char| "<&[(*".contains(c));
    let name =
        ["mut ", "dyn ", "const "].iter().fold(name, |name, word| name.strip_prefix(word).unwrap_or(name));
    name.split("::").next().unwrap_or_default()
}

fn section(paths: &[Profiled], charts: Vec<(String, String)>) -> Section {
    let names = AREAS.iter().map(|(name, _)| *name).chain([REST]);
    let mut rows: Vec<Vec<String>> = names
        .enumerate()
        .map(|(row, name)| {
            let cells = paths.iter().map(|path| format!("{:.1} %", path.shares[row]));
            [name.to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    let seen = paths.iter().map(|path| format!("{:.1} s", path.seen.as_secs_f64()));
    rows.push(["all of it".to_owned()].into_iter().chain(seen).collect());
    let asked = paths.iter().map(|path| format!("{:.2} for each {}", path.asked, path.load.unit));
    rows.push(["memory is asked for".to_owned()].into_iter().chain(asked).collect());
    let head = ["where"].into_iter().chain(paths.iter().map(|path| path.load.title)).map(str::to_owned);
    let mut notes: Vec<String> =
        paths.iter().map(|path| format!("{}: {}", path.load.title, path.load.done)).collect();
    let counted = paths.iter().filter(|path| !path.load.counted.is_empty());
    notes.extend(counted.map(|Profiled { load, .. }| {
        format!("{}, while it is counted how often memory is asked for: {}", load.title, load.counted)
    }));
    notes.push("Of a stack that is in none of these, the nearest caller counts that is. How often memory is asked for comes of more runs, of different lengths: what the longer one asked for more often, by what it did more.".into());
    Section {
        title: "Where the time goes".into(),
        done: format!(
            "The server's processor time, sampled {} times a second by `perf`; calls of the allocator, counted by `heaptrack`'s library.",
            samples::FREQUENCY
        ),
        head: head.collect(),
        rows,
        notes,
        charts,
        ..Section::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_counts_for_where_it_is_and_else_for_its_nearest_caller() {
        assert_eq!(area("tokio::run;chat_gateway::send;tcp_sendmsg_[k]"), KERNEL);
        assert_eq!(area("chat_core::hub::deliver;_int_malloc"), MEMORY);
        assert_eq!(area("tokio::run;<chat_core::Hub as core::Any>::deliver;core::ptr::drop"), "this library");
        assert_eq!(
            area("chat_core::f;<alloc::vec::Vec<T>>::push;<&mut tungstenite::S>::write"),
            "HTTP and WebSocket"
        );
        assert_eq!(area("start;main"), REST);
    }

    #[test]
    fn shares_are_of_all() {
        let stacks = [("chat_core::a".to_owned(), 1), ("tokio::b".to_owned(), 2), ("c".to_owned(), 1)];
        let shares = shares(&stacks);
        assert_eq!((shares[0], shares[4], shares[AREAS.len()]), (25.0, 50.0, 25.0));
    }
}
