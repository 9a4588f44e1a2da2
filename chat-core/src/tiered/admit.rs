//! Who may write, by what the archive says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{
    Admission, Shared,
    append::{Work, refuse, settle},
    gates::Gated,
};
use crate::{AppendOutcome, Authority, Draft, Refusal, RoomId, UserId, check_body};

/// An archive that did not say who may write is asked again after this time, as long as it is known from before.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

impl Shared {
    /// Looks up who may write, where it is not known under the room's gate. A room whose gate is not known yet learns it from
    /// the first append: what is looked up must not be older than its gate.
    pub(super) async fn admit(
        &self,
        rooms: &mut BTreeMap<RoomId, Work<'_>>,
        outcomes: &mut [Option<AppendOutcome>],
    ) {
        let asked = Instant::now();
        let mut unknown = Vec::new();
        for (room, work) in rooms.iter() {
            let Some(gated) = &work.gated else { continue };
            for waiting in &work.open {
                let writer = (room.clone(), waiting.draft.sender.clone());
                if known_admission(gated, waiting.draft).is_none() && !unknown.contains(&writer) {
                    unknown.push(writer);
                }
            }
        }
        self.renew_admissions(rooms);
        let answers = if unknown.is_empty() {
            Ok(Vec::new())
        } else {
            self.asking.ask(self.archive.admissions(&unknown)).await
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                refuse(unknown.iter().map(|(room, _)| room), rooms, outcomes, &error);
                return;
            }
        };
        let known: BTreeMap<_, _> = unknown.into_iter().zip(answers).collect();
        for (room, work) in rooms.iter_mut() {
            let Some(gated) = &work.gated else { continue };
            let mut missing = false;
            for waiting in &mut work.open {
                let writer = (room.clone(), waiting.draft.sender.clone());
                let admission = match known.get(&writer) {
                    Some(admission) => {
                        gated.learn(&writer.1, *admission, asked);
                        Some(*admission)
                    }
                    None => known_admission(gated, waiting.draft),
                };
                waiting.refusal = match admission {
                    // Outdated in this instant: asked again in the next round.
                    None => None,
                    Some(None) => {
                        missing = true;
                        None
                    }
                    Some(Some(now)) if !now.active => Some(Refusal::RoomInactive),
                    Some(Some(now)) if !now.member && waiting.draft.authority != Authority::System => {
                        Some(Refusal::NotAMember)
                    }
                    Some(Some(now)) => check_body(waiting.draft, now.max_body_chars).err(),
                };
                // Whoever is not known to be admitted is not.
                waiting.hot.refused = waiting.refusal.is_some() || admission.is_none();
            }
            if missing {
                settle(work, outcomes, |_| Refusal::RoomMissing);
            }
        }
    }

    /// Asks about writers again who were asked about a while ago. Nobody waits for it.
    fn renew_admissions(&self, rooms: &BTreeMap<RoomId, Work<'_>>) {
        let Ok(permit) = Arc::clone(&self.renewal).try_acquire_owned() else { return };
        let mut aging: BTreeMap<(RoomId, UserId), Arc<Gated>> = BTreeMap::new();
        for (room, work) in rooms {
            let Some(gated) = &work.gated else { continue };
            for waiting in work.open.iter().filter(|waiting| gated.ages(&waiting.draft.sender)) {
                aging.insert((room.clone(), waiting.draft.sender.clone()), Arc::clone(gated));
            }
        }
        if aging.is_empty() {
            return;
        }
        let archive = Arc::clone(&self.archive);
        tokio::spawn(async move {
            let _permit = permit;
            let asked = Instant::now();
            let (writers, gates): (Vec<_>, Vec<_>) = aging.into_iter().unzip();
            match archive.admissions(&writers).await {
                Ok(answers) => {
                    for ((writer, gated), answer) in writers.iter().zip(gates).zip(answers) {
                        gated.learn(&writer.1, answer, asked);
                    }
                }
                Err(error) => {
                    debug!(%error, writers = writers.len(), "writers could not be asked about again");
                    // What they write next asks again.
                    sleep(RENEWAL_PAUSE).await;
                }
            }
        });
    }
}

/// What is known of a draft's sender. That somebody is no member is asked for each time: only who leaves changes the gate.
#[expect(clippy::option_option, reason = "unknown is not the same as no such room")]
fn known_admission(gated: &Gated, draft: &Draft) -> Option<Option<Admission>> {
    let may = |known: &Option<Admission>| {
        known.is_some_and(|known| known.member || draft.authority == Authority::System)
    };
    gated.admission(&draft.sender).filter(may)
}
