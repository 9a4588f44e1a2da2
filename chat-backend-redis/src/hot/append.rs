//! Drafts on their way into rooms. The rules are in `scripts/hot/append.lua`.

use chat_core::{
    Error, Fingerprint, MessageId, Result, Seq,
    tiered::{Gate, GateState, HotAppended, HotBatch, HotChange, HotDraft, HotOutcome},
};
use fred::{
    bytes::{BufMut as _, BytesMut},
    types::Value,
};
use futures::future::join_all;

use super::{
    RedisHotLog,
    partition::{Call, Done, number, token},
    scripts::APPEND,
    wire::{Reader, corrupt, list},
};
use crate::RedisErrorKind;

/// Drafts in one script, which take some milliseconds, unless one room has more.
const DRAFTS_AT_ONCE: usize = 1_000;
/// Of an id.
const RANDOM_BITS: usize = 40;

/// What is in an entry, to the scripts.
mod flag {
    pub(super) const TIMELINE: u8 = 1;
    pub(super) const CHANGEABLE: u8 = 2;
    pub(super) const DELETES: u8 = 4;
    pub(super) const CHANGES: u8 = 8;
    pub(super) const PARTICULAR: u8 = 16;
}

/// What is particular about a draft.
mod particular {
    pub(super) const REFUSED: u8 = 1;
    pub(super) const CHANGES: u8 = 2;
    pub(super) const OWN_ONLY: u8 = 4;
    pub(super) const DELETES: u8 = 8;
    pub(super) const KNOWN: u8 = 16;
    pub(super) const OPEN: u8 = 32;
    pub(super) const NOT_ARCHIVED: u8 = 64;
}

impl RedisHotLog {
    pub(super) async fn append_all(&self, batches: &[HotBatch]) -> Result<Vec<HotAppended>> {
        let rooms = batches.iter().map(|batch| (&batch.room, batch.drafts.len()));
        let calls = self.partitions.calls(rooms, DRAFTS_AT_ONCE).map_err(|error| error.during("append"))?;
        let done = join_all(calls.into_iter().map(|call| async move {
            let answers = self.append_some(&call, batches).await;
            answers.map(|answers| call.into_iter().flat_map(|(_, places)| places).zip(answers))
        }));
        let mut appended: Vec<Option<HotAppended>> = batches.iter().map(|_| None).collect();
        for answers in done.await {
            let answers = answers.map_err(|error| match error.kind() {
                RedisErrorKind::Timeout => Error::Timeout { operation: "append" },
                _ => error.during("append"),
            })?;
            for (place, answer) in answers {
                appended[place] = Some(answer);
            }
        }
        let all = appended.into_iter().collect::<Option<Vec<_>>>();
        all.ok_or_else(|| corrupt("an outcome for each room").during("append"))
    }

    /// The rooms of one call, in one step.
    async fn append_some(&self, call: &Call, batches: &[HotBatch]) -> Done<Vec<HotAppended>> {
        let called = || call.iter().flat_map(|(_, places)| places).map(|place| &batches[*place]);
        let mut arguments = vec![self.config.max_backlog.to_string().into(), token().into()];
        // One piece of memory for all that is put together.
        let mut packed = BytesMut::with_capacity(called().map(packed_size).sum());
        // The ends of new ids.
        let mut randoms = Vec::new();
        for (_, places) in call {
            arguments.push(number(places.len()));
            for batch in places.iter().map(|place| &batches[*place]) {
                let gate = batch.gate.as_ref().map_or_else(|| "".into(), |gate| Value::Bytes(gate.0.clone()));
                arguments.extend([batch.room.as_str().into(), gate, number(batch.drafts.len())]);
                for draft in &batch.drafts {
                    let random = fastrand::u64(..1 << RANDOM_BITS);
                    randoms.push(random);
                    pack(draft, random, &mut packed, &mut arguments);
                }
            }
        }
        let answers = list(self.partitions.call_safely(call, &APPEND, arguments).await?)?;
        if answers.len() != called().count() {
            return Err(corrupt("an outcome for each room"));
        }
        let mut randoms = randoms.into_iter();
        let of = |(batch, answer): (&HotBatch, Value)| {
            let randoms: Vec<u64> = randoms.by_ref().take(batch.drafts.len()).collect();
            appended(&randoms, Reader::new(answer)?)
        };
        called().zip(answers).map(of).collect()
    }
}

fn packed_size(batch: &HotBatch) -> usize {
    let of = |draft: &HotDraft| 160 + draft.sender.as_str().len() + draft.payload.len();
    batch.drafts.iter().map(of).sum()
}

