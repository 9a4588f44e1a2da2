//! Proves that a run can fail: falsifies what clients noted, as a fault of the servers' would have.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use chat_core::ClientMessageId;
use clap::ValueEnum;
use tokio::time::Instant;

use crate::{
    chronicle::Finding,
    client::Protocol,
    notes::{Ack, Notes},
};

/// What is done to a client's notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// It was not given one message.
    Drop,
    /// It was given one twice.
    Double,
    /// It was given two in the wrong order.
    Swap,
    /// It was answered for a message that nobody stored.
    Invent,
}

impl Sabotage {
    /// Somewhere in the middle of what a room said.
    ///
    /// # Errors
    /// The client was given too little for that.
    pub(crate) fn apply(self, notes: &mut Notes) -> Result<()> {
        let of_room = |places: Range<usize>, room| notes.seen[places].iter().any(|seen| seen.room == room);
        let is_between = |place: &usize| {
            let room = &notes.seen[*place].room;
            of_room(0..*place, room.clone()) && of_room(*place + 1..notes.seen.len(), room.clone())
        };
        let places: Vec<usize> = (0..notes.seen.len()).filter(is_between).collect();
        let middle = *places.get(places.len() / 2).context("too little was said to falsify any of it")?;
        match self {
            Self::Drop => drop(notes.seen.remove(middle)),
            Self::Double => notes.seen.insert(middle, notes.seen[middle].clone()),
            Self::Swap => {
                let room = notes.seen[middle].room.clone();
                let other = notes.seen[..middle].iter().rposition(|seen| seen.room == room);
                if let Some(other) = other {
                    notes.seen.swap(other, middle);
                }
            }
            Self::Invent => {
                let room = notes.seen[middle].room.clone();
                let client_id = ClientMessageId::generate();
                let at = Instant::now();
                let text = "nothing of that kind".to_owned();
                notes.acks.push(Ack { room, client_id, position: None, durability: None, text, at });
            }
        }
        Ok(())
    }
}

/// Whose notes are falsified: the first one's of each protocol, so that each kind of witness is shown to count.
pub(crate) fn chosen(protocols: &[Protocol]) -> Vec<usize> {
    let is_first = |place: &usize| !protocols[..*place].contains(&protocols[*place]);
    (0..protocols.len()).filter(is_first).collect()
}

/// What was falsified was found, of this client by name.
///
/// # Errors
/// It was not: the run says nothing about such clients.
pub(crate) fn was_noticed(name: &str, found: &[Finding]) -> Result<()> {
    let of_client = format!("{name}: ");
    ensure!(
        found.iter().any(|finding| finding.what.starts_with(&of_client)),
        "what was falsified of {name} was not found"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chronicle::Sort;

    #[test]
    fn one_of_each_protocol_is_falsified() {
        use Protocol::{Events, Json, Stomp};
        assert_eq!(chosen(&[Json, Json, Json, Events]), [0, 3]);
        assert_eq!(chosen(&[Events, Stomp, Json, Stomp]), [0, 1, 2]);
    }

    #[test]
    fn findings_of_another_client_do_not_count() {
        let what = "pipeline Ann: was given tea 3 twice".to_owned();
        let found = [Finding { sort: Sort::Duplicate, guarantee: "G5", what, at: None }];
        was_noticed("pipeline Ann", &found).unwrap();
        was_noticed("pipeline Eve", &found).unwrap_err();
        was_noticed("pipeline", &found).unwrap_err();
    }
}
