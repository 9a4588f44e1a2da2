//! An application's events, and rooms that fail as they are told to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_kafka::{MembershipEvent, MembershipRecord, Memberships};
use chat_core::{
    BoxError, Error, MemberChange, MemberOutcome, NewRoom, Result, Role, RoomKey, Rooms, Storage as _,
    UserId, memory::MemoryStore,
};
use serde::Deserialize;
use tokio::time::sleep;

use crate::live::{until, user};

/// As an application writes it.
#[derive(Deserialize)]
struct Joined {
    study: u64,
    member: String,
    version: Option<u64>,
    #[serde(default)]
    left: bool,
}

pub(crate) fn decode(record: &MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError> {
    let joined: Joined = serde_json::from_slice(record.value.ok_or("no value")?)?;
    let room = NewRoom::for_key(RoomKey::new(&format!("study/{}", joined.study))?);
    let member = UserId::new(&joined.member)?;
    let mut change =
        if joined.left { MemberChange::remove(member) } else { MemberChange::add(member, Role::Member) };
    change.version = joined.version;
    Ok(Some(MembershipEvent::new(room, change)))
}

/// Rooms that fail as they are told to.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) rooms: Arc<dyn Rooms>,
    /// How often changes of these users fail yet.
    pub(crate) failing: Arc<Mutex<HashMap<UserId, usize>>>,
    pub(crate) takes: Duration,
    calls: Arc<AtomicUsize>,
    /// The versions that were applied, for each user in this order.
    pub(crate) applied: Arc<Mutex<BTreeMap<String, Vec<u64>>>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            rooms: MemoryStore::new().rooms(),
            failing: Arc::default(),
            takes: Duration::ZERO,
            calls: Arc::default(),
            applied: Arc::default(),
        }
    }

    pub(crate) fn failing(self, member: &str, times: usize) -> Self {
        self.failing.lock().unwrap().insert(user(member), times);
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) async fn is_member(&self, study: u64, member: &str) -> bool {
        let key = RoomKey::new(&format!("study/{study}")).unwrap();
        let Some(room) = self.rooms.room_by_key(&key).await.unwrap() else { return false };
        let member = self.rooms.member(&room.id, &user(member)).await.unwrap();
        member.is_some_and(|member| member.is_current())
    }

    pub(crate) async fn until_member(&self, study: u64, member: &str) {
        until(member, async || self.is_member(study, member).await).await;
    }
}

#[async_trait]
impl Memberships for Store {
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        sleep(self.takes).await;
        let (member, version) = (event.change.user.clone(), event.change.version);
        if let Some(left) = self.failing.lock().unwrap().get_mut(&member).filter(|left| **left > 0) {
            *left -= 1;
            return Err(Error::Busy { retry_after: Duration::ZERO });
        }
        let outcome = self.rooms.apply(event).await?;
        if let Some(version) = version {
            self.applied.lock().unwrap().entry(member.to_string()).or_default().push(version);
        }
        Ok(outcome)
    }
}
