//! A memory log with one fault.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Authority, Backend, Body, ClientMessageId, Content, Cursor, Draft, Durability, Epoch,
    Error, Head, InvalidBody, MessageId, MessageLog, Page, Place, Position, ReadFrom, ReadQuery, Refusal,
    Result, Retention, RoomChange, RoomId, Rooms, Seq, StoredMessage, UserId, View,
};

use crate::faults::Fault;

/// Shared by the nodes of one store, as the store's own state would be.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What was sent under each key.
    sent: HashMap<(RoomId, UserId, ClientMessageId), usize>,
    first_of: HashMap<(RoomId, ClientMessageId), (UserId, Position)>,
    contents: HashMap<MessageId, Content>,
    shown: BTreeSet<(RoomId, Seq)>,
    /// By how much the positions of a room are too low.
    offsets: BTreeMap<RoomId, Seq>,
    /// Positions that were used up for nothing.
    fillers: BTreeSet<(RoomId, Seq)>,
    pub(crate) first_epoch: Option<Epoch>,
}

#[derive(Debug)]
pub(crate) struct BrokenLog {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) fault: Fault,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

impl BrokenLog {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    async fn one(&self, draft: Draft) -> Result<AppendOutcome> {
        Ok(self.log.append(std::slice::from_ref(&draft)).await?.remove(0))
    }

    /// Appends one draft in the broken way.
    async fn append_one(&self, sent: &Draft) -> Result<AppendOutcome> {
        let mut draft = sent.clone();
        match self.fault {
            Fault::NoDedup => {
                let key = (draft.room.clone(), draft.sender.clone(), draft.client_id.clone());
                let mut memory = self.memory();
                let times = memory.sent.entry(key).or_default();
                *times += 1;
                if *times > 1 {
                    let again = format!("{}-{times}", draft.client_id);
                    draft.client_id = ClientMessageId::new(&again).unwrap();
                }
            }
            Fault::RewriteNotRecognised => {
                draft = Draft::new(draft.room, draft.sender, draft.client_id, draft.content)
                    .with_authority(sent.authority);
            }
            Fault::DedupWithoutSender => {
                let key = (draft.room.clone(), draft.client_id.clone());
                if let Some((_, first)) =
                    self.memory().first_of.get(&key).filter(|(sender, _)| *sender != draft.sender)
                {
                    return Ok(AppendOutcome::Duplicate(first.clone()));
                }
            }
            Fault::ChecksBeforeDedup if draft.authority != Authority::System => {
                let member = self.rooms.member(&draft.room, &draft.sender).await?;
                if !member.is_some_and(|member| member.is_current()) {
                    return Ok(AppendOutcome::Refused(Refusal::NotAMember));
                }
            }
            Fault::BodyCountedInBytes => {
                if let Some(Body::Text(text)) = draft.content.body()
                    && let Ok(room) = self.rooms.room(&draft.room).await
                    && text.len() > room.max_body_chars as usize
                {
                    let too_long = InvalidBody::TooLong { max_chars: room.max_body_chars };
                    return Ok(AppendOutcome::Refused(Refusal::Body(too_long)));
                }
            }
            _ => {}
        }
        let outcome = self.one(draft.clone()).await?;
        self.answer(draft, outcome).await
    }

