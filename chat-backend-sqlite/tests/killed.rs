//! A process that is killed in the middle of its work loses nothing it was promised, and the file goes on.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use chat_backend_sqlite::SqliteBackend;
use chat_core::{
    AppendOutcome, ClientMessageId, Content, Draft, Epoch, MessageId, Refusal, RoomId, Seq, UserId,
    testkit::fixtures::{create_room, draft, room, store, user},
};
use support::{
    audit::{self, RoomRead},
    child,
    load::{self, ROOMS, Said, WRITERS, room_name, writer_name},
    node, open,
};

const ROUNDS: u64 = 50;
/// A process that has said nothing after so long will not.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the process that other tests kill"]
async fn writes_until_it_is_killed() {
    let Some((file, seed)) = child::asked() else { return };
    load::run(open(&file).await, seed).await;
}

/// What was promised and is still to be kept.
#[derive(Default)]
struct Promises {
    tried: BTreeMap<Key, Content>,
    stored: BTreeMap<Key, (Seq, MessageId)>,
    read: BTreeMap<(RoomId, UserId), Seq>,
    guests: BTreeMap<(RoomId, UserId), (u64, bool)>,
    oldest: BTreeMap<RoomId, Seq>,
    copies: Vec<PathBuf>,
}

type Key = (RoomId, UserId, ClientMessageId);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_in_the_middle_of_load_take_nothing_that_was_acknowledged() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.db");
    let epoch = begin(&file).await;
    let mut promises = Promises::default();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let wait = Duration::from_millis(random.u64(10..150));
        let said = kill_in_the_middle(&file, random.u64(..), wait);
        acknowledged += said.iter().filter(|said| matches!(said, Said::Stored(..))).count();
        promises.note(said);
        if round % 3 == 0 {
            kill_while_it_opens(&file, Duration::from_millis(random.u64(..60)));
        }
        eprintln!("round {round}: killed after {wait:?}, {acknowledged} acknowledged so far");
        let backend = open(&file).await;
        assert_eq!(support::epoch(&backend, &room_name(0)).await, epoch, "cursors from before are honoured");
        let rooms = audit::everything(&backend).await;
        promises.are_kept(&backend, &rooms).await;
        promises.try_again(&backend, &mut random).await;
        let id = room(&room_name(random.usize(..ROOMS)));
        let read = audit::read(&backend, &id).await;
        for word in ["pear", "plum"] {
            audit::finds_what_is_there(&backend, &id, &read, &user(&writer_name(0)), word).await;
        }
        promises.copies_open().await;
        backend.close().await.unwrap();
    }
    assert!(acknowledged > 1_000, "the load was no load: {acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_file_is_made_leaves_one_that_opens() {
    for millis in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat.db");
        kill_while_it_opens(&file, Duration::from_millis(millis * 4));
        let backend = open(&file).await;
        audit::sound(&file).await;
        create_room(&node(&backend), "r", &["ann"]).await;
        store(&node(&backend), draft("r", "ann", "c1", "hello")).await;
        backend.close().await.unwrap();
    }
}

async fn begin(file: &Path) -> Epoch {
    let backend = open(file).await;
    let writers: Vec<String> = (0..WRITERS).map(writer_name).collect();
    let writers: Vec<&str> = writers.iter().map(String::as_str).collect();
    for number in 0..ROOMS {
        create_room(&node(&backend), &room_name(number), &writers).await;
    }
    let epoch = support::epoch(&backend, &room_name(0)).await;
    backend.close().await.unwrap();
    epoch
}

