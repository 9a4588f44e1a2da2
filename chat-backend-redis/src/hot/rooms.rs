//! Rooms: what is known of them, how they are opened and closed, who may write, and what is read.

use std::time::Duration;

use chat_core::{
    Epoch, RoomId, Seq, View,
    tiered::{Claim, Hold, HotFrom, HotPage, HotState, HotWindow, Opening, Unlearned},
};
use fred::{bytes::Bytes, types::Value};
use futures::future::try_join_all;

use super::{
    RedisHotLog,
    partition::{Done, number, token},
    scripts::{CLAIM, CLOSE, GATE, LEARN, OPEN, PAGE, ROOMS, TRIM, UNLEARNED},
    wire::{Reader, corrupt, entries, list, next, seq},
};
use crate::script::{Script, integer};

/// How long the right to open a room is good.
const CLAIM_LASTS: Duration = Duration::from_secs(3);
/// How long a hold counts whose node went away.
const HOLD_LASTS: Duration = Duration::from_secs(60);
/// Rooms in one question.
const ROOMS_AT_ONCE: usize = 1_000;
/// Names in one script, which takes some milliseconds.
const NAMES_AT_ONCE: usize = 1_000;

impl RedisHotLog {
    /// Runs a script for one room, which is its first argument.
    async fn call(
        &self,
        script: &Script,
        room: &RoomId,
        arguments: impl IntoIterator<Item = Value>,
    ) -> Done<Value> {
        let mut all = vec![room.as_str().into()];
        all.extend(arguments);
        self.partitions.call(self.partitions.of(room), script, all).await
    }

    pub(super) async fn states(&self, rooms: &[RoomId]) -> Done<Vec<HotState>> {
        let calls = self.partitions.calls(rooms.iter().map(|room| (room, 1)), ROOMS_AT_ONCE)?;
        let answers = try_join_all(calls.into_iter().map(|call| async move {
            let mut arguments = Vec::new();
            for (_, places) in &call {
                arguments.push(number(places.len()));
                arguments.extend(places.iter().map(|place| Value::from(rooms[*place].as_str())));
            }
            let states = list(self.partitions.call_all(&call, &ROOMS, arguments).await?)?;
            let states = states.map(|value| state(Reader::new(value)?)).collect::<Done<Vec<_>>>()?;
            Done::Ok(call.into_iter().flat_map(|(_, places)| places).zip(states))
        }));
        let mut states: Vec<Option<HotState>> = vec![None; rooms.len()];
        for (place, state) in answers.await?.into_iter().flatten() {
            states[place] = Some(state);
        }
        states.into_iter().collect::<Option<_>>().ok_or_else(|| corrupt("a state of each room"))
    }

    pub(super) async fn ask_claim(&self, room: &RoomId) -> Done<Claim> {
        let mut answer = list(self.call(&CLAIM, room, [token().into(), millis(CLAIM_LASTS)]).await?)?;
        let (kind, told) = (next(&mut answer)?, next(&mut answer)?);
        Ok(match kind.as_bytes() {
            Some(b"O") => Claim::Open(Reader::new(told)?.room()?),
            Some(b"W") => {
                let wait = u64::try_from(integer(&told)?).unwrap_or(0);
                Claim::Wait(Duration::from_millis(wait.max(1)))
            }
            Some(b"Y") => {
                let mut left = Reader::new(next(&mut answer)?)?;
                let left = if left.is_empty() { None } else { Some(left.room()?) };
                Claim::Yours { token: Reader::new(told)?.rest(), left }
            }
            _ => return Err(corrupt("a claim")),
        })
    }

    pub(super) async fn open_room(&self, opening: Opening) -> Done<bool> {
        let Opening { room, token, life, base, archived, oldest, last_id, keep, lost_after } = opening;
        // The next millisecond is greater, whatever stands behind it in the id.
        let least = last_id.map_or(0, |id| id.timestamp().as_millis() + 1);
        let arguments = [
            Value::Bytes(token),
            life.as_str().into(),
            text(base.get()),
            text(archived.get()),
            text(oldest.get()),
            text(least),
            number(usize::from(keep)),
            text(self.config.dead_letters),
            text(lost_after.get()),
        ];
        Ok(integer(&self.call(&OPEN, &room, arguments).await?)? == 1)
    }