/// Adds the arguments of a draft: two, and one more if there is something particular about it.
fn pack(draft: &HotDraft, random: u64, packed: &mut BytesMut, arguments: &mut Vec<Value>) {
    let is_particular = draft.refused || draft.not_archived.is_some() || draft.change.is_some();
    let mut flags = 0;
    for (is_so, flag) in [
        (draft.timeline, flag::TIMELINE),
        (draft.changeable, flag::CHANGEABLE),
        (draft.change.as_ref().is_some_and(|change| change.deletes), flag::DELETES),
        (draft.change.is_some(), flag::CHANGES),
        (is_particular, flag::PARTICULAR),
    ] {
        flags |= if is_so { flag } else { 0 };
    }
    packed.put_uint(random, RANDOM_BITS / 8);
    packed.put_u8(flags);
    packed.put_slice(&draft.key.0);
    packed.put_slice(&draft.fingerprint.0);
    arguments.push(Value::Bytes(packed.split().freeze()));

    let sender = draft.sender.as_str().as_bytes();
    // At most `UserId::MAX_BYTES`.
    packed.put_u16(u16::try_from(sender.len()).unwrap_or(u16::MAX));
    packed.put_slice(sender);
    packed.put_slice(&draft.payload);
    arguments.push(Value::Bytes(packed.split().freeze()));

    if is_particular {
        pack_particular(draft, packed);
        arguments.push(Value::Bytes(packed.split().freeze()));
    }
}

fn pack_particular(draft: &HotDraft, packed: &mut BytesMut) {
    let HotDraft { refused, not_archived, change, .. } = draft;
    let known = change.as_ref().and_then(|change| change.known.as_ref());
    let is = |wanted: fn(&HotChange) -> bool| change.as_ref().is_some_and(wanted);
    let mut flags = 0;
    for (is_so, flag) in [
        (*refused, particular::REFUSED),
        (change.is_some(), particular::CHANGES),
        (is(|change| change.own_only), particular::OWN_ONLY),
        (is(|change| change.deletes), particular::DELETES),
        (known.is_some(), particular::KNOWN),
        (known.is_some_and(|known| known.open), particular::OPEN),
        (not_archived.is_some(), particular::NOT_ARCHIVED),
    ] {
        flags |= if is_so { flag } else { 0 };
    }
    packed.put_u8(flags);
    packed.put_u64(not_archived.map_or(0, Seq::get));
    packed.put_u128(change.as_ref().map_or(0, |change| change.target.as_u128()));
    packed.put_u64(known.map_or(0, |known| known.seq.get()));
    packed.put_slice(known.map_or(b"", |known| known.sender.as_str().as_bytes()));
}

fn appended(randoms: &[u64], mut answer: Reader) -> Done<HotAppended> {
    Ok(match answer.byte()? {
        b'C' => HotAppended::Closed,
        b'F' => HotAppended::Full,
        b'G' => {
            let settled = answer.byte()? == b'1';
            HotAppended::Gate(GateState { gate: Gate(answer.rest()), settled })
        }
        b'D' => {
            let life = answer.life()?;
            let millis = answer.number(6)?;
            let mut next = answer.seq()?;
            let outcomes = randoms.iter().map(|random| outcome(&mut answer, millis, &mut next, *random));
            HotAppended::Done(life, outcomes.collect::<Done<_>>()?)
        }
        _ => return Err(corrupt("what became of a room")),
    })
}

fn outcome(answer: &mut Reader, millis: u64, next: &mut Seq, random: u64) -> Done<HotOutcome> {
    Ok(match answer.byte()? {
        b'S' => {
            let seq = *next;
            *next = seq.next();
            HotOutcome::New { seq, id: id(millis, seq, random) }
        }
        b'K' => {
            let (seq, id) = (answer.seq()?, answer.id()?);
            let mut fingerprint = [0; 16];
            fingerprint.copy_from_slice(&answer.take(16)?);
            HotOutcome::Known { seq, id, fingerprint: Fingerprint(fingerprint) }
        }
        b'R' => HotOutcome::Refused,
        b'M' => HotOutcome::TargetMissing,
        b'O' => HotOutcome::TargetNotOwn,
        b'A' => HotOutcome::AskForCopy(answer.seq()?),
        b'T' => HotOutcome::AskForTarget,
        b'N' => HotOutcome::NotReached,
        _ => return Err(corrupt("an outcome")),
    })
}

/// The id that the script put together: milliseconds 6 | position 5 | random 5.
fn id(millis: u64, seq: Seq, random: u64) -> MessageId {
    let position = seq.get() & ((1 << 40) - 1);
    let high = u128::from(millis) << 80 | u128::from(position) << RANDOM_BITS;
    MessageId::from_u128(high | u128::from(random))
}