fn kill_while_it_opens(file: &Path, after: Duration) {
    let mut process = child::start("writes_until_it_is_killed", file, 0);
    // Its pipe is long enough for what it may say in this time; what it says is not waited for.
    std::thread::sleep(after);
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Everything it said until the kill.
fn kill_in_the_middle(file: &Path, seed: u64, after: Duration) -> Vec<Said> {
    let mut process = child::start("writes_until_it_is_killed", file, seed);
    let output = BufReader::new(process.stderr.take().unwrap());
    let (lines, said) = mpsc::channel();
    let reader =
        std::thread::spawn(move || output.lines().for_each(|line| lines.send(line.unwrap()).unwrap()));
    let parse =
        |line: String| serde_json::from_str(&line).unwrap_or_else(|_| panic!("the process said: {line}"));
    let mut all: Vec<Said> = Vec::new();
    while !matches!(all.last(), Some(Said::Stored(..))) {
        all.push(parse(said.recv_timeout(PATIENCE).unwrap()));
    }
    std::thread::sleep(after);
    process.kill().unwrap();
    process.wait().unwrap();
    all.extend(said.iter().map(parse));
    reader.join().unwrap();
    all
}

impl Promises {
    fn note(&mut self, said: Vec<Said>) {
        self.tried.clear();
        for said in said {
            match said {
                Said::Trying(room, user, client, content) => {
                    self.tried.insert((room, user, client), content);
                }
                Said::Stored(room, user, client, seq, id) => {
                    let again = self.stored.insert((room, user, client), (seq, id));
                    assert_eq!(again, None);
                }
                Said::Read(room, user, seq) => {
                    let known = self.read.entry((room, user)).or_default();
                    *known = seq.max(*known);
                }
                Said::Member { room, user, current, version } => {
                    self.guests.insert((room, user), (version, current));
                }
                Said::Trimmed(room, seq) => {
                    let known = self.oldest.entry(room).or_default();
                    *known = seq.max(*known);
                }
                Said::Copied(copy) => self.copies.push(copy),
            }
        }
    }

    async fn are_kept(&mut self, backend: &SqliteBackend, rooms: &BTreeMap<RoomId, RoomRead>) {
        self.stored.retain(|(room, ..), (seq, _)| *seq >= rooms[room].head.oldest);
        for ((room, user, client), (seq, id)) in &self.stored {
            let read = &rooms[room];
            let index = usize::try_from(seq.since(read.head.oldest)).unwrap();
            let entry =
                read.entries.get(index).unwrap_or_else(|| panic!("{client} of {user} is not in {room}"));
            let found = (&entry.sender, &entry.client_id, entry.seq(), entry.position.id);
            assert_eq!(found, (user, client, *seq, *id));
        }
        for (room, oldest) in &self.oldest {
            assert!(rooms[room].head.oldest >= *oldest, "what was trimmed is back in {room}");
        }
        let rooms = node(backend).rooms;
        for ((room, user), seq) in &self.read {
            let markers = rooms.read_markers(room, None, 1_000).await.unwrap();
            let marker = markers.iter().find(|marker| marker.user == *user).unwrap();
            assert!(marker.cursor.seq >= *seq, "{user} had read up to {seq:?} of {room}: {marker:?}");
        }
        for ((room, user), (version, current)) in &self.guests {
            let member = rooms.member(room, user).await.unwrap().unwrap();
            assert!(member.version >= *version, "{member:?} {version}");
            assert!(member.version > *version || member.is_current() == *current, "{member:?} {current}");
        }
    }

    /// Sends again what was not answered, and some of what was.
    async fn try_again(&mut self, backend: &SqliteBackend, random: &mut fastrand::Rng) {
        let tried = std::mem::take(&mut self.tried);
        for (key, content) in tried {
            let known = self.stored.get(&key).copied();
            if known.is_some() && random.u8(..10) > 0 {
                continue;
            }
            let (room, user, client) = key.clone();
            let again = Draft::new(room, user, client, content);
            let outcome = node(backend).log.append(std::slice::from_ref(&again)).await.unwrap().remove(0);
            let position = match (outcome, known) {
                (AppendOutcome::Duplicate(position), Some(known)) => {
                    assert_eq!((position.cursor.seq, position.id), known);
                    continue;
                }
                (AppendOutcome::New(position) | AppendOutcome::Duplicate(position), None) => position,
                // It was stored and answered, and trimmed since; or what it changes was.
                (AppendOutcome::Refused(Refusal::TargetMissing), None)
                    if again.content.target().is_some() =>
                {
                    continue;
                }
                (outcome, known) => panic!("{again:?} became {outcome:?}, was {known:?}"),
            };
            self.stored.insert(key, (position.cursor.seq, position.id));
        }
    }

    /// A copy that was promised is whole.
    async fn copies_open(&mut self) {
        for copy in std::mem::take(&mut self.copies) {
            audit::sound(&copy).await;
            std::fs::remove_file(copy).unwrap();
        }
    }
}
