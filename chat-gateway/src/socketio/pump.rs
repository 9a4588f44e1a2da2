//! What a session tells its client.

use std::{sync::Arc, time::Duration};

use chat_core::{
    Event, RoomId, Session, SessionEvents,
    fanout::FanoutEvent,
    session::{CloseReason, Closing, Hole, JoinOutcome, Joined},
};
use socketioxide::SocketError;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Done,
    commands::{Joins, tell},
    emit::{Stuck, Wire},
    socket::Mount,
};
use crate::{
    Problem,
    observe::{self, Transport},
};

/// When it is tried again to disconnect a client whose buffer is full.
const AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Pump {
    pub(super) mount: Arc<Mount>,
    pub(super) events: SessionEvents,
    pub(super) session: Session,
    pub(super) wire: Arc<Wire>,
    pub(super) joins: Arc<Joins>,
}

impl Pump {
    /// Writes until the client is `gone` or the session ends.
    pub(super) async fn run(mut self, mut gone: watch::Receiver<()>) {
        loop {
            let event = tokio::select! {
                biased;
                // Only its sender's end is ever told.
                _ = gone.changed() => return,
                event = self.events.next() => event,
            };
            let Some(event) = event else { return };
            if let Event::Closing(closing) = event {
                return self.close(closing, &mut gone).await;
            }
            let told = tokio::select! {
                biased;
                _ = gone.changed() => return,
                told = self.tell(event) => told,
            };
            match told {
                Ok(()) => {}
                Err(Stuck::Gone) => return,
                Err(Stuck::TooSlow) => {
                    observe::closing(Transport::SocketIo, "too_slow");
                    drop(self.events);
                    return disconnect(&self.wire, &mut gone).await;
                }
            }
        }
    }

    async fn tell(&self, event: Event) -> Result<(), Stuck> {
        let dialect = &self.mount.dialect;
        match event {
            Event::Joined(joined) => self.joined(*joined).await,
            Event::Entry(entry) => self.entry(&entry).await,
            // The entries in the hole follow.
            Event::Resync { page: None, .. } => Ok(()),
            Event::Resync { room, hole, page: Some(page) } => self.gap(&room, Some(&hole), &page).await,
            Event::Reset { room, page } => self.gap(&room, None, &page).await,
            Event::Left { room, .. } => {
                for received in self.joins.up_to(&room, u64::MAX) {
                    let problem = Problem::new("not_a_member", "the membership has ended");
                    tell(&**dialect, &self.session, &self.wire, &received, Err(problem)).await?;
                }
                self.say(dialect.left(&room)).await
            }
            Event::Notice(notice) => self.say(self.notice(notice.value())).await,
            _ => Ok(()),
        }
    }

    fn notice(&self, event: &FanoutEvent) -> Option<super::Emit> {
        let dialect = &self.mount.dialect;
        match event {
            FanoutEvent::SendFailed { room, client_id, user, reason } => {
                dialect.send_failed(room, client_id, &reason.to_error(room, user).into())
            }
            event => dialect.notice(event),
        }
    }

    async fn say(&self, emit: Option<super::Emit>) -> Result<(), Stuck> {
        let Some(emit) = emit else { return Ok(()) };
        observe::frames_sent(Transport::SocketIo, 1);
        self.wire.say(&emit).await
    }

    async fn entry(&self, entry: &chat_core::LiveEntry) -> Result<(), Stuck> {
        let Some(said) = self.mount.id.encoded(&*self.mount.dialect, entry) else { return Ok(()) };
        observe::frames_sent(Transport::SocketIo, 1);
        self.wire.emit(&said.event, &said.data).await
    }

    async fn joined(&self, joined: Joined) -> Result<(), Stuck> {
        let Joined { tag, room, outcome, cursor } = joined;
        let recovered = matches!(outcome, JoinOutcome::Recovered);
        for received in self.joins.up_to(&room, tag) {
            let done = Done::Joined { room: room.clone(), cursor: cursor.clone(), recovered };
            tell(&*self.mount.dialect, &self.session, &self.wire, &received, Ok(done)).await?;
        }
        match outcome {
            JoinOutcome::Limited { page, hole } => self.gap(&room, Some(&hole), &page).await,
            JoinOutcome::Reset { page } => self.gap(&room, None, &page).await,
            // A client without a position asks for what was before by itself.
            JoinOutcome::New { .. } | JoinOutcome::Recovered => Ok(()),
        }
    }

    /// Too much was missed, or another log began: the newest page, whole.
    async fn gap(&self, room: &RoomId, hole: Option<&Hole>, page: &chat_core::LivePage) -> Result<(), Stuck> {
        self.say(self.mount.dialect.gap(room, hole)).await?;
        for entry in &page.entries {
            self.entry(entry).await?;
        }
        Ok(())
    }

    async fn close(self, closing: Closing, gone: &mut watch::Receiver<()>) {
        observe::closing(Transport::SocketIo, name_of(closing.reason));
        let _ = self.say(self.mount.dialect.closing(closing.reason)).await;
        // A client that is disconnected by the server stays away. One whose server ends loses its transport with it, and
        // comes back to another.
        if closing.reason != CloseReason::Draining {
            disconnect(&self.wire, gone).await;
        }
    }
}

/// Disconnects a client, which takes a place in the same buffer as everything else. One that takes nothing for so long again keeps its
/// transport until that ends, and nothing else: its session is over.
async fn disconnect(wire: &Wire, gone: &mut watch::Receiver<()>) {
    let end = Instant::now() + wire.patience;
    while let Err(SocketError::InternalChannelFull) = wire.socket.clone().disconnect() {
        tokio::select! {
            biased;
            _ = gone.changed() => return,
            () = sleep(AGAIN) => {}
        }
        if Instant::now() >= end {
            return;
        }
    }
}

const fn name_of(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Closed => "closed",
        CloseReason::Expired => "token_expired",
        CloseReason::Revoked => "token_revoked",
        CloseReason::Replaced => "replaced",
        CloseReason::Superseded => "superseded",
        CloseReason::Draining => "draining",
        _ => "other",
    }
}
