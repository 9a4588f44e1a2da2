//! Who may write, as far as it can be known before a message is stored: so that what is refused anyhow takes no room in the queue.

use std::sync::Arc;

use chat_core::{Authority, Draft, Error, Refusal, Result, Retry, Room, RoomId, Rooms, UserId, check_body};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use moka::future::Cache;

use super::QueueConfig;

/// How many drafts of a batch are asked about at once.
const AT_ONCE: usize = 16;

/// Remembers for a moment who may write. That somebody may *not* is asked for each time: whoever has just joined is not kept
/// out by what was true before.
#[derive(Debug)]
pub(super) struct Admission {
    rooms: Arc<dyn Rooms>,
    open: Cache<RoomId, Arc<Room>>,
    members: Cache<(RoomId, UserId), ()>,
}

/// What is not remembered: it goes to all who asked at once, and is asked for again by the next.
#[derive(Debug, thiserror::Error)]
enum Answer {
    #[error("not a member")]
    NotAMember,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Admission {
    pub(super) fn new(rooms: Arc<dyn Rooms>, config: &QueueConfig) -> Self {
        Self {
            rooms,
            open: Cache::builder()
                .max_capacity(config.admissions)
                .time_to_live(config.admission_kept)
                .build(),
            members: Cache::builder()
                .max_capacity(config.admissions)
                .time_to_live(config.admission_kept)
                .build(),
        }
    }

    /// Why each draft will not be stored, as far as it can be known now.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub(super) async fn check(&self, drafts: &[Draft]) -> Result<Vec<Option<Refusal>>> {
        let checks: Vec<_> = drafts.iter().map(|draft| self.check_one(draft)).collect();
        stream::iter(checks).buffered(AT_ONCE).try_collect().await
    }

    async fn check_one(&self, draft: &Draft) -> Result<Option<Refusal>> {
        let fits = |room: &Room| room.active && check_body(draft, room.max_body_chars).is_ok();
        let known = self.open.get(&draft.room).await;
        let refusal = if known.as_ref().is_some_and(|room| fits(room)) {
            None
        } else {
            if known.is_some() {
                // What it says against the draft may not hold any more.
                self.open.invalidate(&draft.room).await;
            }
            match self.room(&draft.room).await {
                Ok(room) if !room.active => return Ok(Some(Refusal::RoomInactive)),
                Ok(room) => check_body(draft, room.max_body_chars).err(),
                Err(Error::RoomNotFound { .. }) => return Ok(Some(Refusal::RoomMissing)),
                Err(error) => return Err(error),
            }
        };
        // As in every log, the membership comes before the body.
        Ok(if self.is_member(draft).await? { refusal } else { Some(Refusal::NotAMember) })
    }

    /// The room: one question for all who ask at once.
    async fn room(&self, id: &RoomId) -> Result<Arc<Room>> {
        let ask = async { Ok(Arc::new(self.rooms.room(id).await?)) };
        self.open.try_get_with_by_ref(id, ask).await.map_err(|answer| to_error(&answer))
    }

    async fn is_member(&self, draft: &Draft) -> Result<bool> {
        if draft.authority == Authority::System {
            return Ok(true);
        }
        let key = (draft.room.clone(), draft.sender.clone());
        let ask = async {
            let member = self.rooms.member(&key.0, &key.1).await?;
            if member.is_some_and(|member| member.is_current()) { Ok(()) } else { Err(Answer::NotAMember) }
        };
        match self.members.try_get_with_by_ref(&key, ask).await {
            Ok(()) => Ok(true),
            Err(answer) if matches!(*answer, Answer::NotAMember) => Ok(false),
            Err(answer) => Err(to_error(&answer)),
        }
    }
}

/// One caller's copy of what several were answered.
fn to_error(answer: &Arc<Answer>) -> Error {
    match &**answer {
        Answer::Failed(Error::RoomNotFound { room }) => Error::RoomNotFound { room: room.clone() },
        Answer::Failed(Error::Timeout { operation }) => Error::Timeout { operation },
        Answer::Failed(Error::Busy { retry_after }) => Error::Busy { retry_after: *retry_after },
        Answer::Failed(error) if error.is_retryable() => failed(answer, Retry::Later),
        Answer::Failed(_) | Answer::NotAMember => failed(answer, Retry::Never),
    }
}

fn failed(answer: &Arc<Answer>, retry: Retry) -> Error {
    Error::backend(crate::NAME, "admission", retry, Arc::clone(answer))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_core::{
        MemberChange, NewRoom, Role, RoomChange, Storage as _,
        memory::MemoryStore,
        testkit::fixtures::{draft, room, user},
    };

    use super::*;

    async fn with_room() -> (Arc<dyn Rooms>, Admission) {
        let rooms = MemoryStore::new().rooms();
        rooms.create(NewRoom::new(room("r")).with_max_body_chars(5)).await.unwrap();
        let kept = QueueConfig::new().with_admission_kept(Duration::from_secs(1));
        (rooms.clone(), Admission::new(rooms, &kept))
    }

    async fn check(admission: &Admission, draft: Draft) -> Option<Refusal> {
        admission.check(&[draft]).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn whoever_joins_may_write_at_once() {
        let (rooms, admission) = with_room().await;
        let hello = || draft("r", "ann", "c1", "hello");
        assert_eq!(check(&admission, draft("none", "ann", "c1", "hello")).await, Some(Refusal::RoomMissing));
        assert_eq!(check(&admission, hello()).await, Some(Refusal::NotAMember));
        assert_eq!(check(&admission, hello().with_authority(Authority::System)).await, None);
        rooms.change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
        assert_eq!(check(&admission, hello()).await, None);
    }

    #[tokio::test]
    async fn what_a_room_takes_is_asked_for_again_before_it_is_refused() {
        let (rooms, admission) = with_room().await;
        rooms.change_member(&room("r"), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
        let text = |text: &str| draft("r", "ann", "c1", text);
        assert_eq!(check(&admission, text("short")).await, None);
        let refused = check(&admission, text("too long")).await;
        assert!(matches!(refused, Some(Refusal::Body(_))), "{refused:?}");
        let change = |max, active| RoomChange { max_body_chars: max, active, ..RoomChange::default() };
        rooms.update(&room("r"), change(Some(20), None)).await.unwrap();
        assert_eq!(check(&admission, text("long enough now")).await, None);
        rooms.update(&room("r"), change(None, Some(false))).await.unwrap();
        // Remembered for a moment, or not at all: the store looks again.
        let stale = Admission::new(rooms, &QueueConfig::new());
        assert_eq!(check(&stale, text("short")).await, Some(Refusal::RoomInactive));
    }
}
