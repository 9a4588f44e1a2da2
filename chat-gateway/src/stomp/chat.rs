//! A chat behind STOMP.

use std::{borrow::Cow, collections::VecDeque, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    Chat, Cursor, EncodingSlot, Event, JoinRequest, LiveEntry, LivePage, RoomId, Session, SessionEvents,
    UserId,
    fanout::FanoutEvent,
    session::{JoinOutcome, Joined, LeftReason},
};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{
    Acknowledge, Application, Commands, Connect, Delivery, Destinations, Link, Message, Notice, QueueMessage,
    Route, SendFrame, Subscribe, Subscription, routes::Routes,
};
use crate::{Problem, json::close::Goodbye, observe};

/// Messages for the user's queues that wait; then the client is read no further.
const QUEUED: usize = 16;

/// A [`Chat`] with the destinations of an application: a session behind each connection.
pub struct ChatApplication<D> {
    chat: Chat,
    destinations: Arc<D>,
}

impl<D: Destinations> ChatApplication<D> {
    /// Of these parts.
    #[must_use]
    pub fn new(chat: Chat, destinations: D) -> Self {
        Self { chat, destinations: Arc::new(destinations) }
    }
}

impl<D> fmt::Debug for ChatApplication<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatApplication").finish_non_exhaustive()
    }
}

#[async_trait]
impl<D: Destinations> Application for ChatApplication<D> {
    async fn connect(&self, connect: &Connect) -> Result<Link, Problem> {
        let credentials = self.destinations.credentials(connect);
        let (session, events) = self.chat.connect(&credentials).await?;
        let (queue, queued) = mpsc::channel(QUEUED);
        let routes = Arc::new(Routes::default());
        let user = session.user().clone();
        let connection = session.connection().as_str().to_owned();
        let commands =
            ChatCommands { session, routes: routes.clone(), destinations: self.destinations.clone(), queue };
        let deliveries = Deliveries {
            user: user.clone(),
            events,
            queued,
            routes,
            destinations: self.destinations.clone(),
            out: VecDeque::new(),
            notices: 0,
        };
        let deliveries = stream::unfold(deliveries, |mut deliveries| async move {
            let delivery = deliveries.next().await?;
            Some((delivery, deliveries))
        });
        let link = Link::new(Box::new(commands), deliveries.boxed());
        Ok(link.with_header("session", connection).with_header("user-name", user.as_str()))
    }
}

/// A message on a queue, with what it answers.
#[derive(Debug)]
struct Told {
    message: QueueMessage,
    refusal: Refusal,
}

/// Which frame was refused, and why.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    receipt: Option<String>,
}

struct ChatCommands<D> {
    session: Session,
    routes: Arc<Routes>,
    destinations: Arc<D>,
    queue: mpsc::Sender<Told>,
}

#[async_trait]
impl<D: Destinations> Commands for ChatCommands<D> {
    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), Problem> {
        let subscription = subscribe.subscription.clone();
        let cursor: Option<Cursor> = match subscribe.headers.get("cursor") {
            None => None,
            Some(cursor) => {
                Some(cursor.parse().map_err(|_| Problem::invalid("the cursor is none of this server's"))?)
            }
        };
        let route = self.destinations.route(self.session.user(), subscription.destination())?;
        let room = match &route {
            Route::Queue(queue) => {
                self.routes.listen(queue.clone(), subscription);
                return Ok(());
            }
            Route::Room(room) => room,
        };
        let Some(tag) = self.routes.follow(room, subscription.clone(), cursor.clone()) else { return Ok(()) };
        let mut request = JoinRequest::new(room.clone()).with_tag(tag);
        if cursor.is_none() {
            // Only what is new is told, so that no more than the head is needed.
            request.page = Some(1);
        }
        request.cursor = cursor;
        if let Err(error) = self.session.join(request).await {
            self.routes.end(&route, &subscription);
            return Err(error.into());
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, subscription: &Subscription) -> Result<(), Problem> {
        let route = self.destinations.route(self.session.user(), subscription.destination())?;
        if self.routes.end(&route, subscription)
            && let Route::Room(room) = &route
        {
            self.session.leave(room);
        }
        Ok(())
    }

    async fn send(&mut self, frame: &SendFrame) -> Result<bool, Problem> {
        let Err(problem) = self.destinations.send(&self.session, frame).await else { return Ok(true) };
        let user = self.session.user();
        let Some(message) = self.destinations.refused(user, &problem, frame) else { return Err(problem) };
        observe::error(problem.code);
        let receipt = frame.headers().get("receipt").map(str::to_owned);
        // Where nobody takes it, the connection has ended.
        let _ = self.queue.send(Told { message, refusal: Refusal { code: problem.code, receipt } }).await;
        Ok(false)
    }

    async fn acknowledge(&mut self, _: &Acknowledge) -> Result<(), Problem> {
        Ok(())
    }
}

/// From a session's events to messages.
struct Deliveries<D> {
    user: UserId,
    events: SessionEvents,
    queued: mpsc::Receiver<Told>,
    routes: Arc<Routes>,
    destinations: Arc<D>,
    /// What one event becomes.
    out: VecDeque<Delivery>,
    /// Messages that no log names.
    notices: u64,
}

