//! What becomes of drafts.

use super::{
    Now,
    room::{Kept, Room},
};
use crate::{
    MessageId, Seq,
    tiered::{HotChange, HotDraft, HotEntry, HotOutcome},
};

impl Room {
    /// Decides one draft after the other; after a question, none.
    pub(super) fn append(&mut self, drafts: &[HotDraft], now: Now) -> Vec<HotOutcome> {
        let mut outcomes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let outcome = match self.check(draft) {
                Ok(target) => self.store(draft, target, now),
                Err(outcome) => outcome,
            };
            let asks = matches!(outcome, HotOutcome::AskForCopy(_) | HotOutcome::AskForTarget);
            outcomes.push(outcome);
            if asks {
                break;
            }
        }
        outcomes.resize(drafts.len(), HotOutcome::NotReached);
        outcomes
    }

    /// The position of what a draft changes, or why it is not stored.
    fn check(&self, draft: &HotDraft) -> Result<Option<Seq>, HotOutcome> {
        if let Some(known) = self.names.get(&draft.key).and_then(|seq| self.at(*seq)) {
            let HotEntry { seq, id, .. } = known.entry;
            return Err(HotOutcome::Known { seq, id, fingerprint: known.fingerprint });
        }
        // The archive's answer holds as long as no entry left the window since.
        let first = self.first();
        let may_be_archived = self.learned.contains(&draft.key) || self.unlearned().is_some();
        if may_be_archived && draft.not_archived != Some(first) {
            return Err(HotOutcome::AskForCopy(first));
        }
        if draft.refused {
            return Err(HotOutcome::Refused);
        }
        draft.change.as_ref().map(|change| self.check_target(draft, change)).transpose()
    }

    fn check_target(&self, draft: &HotDraft, change: &HotChange) -> Result<Seq, HotOutcome> {
        if self.deleted.contains(&change.target) {
            return Err(HotOutcome::TargetMissing);
        }
        let (seq, sender, open) = match (self.by_id(change.target), &change.known) {
            (Some(kept), _) => (kept.entry.seq, &kept.sender, kept.changeable),
            (None, Some(known)) => (known.seq, &known.sender, known.open),
            (None, None) => return Err(HotOutcome::AskForTarget),
        };
        // What is not kept any longer may still wait here to be archived.
        if !open || seq < self.oldest {
            return Err(HotOutcome::TargetMissing);
        }
        if change.own_only && *sender != draft.sender {
            return Err(HotOutcome::TargetNotOwn);
        }
        Ok(seq)
    }

    fn store(&mut self, draft: &HotDraft, target: Option<Seq>, now: Now) -> HotOutcome {
        let seq = self.head.next();
        let id = MessageId::next(self.last_id, now.wall, fastrand::u128(..));
        let deletes = draft.change.as_ref().filter(|change| change.deletes).map(|change| change.target);
        if let Some(target) = deletes {
            self.deleted.insert(target);
        }
        self.head = seq;
        self.last_id = Some(id);
        self.names.insert(draft.key, seq);
        self.window.push_back(Kept {
            entry: HotEntry { seq, id, target, payload: draft.payload.clone() },
            key: draft.key,
            fingerprint: draft.fingerprint,
            sender: draft.sender.clone(),
            timeline: draft.timeline,
            changeable: draft.changeable,
            deletes: deletes.is_some(),
            since: now.instant,
        });
        HotOutcome::New { seq, id }
    }
}