    pub(super) async fn close(&self, room: &RoomId, life: &Epoch) -> Done<()> {
        self.call(&CLOSE, room, [life.as_str().into()]).await.map(drop)
    }

    pub(super) async fn begin_hold(&self, room: &RoomId) -> Done<Hold> {
        let hold = token();
        let arguments = [token().into(), hold.as_str().into(), millis(HOLD_LASTS)];
        self.call(&GATE, room, arguments).await?;
        Ok(Hold(Bytes::from(hold)))
    }

    pub(super) async fn end_hold(&self, room: &RoomId, hold: &Hold) -> Done<()> {
        let arguments = [token().into(), Value::Bytes(hold.0.clone()), "0".into()];
        self.call(&GATE, room, arguments).await.map(drop)
    }

    pub(super) async fn trim_room(&self, room: &RoomId, life: &Epoch, oldest: Seq) -> Done<()> {
        self.call(&TRIM, room, [life.as_str().into(), text(oldest.get())]).await.map(drop)
    }

    pub(super) async fn read_page(
        &self,
        room: &RoomId,
        from: HotFrom,
        view: View,
        limit: usize,
    ) -> Done<HotPage> {
        let id = |id: chat_core::MessageId| Value::Bytes(Bytes::copy_from_slice(&id.as_u128().to_be_bytes()));
        let (kind, place) = match from {
            HotFrom::After(seq) => ("a", text(seq.get())),
            HotFrom::Before(seq) => ("b", text(seq.get())),
            HotFrom::AfterId(message) => ("A", id(message)),
            HotFrom::BeforeId(message) => ("B", id(message)),
            HotFrom::Newest => ("n", "".into()),
        };
        let timeline = number(usize::from(view == View::Timeline));
        let arguments = [kind.into(), place, timeline, number(limit.max(1))];
        let mut answer = list(self.call(&PAGE, room, arguments).await?)?;
        match next(&mut answer)?.as_bytes() {
            Some(b"C") => return Ok(HotPage::Closed),
            Some(b"E") => return Ok(HotPage::Elsewhere(Reader::new(next(&mut answer)?)?.room()?)),
            Some(b"H") => {}
            _ => return Err(corrupt("a page")),
        }
        Ok(HotPage::Here(HotWindow {
            room: Reader::new(next(&mut answer)?)?.room()?,
            place: seq(&next(&mut answer)?)?,
            entries: entries(next(&mut answer)?)?,
            changes: entries(next(&mut answer)?)?,
            earlier: integer(&next(&mut answer)?)? == 1,
            later: integer(&next(&mut answer)?)? == 1,
        }))
    }

    pub(super) async fn ask_unlearned(&self, room: &RoomId) -> Done<Option<Unlearned>> {
        let mut answer = list(self.call(&UNLEARNED, room, []).await?)?;
        Ok(match (answer.next(), answer.next()) {
            (Some(after), Some(upto)) => Some(Unlearned { after: seq(&after)?, upto: seq(&upto)? }),
            _ => None,
        })
    }

    pub(super) async fn learn_names(
        &self,
        room: &RoomId,
        life: &Epoch,
        (after, upto): (Seq, Seq),
        names: &[chat_core::tiered::NameKey],
    ) -> Done<()> {
        let packed: Bytes = names.iter().flat_map(|name| name.0).collect();
        let mut parts: Vec<Bytes> =
            packed.chunks(NAMES_AT_ONCE * 16).map(|part| packed.slice_ref(part)).collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            self.call(&LEARN, room, [life.as_str().into(), text(after.get()), text(0), Value::Bytes(part)])
                .await?;
        }
        self.call(
            &LEARN,
            room,
            [life.as_str().into(), text(after.get()), text(upto.get()), Value::Bytes(last)],
        )
        .await
        .map(drop)
    }
}

fn state(mut told: Reader) -> Done<HotState> {
    if told.is_empty() {
        return Ok(HotState::Absent);
    }
    match told.byte()? {
        b'L' => Ok(HotState::Left),
        b'O' => Ok(HotState::Open(told.room()?)),
        _ => Err(corrupt("a state")),
    }
}

pub(super) fn text(number: u64) -> Value {
    number.to_string().into()
}

pub(super) fn millis(time: Duration) -> Value {
    // Half of what Lua counts exactly, so that a sum is exact, too.
    text(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 52))
}