impl<D: Destinations> Deliveries<D> {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.out.pop_front() {
                return Some(delivery);
            }
            tokio::select! {
                biased;
                Some(told) = self.queued.recv() => self.tell(&told.message, Some(&told.refusal)),
                event = self.events.next() => self.event(event?),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Joined(joined) => self.joined(&joined),
            Event::Entry(entry) => self.entry(&entry),
            Event::Resync { room, page: Some(page), .. } => self.page(&room, &page, "limited"),
            Event::Reset { room, page } => self.page(&room, &page, "reset"),
            Event::Left { room, reason } => self.left(&room, reason),
            Event::Notice(notice) => self.notice(notice.value()),
            Event::Closing(closing) => {
                let goodbye = Goodbye::from(closing);
                let mut problem = Problem::new(goodbye.code, goodbye.message);
                problem.retry_after = goodbye.reconnect_after;
                self.out.push_back(Delivery::Close(problem));
            }
            // Entries follow, or there is nothing that the protocol could say.
            _ => {}
        }
    }

    fn notice(&mut self, event: &FanoutEvent) {
        if let FanoutEvent::SendFailed { room, client_id, user, reason } = event {
            let problem = Problem::from(reason.to_error(room, user));
            if let Some(message) = self.destinations.send_failed(&self.user, room, client_id, &problem) {
                self.tell(&message, Some(&Refusal { code: problem.code, receipt: None }));
            }
            return;
        }
        match self.destinations.notice(&self.user, event) {
            Some(Notice::Room { room, body }) => {
                for subscription in self.routes.followers(&room) {
                    self.message(subscription, body.clone(), None);
                }
            }
            Some(Notice::Queue(message)) => self.tell(&message, None),
            None => {}
        }
    }

    fn joined(&mut self, joined: &Joined) {
        let Joined { tag, room, outcome, cursor, .. } = joined;
        self.routes.joined(room, *tag, cursor, matches!(outcome, JoinOutcome::New { .. }));
        match outcome {
            JoinOutcome::Limited { page, .. } => self.page(room, page, "limited"),
            JoinOutcome::Reset { page } => self.page(room, page, "reset"),
            JoinOutcome::New { .. } | JoinOutcome::Recovered => {}
        }
    }

    /// The newest page in place of what cannot be told. What it is says the next message, be it of the page or a later one: not every
    /// entry is a message.
    fn page(&mut self, room: &RoomId, page: &LivePage, resync: &'static str) {
        let first = page.entries.first().map_or(&page.head.cursor, |entry| &entry.value().position.cursor);
        self.routes.resync(room, first, resync);
        for entry in &page.entries {
            self.entry(entry);
        }
        if page.entries.is_empty() {
            let _ = self.routes.take(room, &page.head.cursor);
        }
    }

    fn entry(&mut self, entry: &LiveEntry) {
        let stored = entry.value();
        let cursor = &stored.position.cursor;
        let subscriptions = self.routes.take(&stored.room, cursor);
        if subscriptions.is_empty() {
            return;
        }
        let body =
            entry.encoded(EncodingSlot::STOMP, |stored| self.destinations.entry(stored).unwrap_or_default());
        if body.is_empty() {
            return;
        }
        let (id, cursor) = (stored.position.id.to_string(), cursor.to_string());
        for subscription in subscriptions {
            let resync = self.routes.take_resync(&stored.room, &subscription);
            let mut message = Message::new(subscription, id.clone(), body.clone())
                .with_content_type(self.destinations.content_type().map(Cow::Borrowed))
                .with_header("cursor", cursor.clone());
            if let Some(resync) = resync {
                message = message.with_header("resync", resync);
            }
            self.out.push_back(Delivery::Message(message));
        }
    }

    fn left(&mut self, room: &RoomId, reason: LeftReason) {
        if !self.routes.left(room) {
            return;
        }
        match self.destinations.left(&self.user, room, reason) {
            Some(message) => self.tell(&message, None),
            None => {
                let problem = match reason {
                    LeftReason::Removed => {
                        Problem::new("not_a_member", format!("no longer a member of room {room}"))
                    }
                    _ => Problem::new("room_not_found", format!("room {room} is gone")),
                };
                self.out.push_back(Delivery::Close(problem));
            }
        }
    }

    fn tell(&mut self, message: &QueueMessage, refusal: Option<&Refusal>) {
        for subscription in self.routes.listeners(&message.queue) {
            self.message(subscription, message.body.clone(), refusal);
        }
    }

    /// A message that is no entry of a log.
    fn message(&mut self, subscription: Subscription, body: Bytes, refusal: Option<&Refusal>) {
        self.notices += 1;
        let mut message = Message::new(subscription, format!("n-{}", self.notices), body)
            .with_content_type(self.destinations.content_type().map(Cow::Borrowed));
        if let Some(Refusal { code, receipt }) = refusal {
            message = message.with_header("code", *code);
            if let Some(receipt) = receipt {
                message = message.with_header("receipt-id", receipt);
            }
        }
        self.out.push_back(Delivery::Message(message));
    }
}
