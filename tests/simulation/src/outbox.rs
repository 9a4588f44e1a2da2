//! What a client of a real server has still to send.

use std::{collections::VecDeque, time::Duration};

use chat_core::{ClientMessageId, RoomId};
use tokio::time::Instant;

/// Messages that are under way on a connection at the same time.
const WINDOW: usize = 4;
/// A client does not gather more than this while nobody answers.
const MOST: usize = 8;

/// A message that was not answered yet.
#[derive(Debug)]
#[expect(missing_docs, reason = "what they are is their names")]
pub struct Outgoing {
    pub room: RoomId,
    pub client_id: ClientMessageId,
    pub text: String,
    /// Was sent on this connection.
    asked: bool,
    due: Instant,
}

/// A client's messages, each sent again under its own id until it is answered.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: VecDeque<Outgoing>,
    said: usize,
    pace: Option<Duration>,
    write_at: Option<Instant>,
}

impl Outbox {
    /// Puts a message in, and answers its id.
    pub fn say(&mut self, room: &RoomId, text: &str) -> ClientMessageId {
        self.said += 1;
        let client_id = ClientMessageId::generate();
        self.messages.push_back(Outgoing {
            room: room.clone(),
            client_id: client_id.clone(),
            text: text.to_owned(),
            asked: false,
            due: Instant::now(),
        });
        client_id
    }

    /// How many messages were put in, ever.
    #[must_use]
    pub const fn said(&self) -> usize {
        self.said
    }

    /// Messages without an answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether all were answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How often the client is to write from now on; `None`: no more.
    pub const fn write_every(&mut self, pace: Option<Duration>) {
        self.pace = pace;
    }

    /// Whether it is time to write something and not too much is open. The next time is after what `until_next` makes of the pace.
    pub fn is_time(&mut self, now: Instant, until_next: impl FnOnce(Duration) -> Duration) -> bool {
        let Some(pace) = self.pace else { return false };
        if self.write_at.is_some_and(|at| at > now) || self.messages.len() >= MOST {
            return false;
        }
        self.write_at = Some(now + until_next(pace));
        true
    }

    /// What is to be sent now, oldest first. What the iterator has given counts as sent.
    pub fn due(&mut self, now: Instant) -> impl Iterator<Item = &Outgoing> {
        let under_way = self.messages.iter().filter(|message| message.asked).count();
        let waiting = self.messages.iter_mut().filter(move |message| !message.asked && message.due <= now);
        waiting.take(WINDOW.saturating_sub(under_way)).map(|message| {
            message.asked = true;
            &*message
        })
    }

    /// Takes out what was answered; `None` where it was before.
    pub fn answered(&mut self, client_id: &ClientMessageId) -> Option<Outgoing> {
        let place = self.messages.iter().position(|message| message.client_id == *client_id)?;
        self.messages.remove(place)
    }

    /// It is to be sent again after a while. False where it is not here any more.
    pub fn refused(&mut self, client_id: &ClientMessageId, pause: Duration) -> bool {
        let message = self.messages.iter_mut().find(|message| message.client_id == *client_id);
        message.is_some_and(|message| {
            message.asked = false;
            message.due = Instant::now() + pause;
            true
        })
    }

    /// The connection is gone, and who knows what became of that which was sent on it: all is open again. How many those are.
    pub fn disconnected(&mut self) -> usize {
        let asked = self.messages.iter_mut().filter(|message| message.asked);
        asked.map(|message| message.asked = false).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outbox: &mut Outbox) -> Vec<String> {
        outbox.due(Instant::now()).map(|message| message.text.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_is_sent_again() {
        let (mut outbox, room) = (Outbox::default(), RoomId::new("tea").unwrap());
        let ids: Vec<_> = (0..6).map(|n| outbox.say(&room, &n.to_string())).collect();
        assert_eq!(texts(&mut outbox), ["0", "1", "2", "3"]);
        assert!(texts(&mut outbox).is_empty());
        assert_eq!(outbox.answered(&ids[0]).unwrap().text, "0");
        assert!(outbox.answered(&ids[0]).is_none());
        assert!(outbox.refused(&ids[1], Duration::from_secs(1)));
        assert!(!outbox.refused(&ids[0], Duration::from_secs(1)));
        assert_eq!(texts(&mut outbox), ["4", "5"]);
        assert_eq!(outbox.disconnected(), 4);
        assert_eq!(texts(&mut outbox), ["2", "3", "4", "5"]);
        outbox.disconnected();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(texts(&mut outbox), ["1", "2", "3", "4"]);
        assert_eq!((outbox.len(), outbox.said()), (5, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_writes_at_its_pace_while_it_is_answered() {
        let (mut outbox, room) = (Outbox::default(), RoomId::new("tea").unwrap());
        let is_time = |outbox: &mut Outbox| outbox.is_time(Instant::now(), |pace| 2 * pace);
        assert!(!is_time(&mut outbox));
        outbox.write_every(Some(Duration::from_secs(1)));
        for _ in 0..MOST {
            assert!(is_time(&mut outbox));
            assert!(!is_time(&mut outbox));
            outbox.say(&room, "something");
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert!(!is_time(&mut outbox));
        outbox.write_every(None);
        assert!(!outbox.is_empty() && !is_time(&mut outbox));
    }
}