    /// Makes something else of the right outcome.
    async fn answer(&self, draft: Draft, outcome: AppendOutcome) -> Result<AppendOutcome> {
        if let AppendOutcome::New(position) = &outcome {
            let mut memory = self.memory();
            memory.contents.insert(position.id, draft.content.clone());
            memory.first_of.insert(
                (draft.room.clone(), draft.client_id.clone()),
                (draft.sender.clone(), position.clone()),
            );
        }
        match (self.fault, outcome) {
            (Fault::PayloadNotCompared, AppendOutcome::Conflict(first)) => {
                Ok(AppendOutcome::Duplicate(first))
            }
            (Fault::GapAfterDuplicate, AppendOutcome::Duplicate(first)) => {
                let filler = ClientMessageId::new(&format!("filler-{}", fastrand::u64(..))).unwrap();
                let filler = Draft::new(draft.room.clone(), draft.sender, filler, Content::text("filler"));
                if let AppendOutcome::New(used) = self.one(filler.with_authority(Authority::System)).await? {
                    self.memory().fillers.insert((draft.room, used.cursor.seq));
                }
                Ok(AppendOutcome::Duplicate(first))
            }
            (Fault::MembershipNotChecked, AppendOutcome::Refused(Refusal::NotAMember)) => {
                let known = self.rooms.member(&draft.room, &draft.sender).await?.is_some();
                let refused = AppendOutcome::Refused(Refusal::NotAMember);
                if known { self.one(draft.with_authority(Authority::System)).await } else { Ok(refused) }
            }
            (Fault::InactiveNotChecked, AppendOutcome::Refused(Refusal::RoomInactive)) => {
                let active = |on| RoomChange { active: Some(on), ..RoomChange::default() };
                self.rooms.update(&draft.room, active(true)).await?;
                let outcome = self.one(draft.clone()).await;
                self.rooms.update(&draft.room, active(false)).await?;
                outcome
            }
            (Fault::TargetOwnerNotChecked, AppendOutcome::Refused(Refusal::TargetNotOwn)) => {
                self.one(draft.with_authority(Authority::Moderator)).await
            }
            (_, outcome) => Ok(outcome),
        }
    }

    /// The position as the broken log gives it out.
    fn position_out(&self, room: &RoomId, mut position: Position) -> Position {
        if self.fault == Fault::IdsFall {
            position.id = MessageId::from_u128(!position.id.as_u128());
        }
        position.cursor = self.cursor_out(room, position.cursor);
        position
    }

    fn cursor_out(&self, room: &RoomId, cursor: Cursor) -> Cursor {
        let memory = self.memory();
        let offset = memory.offsets.get(room).copied().unwrap_or(Seq::ZERO);
        let epoch = memory.first_epoch.clone().unwrap_or(cursor.epoch);
        Cursor::new(epoch, Seq::new(cursor.seq.since(offset)).unwrap())
    }

    fn head_out(&self, room: &RoomId, head: Head) -> Head {
        let offset = self.memory().offsets.get(room).copied().unwrap_or(Seq::ZERO);
        let oldest = Seq::new(head.oldest.since(offset)).unwrap();
        Head { cursor: self.cursor_out(room, head.cursor), oldest }
    }

    fn entry_out(&self, room: &RoomId, mut entry: StoredMessage, before: bool) -> StoredMessage {
        let show_sent = match self.fault {
            Fault::EditNotShownBefore => before && entry.state.edited.is_some(),
            Fault::DeleteDoesNotRedact => entry.state.deleted.is_some(),
            Fault::DeletedEditsShown => matches!(entry.content, Content::Edit { .. }),
            _ => false,
        };
        if show_sent && let Some(sent) = self.memory().contents.get(&entry.position.id) {
            entry.content = sent.clone();
        }
        entry.position = self.position_out(room, entry.position);
        entry
    }

    /// The place as the log below knows it.
    async fn place_in(&self, room: &RoomId, place: Place, before: bool) -> Result<Place> {
        let mut cursor = match place {
            Place::Id(id) if self.fault == Fault::IdsFall => {
                return Ok(Place::Id(MessageId::from_u128(!id.as_u128())));
            }
            Place::Id(id) => return Ok(Place::Id(id)),
            Place::Cursor(cursor) => cursor,
        };
        let Some(head) = self.log.heads(std::slice::from_ref(room)).await?.remove(0) else {
            return Ok(Place::Cursor(cursor));
        };
        {
            let memory = self.memory();
            let offset = memory.offsets.get(room).copied().unwrap_or(Seq::ZERO);
            cursor.seq = cursor.seq.plus(offset.get());
            if memory.first_epoch.as_ref() == Some(&cursor.epoch) {
                cursor.epoch = head.cursor.epoch.clone();
            }
        }
        match self.fault {
            Fault::ForeignEpochAnswered => {
                cursor.epoch = head.cursor.epoch;
                cursor.seq = cursor.seq.min(head.cursor.seq);
            }
            Fault::BeyondHeadAnswered if cursor.epoch == head.cursor.epoch => {
                cursor.seq = cursor.seq.min(head.cursor.seq);
            }
            Fault::ExpiredAnswered if cursor.epoch == head.cursor.epoch => {
                cursor.seq = cursor.seq.max(head.oldest.previous());
            }
            Fault::BeforeTrimmedExpires if before => head.honours(room, &cursor)?,
            _ => {}
        }
        Ok(Place::Cursor(cursor))
    }

