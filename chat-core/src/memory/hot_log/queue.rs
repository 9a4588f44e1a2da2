//! What waits to be archived.

use super::{
    Now,
    room::{Room, Taken},
    state::{State, token},
};
use crate::{
    RoomId,
    tiered::{Archived, Lag, Pending, Take},
};

impl State {
    /// Takes the rooms that wait longest, of those with enough to do that nobody works on.
    pub(super) fn take(&mut self, take: Take, now: Now) -> Vec<Pending> {
        let due = self.rooms.iter().filter_map(|(id, room)| {
            let since = room.waits_since()?;
            let enough = room.waiting() >= take.entries as u64 || now.instant - since >= take.age;
            let free = room.taken.as_ref().is_none_or(|taken| now.instant - taken.at >= take.idle);
            (enough && free).then(|| (since, id.clone()))
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        due.truncate(take.max_rooms);
        let taken = due.into_iter().filter_map(|(_, id)| {
            let room = self.rooms.get_mut(&id)?;
            let ticket = token();
            room.taken = Some(Taken { ticket: ticket.clone(), at: now.instant });
            Some(Pending { ticket: Some(ticket), ..room.to_pending(&id, take.max_entries) })
        });
        taken.collect()
    }

    pub(super) fn pending(&self, rooms: &[RoomId], max_entries: usize) -> Vec<Pending> {
        let waiting = rooms.iter().filter_map(|id| {
            let room = self.rooms.get(id).filter(|room| room.waiting() > 0)?;
            Some(room.to_pending(id, max_entries))
        });
        waiting.collect()
    }

    pub(super) fn pending_rooms(&self) -> Vec<RoomId> {
        self.rooms.iter().filter(|(_, room)| room.waiting() > 0).map(|(id, _)| id.clone()).collect()
    }

    /// Also of a room that was closed meanwhile: what its life had archived stays archived.
    pub(super) fn archived(&mut self, done: &Archived, window: usize) {
        let Some(room) = self.rooms.get_mut(&done.room) else { return };
        if room.taken.as_ref().is_some_and(|taken| Some(&taken.ticket) == done.ticket.as_ref()) {
            room.taken = None;
        }
        if room.life == done.life {
            room.note_archived(done.upto, window);
        }
    }

    pub(super) fn lag(&self, now: Now) -> Lag {
        let waiting = self.rooms.values().filter(|room| room.waiting() > 0);
        waiting.fold(Lag::default(), |lag, room| Lag {
            rooms: lag.rooms + 1,
            entries: lag.entries + room.waiting(),
            age: lag.age.max(room.waits_since().map(|since| now.instant - since).unwrap_or_default()),
        })
    }
}

impl Room {
    fn to_pending(&self, id: &RoomId, max_entries: usize) -> Pending {
        Pending {
            room: id.clone(),
            life: self.open.then(|| self.life.clone()),
            entries: self.waiting_entries(max_entries),
            ticket: None,
        }
    }
}
