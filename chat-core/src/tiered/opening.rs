//! Opens a room in the hot log, at the head that no earlier life can move any more.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{ArchivedRoom, Claim, HotRoom, HotState, Life, LifeOutcome, Opening, Shared};
use crate::{Cursor, Epoch, Error, Head, Result, Retry, RoomId, Seq};

/// So long an opening may take, with all that stands in its way: a claim of somebody who went away, and then its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who waits for another one to open a room asks again after this time, later after twice as long, up to the other one.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// So many rooms are opened at once.
const OPENINGS: usize = 16;

/// A room, wherever it is.
pub(super) enum Whereabouts {
    /// The hot log gives out its positions.
    Hot(HotRoom),
    /// The archive has all of it.
    Archived(ArchivedRoom),
}

impl Whereabouts {
    pub(super) fn head(&self) -> Head {
        match self {
            Self::Hot(room) => room.head(),
            Self::Archived(room) => room.visible_head(),
        }
    }

    pub(super) fn epoch(&self) -> &Epoch {
        match self {
            Self::Hot(room) => &room.life,
            Self::Archived(room) => room.epoch(),
        }
    }
}

impl Shared {
    /// The room, open; `None` if there is no such room.
    ///
    /// The life that begins is written into the archive first, at the head that was looked up there. From then on nothing
    /// that was read from an earlier life is imported behind its base, however late it comes, so what the hot log gives out
    /// next is nobody else's.
    ///
    /// It is done to its end whether or not anybody waits for it: a claim that is not used keeps everybody away for a while.
    pub(super) async fn open(&self, room: &RoomId) -> Result<Option<HotRoom>> {
        let Some(shared) = self.me.upgrade() else { return Err(Error::Draining) };
        let room = room.clone();
        let done = tokio::spawn(async move { shared.open_now(&room).await }).await;
        done.unwrap_or_else(|failed| Err(Error::backend(super::NAME, "open", Retry::Later, failed)))
    }

    /// Opens several, each for itself.
    pub(super) async fn open_all(&self, rooms: Vec<RoomId>) -> BTreeMap<RoomId, Result<Option<HotRoom>>> {
        stream::iter(rooms)
            .map(|room| async move {
                let open = self.open(&room).await;
                (room, open)
            })
            .buffer_unordered(OPENINGS)
            .collect()
            .await
    }

    async fn open_now(&self, room: &RoomId) -> Result<Option<HotRoom>> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while Instant::now() < until {
            // Before it is claimed: also since a claim that is not used keeps others away for a while.
            let Some(before) = self.archived_room(room).await? else { return Ok(None) };
            let (token, left) = match self.hot.claim(room).await? {
                Claim::Open(open) => return Ok(Some(open)),
                Claim::Wait(time) => {
                    // It is open long before the claim runs out, unless who claimed it went away.
                    sleep(time.min(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
                Claim::Yours { token, left } => (token, left),
            };
            if let Some(opening) = self.begin_life(room, token, left, &before, until).await? {
                // Whether or not it was still ours to open: the next claim says how it stands.
                self.hot.open(opening).await?;
            }
        }
        Err(Error::Timeout { operation: "opening a room" })
    }

    /// Begins a life in the archive, at a head that holds; `None` if another one has begun since before the claim.
    ///
    /// A claim is no more than a lease. If it ran out meanwhile, whoever has it now began its life after it, which is seen here;
    /// and whoever began before it has a token that is no longer good. So no life is begun over one that is in use.
    async fn begin_life(
        &self,
        room: &RoomId,
        token: Bytes,
        left: Option<HotRoom>,
        before: &ArchivedRoom,
        until: Instant,
    ) -> Result<Option<Opening>> {
        while Instant::now() < until {
            let Some(known) = self.archived_room(room).await? else { return Ok(None) };
            if known.epoch() != before.epoch() || known.lives.len() != before.lives.len() {
                return Ok(None);
            }
            let keep = left.as_ref().is_some_and(|left| goes_on(left, &known));
            let base = match &left {
                Some(left) if keep => left.head,
                _ => known.head.cursor.seq,
            };
            // The first one goes on with the archive's own positions; nobody has lost any.
            let epoch = if known.lives.is_empty() { known.epoch().clone() } else { Epoch::generate() };
            let life = Life { epoch, base };
            match self.archive.begin_life(room, &known, &life).await? {
                LifeOutcome::Begun => {}
                // Something was imported this moment.
                LifeOutcome::Changed => continue,
                LifeOutcome::RoomMissing => return Ok(None),
            }
            match &left {
                Some(left) if !keep && left.head > base => {
                    warn!(%room, lost_after = %base, "entries that were never archived no longer fit, and are put aside");
                }
                Some(_) => info!(%room, %base, "a room begins another life"),
                None => {}
            }
            return Ok(Some(Opening {
                room: room.clone(),
                token,
                life: life.epoch,
                base,
                archived: known.head.cursor.seq,
                oldest: known.head.oldest,
                last_id: known.last_id,
                keep,
                lost_after: left.as_ref().map_or(Seq::ZERO, |left| same_up_to(left, &known)),
            }));
        }
        Err(Error::Timeout { operation: "opening a room" })
    }

    pub(super) async fn archived_room(&self, room: &RoomId) -> Result<Option<ArchivedRoom>> {
        Ok(self.archive.rooms(std::slice::from_ref(room)).await?.pop().flatten())
    }

    /// Where these rooms are, in their order; `None` for one that does not exist. Opens those with entries left.
    pub(super) async fn whereabouts(&self, rooms: &[RoomId]) -> Result<Vec<Option<Whereabouts>>> {
        let states = self.hot.rooms(rooms).await?;
        let absent: Vec<RoomId> = rooms
            .iter()
            .zip(&states)
            .filter(|(_, state)| **state == HotState::Absent)
            .map(|(room, _)| room.clone())
            .collect();
        let archived = if absent.is_empty() { Vec::new() } else { self.archive.rooms(&absent).await? };
        let left = rooms.iter().zip(&states).filter(|(_, state)| **state == HotState::Left);
        let mut opened = BTreeMap::new();
        for (room, open) in self.open_all(left.map(|(room, _)| room.clone()).collect()).await {
            opened.insert(room, open?);
        }
        let mut archived = archived.into_iter();
        let mut found = Vec::with_capacity(rooms.len());
        for (room, state) in rooms.iter().zip(states) {
            found.push(match state {
                HotState::Open(open) => Some(Whereabouts::Hot(open)),
                // A room may be asked for more than once.
                HotState::Left => opened.get(room).cloned().flatten().map(Whereabouts::Hot),
                HotState::Absent => archived.next().flatten().map(Whereabouts::Archived),
            });
        }
        Ok(found)
    }
}

/// Up to which position what is left is what the archive has, too.
fn same_up_to(left: &HotRoom, known: &ArchivedRoom) -> Seq {
    let last = Cursor::new(left.life.clone(), left.head);
    if known.goes_on(&last) { known.head.cursor.seq } else { Seq::ZERO }
}

/// Whether what is left goes on from what is archived: no life has begun behind its end, it has everything that is not
/// archived, and is not behind. Lives may have begun since that were never opened.
fn goes_on(left: &HotRoom, known: &ArchivedRoom) -> bool {
    let head = known.head.cursor.seq;
    let last = Cursor::new(left.life.clone(), left.head);
    known.goes_on(&last) && left.head >= head && left.first <= head.next()
}