    /// Leaves out an entry that a sound log would show, once.
    fn hide(&self, room: &RoomId, page: &mut Page) {
        let last = page.entries.last().map(StoredMessage::seq);
        let mut memory = self.memory();
        page.entries.retain(|entry| match self.fault {
            Fault::LaterEntryFirst => {
                let late = entry.seq().get().is_multiple_of(2) && Some(entry.seq()) != last;
                !late || !memory.shown.insert((room.clone(), entry.seq()))
            }
            _ => !memory.fillers.contains(&(room.clone(), entry.seq())),
        });
    }
}

#[async_trait]
impl Backend for BrokenLog {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for BrokenLog {
    fn durability(&self) -> Durability {
        self.log.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        let mut outcomes = Vec::new();
        for draft in drafts {
            if self.fault == Fault::RepeatOfHalfABatchFails {
                tokio::task::yield_now().await;
            }
            let outcome = match self.append_one(draft).await? {
                AppendOutcome::New(at) => AppendOutcome::New(self.position_out(&draft.room, at)),
                AppendOutcome::Duplicate(at) => AppendOutcome::Duplicate(self.position_out(&draft.room, at)),
                AppendOutcome::Conflict(at) => AppendOutcome::Conflict(self.position_out(&draft.room, at)),
                other @ (AppendOutcome::Refused(_) | AppendOutcome::Accepted) => other,
            };
            outcomes.push(outcome);
        }
        let new = |outcome: &AppendOutcome| matches!(outcome, AppendOutcome::New(_));
        match self.fault {
            Fault::OutcomesOutOfOrder => outcomes.reverse(),
            Fault::RepeatOfHalfABatchFails if outcomes.iter().any(new) && !outcomes.iter().all(new) => {
                return Err(Error::Timeout { operation: "append" });
            }
            _ => {}
        }
        Ok(outcomes)
    }

    async fn read(&self, room: &RoomId, mut query: ReadQuery) -> Result<Page> {
        let before = matches!(query.from, ReadFrom::Before(_));
        query.from = match query.from {
            ReadFrom::After(place) => ReadFrom::After(self.place_in(room, place, false).await?),
            ReadFrom::Before(place) => ReadFrom::Before(self.place_in(room, place, true).await?),
            ReadFrom::Newest => ReadFrom::Newest,
        };
        if self.fault == Fault::TimelineIgnored {
            query.view = View::Log;
        }
        let mut page = self.log.read(room, query).await?;
        self.hide(room, &mut page);
        page.reaches_head |= self.fault == Fault::AlwaysReachesHead;
        page.entries = page.entries.into_iter().map(|entry| self.entry_out(room, entry, before)).collect();
        page.head = self.head_out(room, page.head);
        Ok(page)
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        let heads = self.log.heads(rooms).await?.into_iter().zip(rooms);
        let mut heads: Vec<_> =
            heads.map(|(head, room)| head.map(|head| self.head_out(room, head))).collect();
        if self.fault == Fault::HeadsOutOfOrder {
            heads.reverse();
        }
        Ok(heads)
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        let head = self.log.trim(room, retention).await?;
        if self.fault == Fault::TrimReusesPositions && head.oldest > head.cursor.seq {
            self.memory().offsets.insert(room.clone(), head.cursor.seq);
        }
        Ok(self.head_out(room, head))
    }
}
