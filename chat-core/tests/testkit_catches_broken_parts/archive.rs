use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Backend, ClientMessageId, Content, Draft, Fingerprint, MessageId, Position, Result, RoomId, Seq,
    Storage as _, UserId,
    memory::MemoryStore,
    testkit::{
        ArchiveHarness, ArchiveNode,
        archive::{effects, importing, lives, lookups, racing},
    },
    tiered::{Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportOutcome, Life, LifeOutcome},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    TakesAnyLife,
    LooksAwayWhenALifeBegins,
    LooksBeforeALifeBegins,
    GivesItsOwnIds,
    ForgetsWhatWasSent,
    ChangesNothing,
    AllRoomsOrNone,
    LeavesOutWhatIsMissing,
    AdmitsEverybody,
    EverythingIsOpen,
}

#[derive(Debug)]
struct BrokenArchive {
    archive: Arc<dyn Archive>,
    fault: Option<Fault>,
}

impl BrokenArchive {
    async fn room(&self, room: &RoomId) -> Option<ArchivedRoom> {
        self.archive.rooms(std::slice::from_ref(room)).await.unwrap().remove(0)
    }

    /// The import as the fault makes it.
    async fn spoil(&self, mut import: Import) -> Import {
        if self.fault == Some(Fault::TakesAnyLife)
            && let Some(life) = self.room(&import.room).await.and_then(|room| room.life().cloned())
        {
            import.life = life.epoch;
        }
        for entry in &mut import.entries {
            match (self.fault, &mut entry.draft.content) {
                (Some(Fault::GivesItsOwnIds), _) => {
                    entry.id = MessageId::from_u128(entry.id.as_u128() + 1);
                }
                (Some(Fault::ForgetsWhatWasSent), _) => {
                    let Draft { room, sender, client_id, authority, content, .. } = entry.draft.clone();
                    entry.draft = Draft::new(room, sender, client_id, content).with_authority(authority);
                }
                (
                    Some(Fault::ChangesNothing),
                    Content::Edit { target, .. }
                    | Content::Delete { target }
                    | Content::Reaction { target, .. },
                ) => *target = MessageId::from_u128(7),
                _ => {}
            }
        }
        import
    }
}

#[async_trait]
impl Backend for BrokenArchive {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Archive for BrokenArchive {
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>> {
        self.archive.rooms(rooms).await
    }

    async fn begin_life(&self, room: &RoomId, seen: &ArchivedRoom, life: &Life) -> Result<LifeOutcome> {
        let Some(now) = self.room(room).await else { return Ok(LifeOutcome::RoomMissing) };
        match self.fault {
            Some(Fault::LooksAwayWhenALifeBegins) => {}
            Some(Fault::LooksBeforeALifeBegins) => {
                if now != *seen {
                    return Ok(LifeOutcome::Changed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => return self.archive.begin_life(room, seen, life).await,
        }
        let now = self.room(room).await.unwrap();
        self.archive.begin_life(room, &now, life).await
    }

    async fn import(&self, imports: &[Import]) -> Result<Vec<ImportOutcome>> {
        let mut outcomes = Vec::new();
        for import in imports {
            let spoilt = self.spoil(import.clone()).await;
            let outcome = self.archive.import(&[spoilt]).await?.remove(0);
            outcomes.push(outcome);
            if self.fault == Some(Fault::AllRoomsOrNone) && !matches!(outcome, ImportOutcome::Stored(_)) {
                outcomes.resize(imports.len(), outcome);
                break;
            }
        }
        Ok(outcomes)
    }

    async fn admissions(&self, writers: &[(RoomId, UserId)]) -> Result<Vec<Option<Admission>>> {
        let mut admissions = self.archive.admissions(writers).await?;
        for admission in admissions.iter_mut().flatten() {
            admission.member |= self.fault == Some(Fault::AdmitsEverybody);
        }
        Ok(admissions)
    }

    async fn copies(
        &self,
        names: &[(RoomId, UserId, ClientMessageId)],
    ) -> Result<Vec<Option<(Position, Fingerprint)>>> {
        let mut copies = self.archive.copies(names).await?;
        if self.fault == Some(Fault::LeavesOutWhatIsMissing) {
            copies.retain(Option::is_some);
        }
        Ok(copies)
    }

    async fn targets(&self, targets: &[(RoomId, MessageId)]) -> Result<Vec<Option<ArchivedTarget>>> {
        let mut targets = self.archive.targets(targets).await?;
        for target in targets.iter_mut().flatten() {
            target.open |= self.fault == Some(Fault::EverythingIsOpen);
        }
        Ok(targets)
    }

    async fn names(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, UserId, ClientMessageId)>> {
        self.archive.names(room, after, limit).await
    }
}

struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[async_trait]
impl ArchiveHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<ArchiveNode> {
        let store = MemoryStore::new();
        let node = |_| {
            let archive = Arc::new(BrokenArchive { archive: store.archive(), fault: self.fault });
            ArchiveNode { archive, log: store.message_log(), rooms: store.rooms(), search: store.search() }
        };
        (0..count).map(node).collect()
    }

    async fn settle(&self) {}
}

catches! {
    a_life_that_ended: Broken, Fault::TakesAnyLife, lives::what_lies_behind_a_later_base_is_superseded;
    a_life_that_never_was: Broken, Fault::TakesAnyLife, lives::an_unknown_life_takes_no_import;
    an_earlier_life_without_an_end: Broken, Fault::TakesAnyLife, lives::an_earlier_life_is_taken_up_to_every_later_base;
    lives_that_are_not_compared: Broken, Fault::LooksAwayWhenALifeBegins, lives::a_life_begins_only_where_nothing_changed;
    a_look_before_the_step: Broken, Fault::LooksBeforeALifeBegins, racing::a_life_and_an_import_wait_for_each_other;
    lives_that_look_before_the_step: Broken, Fault::LooksBeforeALifeBegins, racing::one_life_begins_of_several_at_once;
    ids_that_are_given_out_again: Broken, Fault::GivesItsOwnIds, importing::an_imported_entry_is_read_as_it_was_given;
    a_digest_of_what_was_let_through: Broken, Fault::ForgetsWhatWasSent, importing::the_name_of_an_imported_entry_is_taken;
    rooms_that_fail_together: Broken, Fault::AllRoomsOrNone, importing::rooms_of_one_call_have_outcomes_of_their_own;
    edits_without_an_effect: Broken, Fault::ChangesNothing, effects::changes_act_on_what_was_appended;
    deletes_that_leave_it_unread: Broken, Fault::ChangesNothing, effects::imported_messages_are_unread;
    copies_out_of_order: Broken, Fault::LeavesOutWhatIsMissing, lookups::copies_are_found_by_their_names;
    strangers_who_may_write: Broken, Fault::AdmitsEverybody, lookups::admissions_say_who_may_write;
    deleted_targets_that_are_open: Broken, Fault::EverythingIsOpen, lookups::targets_say_what_can_be_changed;
}
