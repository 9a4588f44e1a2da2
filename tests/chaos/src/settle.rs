//! The end of a run: everything is answered and heard, and what was seen is compared with what is stored.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{Cursor, MessageLog, ReadQuery, RoomId, Seq, StoredMessage};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    check::{Rules, Stored, Witness, check},
    chronicle::{Finding, Sort},
    client::Protocol,
    notes::Notes,
    pipeline::{Kind, Pipeline},
    report::{Figures, Outcome},
    run::Run,
    sabotage::{self, Sabotage},
};

/// For every answer, for the store to have everything, and for everybody to have heard it; each.
const PATIENCE: Duration = Duration::from_secs(90);
/// Entries of a page.
const PAGE: usize = 1_000;
const LOOK: Duration = Duration::from_millis(50);
/// For what a client is not to be given, such as something twice, to come.
const STILL: Duration = Duration::from_secs(2);

impl Kind {
    const fn rules(self) -> Rules {
        match self {
            Self::WriteThrough => Rules { every_kind: true, durability: "persisted", lives: false },
            Self::HotLog => Rules { every_kind: true, durability: "accepted", lives: true },
            Self::Shop | Self::Study | Self::Queued => {
                Rules { every_kind: false, durability: "", lives: false }
            }
        }
    }
}

impl Run {
    /// Nothing new is said; what is open comes to its end; then everything is judged.
    pub(crate) async fn settle(mut self, elapsed: Duration, sabotage: Option<Sabotage>) -> Result<Outcome> {
        let clients = || self.pipelines.iter().flat_map(|pipeline| &pipeline.clients);
        clients().for_each(|client| client.write_every(None));
        let answered =
            clients().map(|client| client.until("every answer", PATIENCE, |notes| notes.outbox.is_empty()));
        let late: Vec<String> = futures::future::join_all(answered)
            .await
            .into_iter()
            .filter_map(|answered| Some(format!("{:#}", answered.err()?)))
            .collect();
        late.into_iter().for_each(|what| self.found("service", what));
        let mut figures = Vec::new();
        for place in 0..self.pipelines.len() {
            figures.push(self.judge(place, sabotage).await?);
        }
        for node in &self.cluster.nodes {
            for line in node.panics() {
                let what = format!("{}: {line}", node.spec.name);
                self.chronicle.found(Finding { sort: Sort::Other, guarantee: "service", what, at: None });
            }
        }
        let versions = self.cluster.versions().await?;
        Ok(Outcome { chronicle: self.chronicle, figures, versions, elapsed, only: Vec::new(), minutes: 0 })
    }

    async fn judge(&mut self, place: usize, sabotage: Option<Sabotage>) -> Result<Figures> {
        let pipeline = &self.pipelines[place];
        let config = PostgresConfig::from_url(pipeline.database.url())?.with_max_connections(2);
        let backend = PostgresBackend::connect(config).await?;
        let stored = everything(pipeline, &*backend.message_log()).await?;
        backend.close().await;
        let mut late = Vec::new();
        for client in &pipeline.clients {
            let heard = |notes: &Notes| {
                client.role.rooms.iter().all(|room| has_heard(pipeline.kind, notes, room, &stored))
            };
            if let Err(error) = client.until("the end of the log", PATIENCE, heard).await {
                late.push(format!("{error:#}"));
            }
        }
        sleep(STILL).await;
        self.look();
        late.into_iter().for_each(|what| self.found("service", what));
        let pipeline = &self.pipelines[place];
        let mut notes: Vec<Notes> =
            pipeline.clients.iter().map(|client| std::mem::take(&mut *client.notes())).collect();
        let protocols: Vec<Protocol> = pipeline.clients.iter().map(|client| client.role.protocol).collect();
        let falsified = if sabotage.is_some() { sabotage::chosen(&protocols) } else { Vec::new() };
        for place in &falsified {
            sabotage.iter().try_for_each(|sabotage| sabotage.apply(&mut notes[*place]))?;
        }
        let witnesses: Vec<Witness<'_>> = pipeline
            .clients
            .iter()
            .zip(&notes)
            .map(|(client, notes)| Witness {
                name: &client.role.name,
                user: &client.role.person.user,
                rooms: &client.role.rooms,
                notes,
            })
            .collect();
        let found = check(pipeline.kind.rules(), &stored, &witnesses);
        for place in falsified {
            sabotage::was_noticed(&pipeline.clients[place].role.name, &found)?;
        }
        let figures = Figures::of(pipeline.kind, &stored, &notes, &found);
        found.into_iter().for_each(|finding| self.chronicle.found(finding));
        Ok(figures)
    }
}

/// The last message of the room has come to this client.
fn has_heard(kind: Kind, notes: &Notes, room: &RoomId, stored: &Stored) -> bool {
    let entries = stored.get(room).map(Vec::as_slice).unwrap_or_default();
    let shown = |entry: &&StoredMessage| kind.rules().every_kind || entry.is_countable();
    let Some(last) = entries.iter().rev().find(shown) else { return true };
    let Some(place) = notes.places.get(room) else { return false };
    match &place.cursor {
        Some(cursor) => cursor.seq >= last.seq(),
        None => place.id >= Some(last.position.id),
    }
}

/// Each room's whole log, once it has everything that was acknowledged, or does not get it.
async fn everything(pipeline: &Pipeline, log: &dyn MessageLog) -> Result<Stored> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut stored = BTreeMap::new();
        for room in &pipeline.rooms {
            let entries = timeout(PATIENCE, whole_log(log, room)).await.context("the log does not answer")?;
            stored.insert(room.clone(), entries?);
        }
        if has_all(pipeline, &stored) || Instant::now() > end {
            return Ok(stored);
        }
        sleep(LOOK).await;
    }
}

/// As many messages as were acknowledged. Which ones they are is for the judge.
fn has_all(pipeline: &Pipeline, stored: &Stored) -> bool {
    let there: usize = stored.values().flatten().filter(|entry| entry.is_countable()).count();
    let acknowledged: usize = pipeline.clients.iter().map(|client| client.notes().acks.len()).sum();
    there >= acknowledged
}

async fn whole_log(log: &dyn MessageLog, room: &RoomId) -> Result<Vec<StoredMessage>> {
    let head = log.heads(std::slice::from_ref(room)).await?.pop().flatten();
    let mut after = Cursor::new(head.context("a room without a log")?.cursor.epoch, Seq::ZERO);
    let mut entries: Vec<StoredMessage> = Vec::new();
    loop {
        let page = log.read(room, ReadQuery::after(after.clone()).with_limit(PAGE)).await?;
        entries.extend(page.entries);
        if page.reaches_head {
            return Ok(entries);
        }
        after = entries.last().context("an empty page")?.position.cursor.clone();
    }
}
