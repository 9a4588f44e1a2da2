//! The fast way: all in one statement.

use std::collections::BTreeMap;

use chat_core::{AppendOutcome, Authority, Body, Cursor, Epoch, Position, UserId, rules::stored};
use sqlx::Row as _;

use super::{Obstacle, Outcomes, Placed, Rooms};
use crate::{
    PostgresError,
    backend::Shared,
    numbers::Numbered,
    rows::{self, integer, small},
};

const APPEND: &str = "
SELECT heads, ids, members_at, owns, (pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn FROM $chat.append(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
    $26, $27, $28, $29, $30)";

/// One array per column.
#[derive(Default)]
struct Columns<'d> {
    rooms: Vec<i64>,
    ids: Vec<&'d str>,
    least: Vec<i64>,
    head: Vec<i64>,
    members_at: Vec<i64>,
    counts: Vec<i64>,
    countable: Vec<i64>,
    chars: Vec<i32>,
    timeline: Vec<bool>,
    author_index: Vec<i32>,
    author: Vec<&'d str>,
    author_own: Vec<Option<i64>>,
    /// Who they are, and how many countable entries each sends.
    authors: Vec<(&'d UserId, i64)>,
    index: Vec<i32>,
    offset: Vec<i64>,
    by: Vec<i32>,
    ordinal_offset: Vec<i64>,
    own_offset: Vec<i64>,
    id_low: Vec<i64>,
    authority: Vec<i16>,
    kind: Vec<i16>,
    body_kind: Vec<i16>,
    in_timeline: Vec<bool>,
    is_countable: Vec<bool>,
    sender: Vec<&'d str>,
    client_id: Vec<&'d str>,
    fingerprint: Vec<Vec<u8>>,
    name: Vec<Option<&'d str>>,
    body: Vec<Option<&'d str>>,
}

impl<'d> Columns<'d> {
    /// Adds a room; `None` if a body is one that no room takes.
    fn add(&mut self, room: &Numbered, drafts: &[Placed<'d>]) -> Option<()> {
        let index = i32::try_from(self.rooms.len() + 1).ok()?;
        let (mut countable, mut chars, mut timeline) = (0, 0, false);
        let first_author = self.authors.len();
        // Who must be a member: their place among the authors.
        let mut authors: BTreeMap<&str, usize> = BTreeMap::new();
        for ((_, draft), offset) in drafts.iter().zip(1..) {
            let kind = draft.content.kind();
            let counts = kind.is_countable() && draft.authority != Authority::System;
            if let Some(body) = draft.content.body() {
                body.check(u32::MAX).ok()?;
                chars = chars.max(characters(body));
            }
            let (by, own) = if draft.authority == Authority::System {
                (0, 0)
            } else {
                let by = *authors.entry(draft.sender.as_str()).or_insert_with(|| {
                    self.authors.push((&draft.sender, 0));
                    self.authors.len()
                });
                let (_, own) = &mut self.authors[by - 1];
                *own += i64::from(counts);
                (i32::try_from(by).ok()?, *own)
            };
            countable += i64::from(counts);
            timeline |= kind.in_timeline();
            let (body_kind, body) = stored::body_columns(&draft.content);
            self.index.push(index);
            self.offset.push(offset);
            self.ordinal_offset.push(countable);
            self.by.push(by);
            self.own_offset.push(if counts { own } else { 0 });
            self.id_low.push(rows::random_half());
            self.authority.push(small(stored::authority_number(draft.authority)));
            self.kind.push(small(stored::kind_number(kind)));
            self.body_kind.push(small(body_kind));
            self.in_timeline.push(kind.in_timeline());
            self.is_countable.push(counts);
            self.sender.push(draft.sender.as_str());
            self.client_id.push(draft.client_id.as_str());
            self.fingerprint.push(draft.fingerprint().0.to_vec());
            self.name.push(stored::name_column(&draft.content));
            self.body.push(body);
        }
        let authors = &self.authors[first_author..];
        let (head, members_at, own) = room.authors(authors.iter().map(|(author, _)| *author));
        self.author_index.extend(authors.iter().map(|_| index));
        self.author.extend(authors.iter().map(|(author, _)| author.as_str()));
        self.author_own.extend(own);
        self.head.push(head);
        self.members_at.push(members_at);
        self.rooms.push(room.number);
        self.ids.push(drafts.first()?.1.room.as_str());
        self.least.push(room.head());
        self.counts.push(integer(drafts.len() as u64));
        self.countable.push(countable);
        self.chars.push(i32::try_from(chars).unwrap_or(i32::MAX));
        self.timeline.push(timeline);
        Some(())
    }
}

fn characters(body: &Body) -> usize {
    match body {
        Body::Text(text) => text.chars().count(),
        Body::Json(json) => json.as_str().chars().count(),
        Body::Removed => 0,
    }
}

pub(super) async fn append(shared: &Shared, epoch: &Epoch, rooms: &Rooms<'_>) -> Result<Outcomes, Obstacle> {
    let mut columns = Columns::default();
    for (room, drafts) in rooms.values() {
        columns.add(room, drafts).ok_or(Obstacle::NotPlain)?;
    }
    let (low, authors, author_index) =
        (columns.id_low.clone(), std::mem::take(&mut columns.authors), columns.author_index.clone());
    let statement = shared
        .sql
        .query(APPEND)
        .bind(epoch.as_str())
        .bind(shared.epochs.seen())
        .bind(columns.rooms)
        .bind(columns.ids)
        .bind(columns.least)
        .bind(columns.head)
        .bind(columns.members_at)
        .bind(columns.counts)
        .bind(columns.countable)
        .bind(columns.chars)
        .bind(columns.timeline)
        .bind(columns.author_index)
        .bind(columns.author)
        .bind(columns.author_own)
        .bind(columns.index)
        .bind(columns.offset)
        .bind(columns.by)
        .bind(columns.ordinal_offset)
        .bind(columns.own_offset)
        .bind(columns.id_low)
        .bind(columns.authority)
        .bind(columns.kind)
        .bind(columns.body_kind)
        .bind(columns.in_timeline)
        .bind(columns.is_countable)
        .bind(columns.sender)
        .bind(columns.client_id)
        .bind(columns.fingerprint)
        .bind(columns.name)
        .bind(columns.body);
    let rows = shared.all(statement).await?;
    let row = rows.first().ok_or_else(|| PostgresError::corrupt("an append without an answer"))?;
    shared.epochs.saw(epoch, row.try_get("lsn")?);
    let (heads, ids): (Vec<i64>, Vec<i64>) = (row.try_get("heads")?, row.try_get("ids")?);
    let members_at: Vec<i64> = row.try_get("members_at")?;
    // Of the service's own entries alone there are no authors.
    let owns: Vec<i64> = row.try_get::<Option<_>, _>("owns")?.unwrap_or_default();
    let mut authors = author_index.into_iter().zip(authors).zip(owns).peekable();
    let mut outcomes = Vec::with_capacity(low.len());
    let mut low = low.into_iter();
    for ((((room, drafts), head), id), (members_at, index)) in
        rooms.values().zip(heads).zip(ids).zip(members_at.into_iter().zip(1..))
    {
        let after = head + integer(drafts.len() as u64);
        room.saw(after);
        let here = std::iter::from_fn(|| authors.next_if(|((place, _), _)| *place == index));
        room.learn((head, after), members_at, here.map(|((_, (author, sent)), own)| (author, own + sent)));
        for ((place, _), offset) in drafts.iter().zip(1..) {
            let high = id + offset;
            let position = Position {
                cursor: Cursor::new(epoch.clone(), rows::seq(head + offset)?),
                id: rows::message_id(high, low.next().unwrap_or_default()),
                created_at: rows::time_of(high),
            };
            outcomes.push((*place, AppendOutcome::New(position)));
        }
    }
    Ok(outcomes)
}
