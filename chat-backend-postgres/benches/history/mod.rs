//! Rooms with as much history as asked for. The server makes it itself, straight in the tables and with the counters that as
//! many appends would have left: through the log, 10 million messages would take an hour.

use std::time::Duration;

use chat_backend_postgres::PostgresBackend;
use chat_core::{MemberChange, NewRoom, Role, RoomId, UserId};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};
use tokio::time::Instant;

/// Sentences that the texts are made of: prime, so that no period of another number meets theirs.
const SENTENCES: usize = 1_009;
/// Messages in one statement.
const STEP: u64 = 1_000_000;

/// Words that come often, seldom and hardly ever, as in a language.
const WORDS: [&str; 24] = [
    "the", "meeting", "is", "at", "noon", "tomorrow", "please", "bring", "green", "tea", "and", "a",
    "report", "about", "release", "deadline", "회의", "내일", "会議", "東京", "北京", "开会", "😀", "thanks",
];

/// Messages `$from` to `$to` of every room in `$rooms`: every tenth of ann's, the others bob's, one each millisecond.
const FILL: &str = "
INSERT INTO chat.entries (room, seq, ordinal, own, id_high, id_low, authority, kind, body_kind, timeline, countable,
    sender, client_id, fingerprint, body)
SELECT r.room, n, n, CASE WHEN n % 10 = 0 THEN n / 10 ELSE n - n / 10 END,
    (1700000000000 + n) << 16, (r.room << 32) + (random() * 2000000000)::bigint, 0, 0, 1, true, true,
    CASE WHEN n % 10 = 0 THEN 'ann' ELSE 'bob' END, 'c' || n, decode(md5(n::text) || md5(r.id), 'hex'),
    n || ' ' || s.text || CASE WHEN n % 1000 = 0 THEN ' pineapple' ELSE '' END || $word
FROM chat.rooms r CROSS JOIN generate_series($from::bigint, $to::bigint) AS n JOIN sentences s ON s.number = n % $sentences
WHERE r.id = ANY ($rooms) ORDER BY r.room, n";
const COUNT: &str = "
UPDATE chat.rooms SET head = $to, countable = $to, last_activity = 1700000000000 + $to,
    last_id = (1700000000000 + $to) << 16
WHERE id = ANY ($rooms)";
/// As the search would have been told. All words are folded as they are.
const SEARCH: &str = "
INSERT INTO chat.search (id_high, id_low, room, seq, body)
SELECT e.id_high, e.id_low, e.room, e.seq, e.body FROM chat.entries e JOIN chat.rooms r ON r.room = e.room
WHERE r.id = ANY ($rooms) AND e.seq > $after";
const PLACES: &str = "
INSERT INTO chat.search_places (room, upto) SELECT r.room, $to FROM chat.rooms r WHERE r.id = ANY ($rooms)
ON CONFLICT (room) DO UPDATE SET upto = excluded.upto";

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn room(n: usize) -> RoomId {
    RoomId::new(&format!("room-{n}")).unwrap()
}

/// Empty rooms, with these members.
pub(crate) async fn rooms(backend: &PostgresBackend, numbers: std::ops::Range<usize>, members: &[UserId]) {
    let rooms = backend.rooms();
    for n in numbers {
        rooms.create(NewRoom::new(room(n))).await.unwrap();
        for member in members {
            rooms.change_member(&room(n), MemberChange::add(member.clone(), Role::Member)).await.unwrap();
        }
    }
}

/// Makes history on one connection.
pub(crate) struct History {
    pub(crate) connection: PgConnection,
}

impl History {
    pub(crate) async fn begin(mut connection: PgConnection) -> Self {
        let rows: Vec<String> =
            (0..SENTENCES).map(|number| format!("({number}, '{}')", sentence(number))).collect();
        let make = format!(
            "CREATE TEMPORARY TABLE sentences (number bigint PRIMARY KEY, text text NOT NULL);\n\
             INSERT INTO sentences VALUES {};\nANALYZE sentences",
            rows.join(", ")
        );
        raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
        Self { connection }
    }

    /// Brings rooms from `from` messages to `to`, of which the search gets to know the last `searched`. Each text ends in
    /// `word`.
    pub(crate) async fn fill(
        &mut self,
        numbers: std::ops::Range<usize>,
        (from, to): (u64, u64),
        searched: u64,
        word: &str,
    ) -> Duration {
        let start = Instant::now();
        let names: Vec<String> = numbers.map(|n| format!("'{}'", room(n))).collect();
        let names = format!("ARRAY[{}]", names.join(", "));
        let statement = |text: &str| text.replace("$rooms", &names).replace("$to", &to.to_string());
        let word = if word.is_empty() { "''".to_owned() } else { format!("' {word}'") };
        let mut done = from;
        while done < to {
            let end = to.min(done + STEP);
            let fill = FILL.replace("$to", &end.to_string()).replace("$from", &(done + 1).to_string());
            let fill = fill.replace("$sentences", &SENTENCES.to_string()).replace("$word", &word);
            self.run(statement(&fill)).await;
            done = end;
        }
        self.run(statement(COUNT)).await;
        self.run(statement(PLACES)).await;
        let after = from.max(to.saturating_sub(searched));
        self.run(statement(SEARCH).replace("$after", &after.to_string())).await;
        start.elapsed()
    }

    /// As the server's own housekeeping leaves it some time later. A checkpoint takes a superuser.
    pub(crate) async fn settle(&mut self, superuser_url: &str) {
        self.run("VACUUM (ANALYZE)".to_owned()).await;
        let mut superuser = PgConnection::connect(superuser_url).await.unwrap();
        raw_sql("CHECKPOINT").execute(&mut superuser).await.unwrap();
        superuser.close().await.unwrap();
    }

    pub(crate) async fn run(&mut self, statement: String) {
        raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection).await.unwrap();
    }
}

/// Ten words, always the same ones for a number.
fn sentence(number: usize) -> String {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
    let mut words = Vec::new();
    for _ in 0..10 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The square makes the first words frequent.
        let place = usize::try_from(state >> 48).unwrap();
        words.push(WORDS[(place * place * WORDS.len()) >> 32]);
    }
    words.join(" ")
}
