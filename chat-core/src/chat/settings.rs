use std::time::Duration;

use crate::{auth::BindingPolicy, chat::BuildError, mutation::Mutation, presence};

/// Every bound and interval of the engine, each with a default that is a public constant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Tasks that append, each with at most one batch under way; a room always uses the same one. Fewer where the log
    /// works on fewer appends at once. Default [`Settings::APPEND_LANES`].
    pub append_lanes: usize,
    /// Most drafts in one batch. Default [`Settings::APPEND_BATCH`].
    pub append_batch: usize,
    /// Most drafts that wait in one lane; more are refused as busy. Default [`Settings::APPEND_QUEUE`].
    pub append_queue: usize,
    /// Most bytes of drafts that wait in all lanes; more are refused as busy. Default
    /// [`Settings::APPEND_QUEUE_BYTES`].
    pub append_queue_bytes: usize,
    /// How long the log may take over a batch before its senders are told that the outcome is unknown. Default 10 s.
    pub append_timeout: Duration,
    /// How long any other call of a backend may take. Default 10 s.
    pub call_timeout: Duration,
    /// Entries that a room with sessions keeps in memory. Default [`Settings::ROOM_BUFFER_ENTRIES`].
    pub room_buffer_entries: usize,
    /// Bytes of entries that a room with sessions keeps in memory, and four times as many for 2 s of what sessions that come back read
    /// from its log. Default [`Settings::ROOM_BUFFER_BYTES`].
    pub room_buffer_bytes: usize,
    /// How long a room without sessions is kept warm for a reconnect. Default 30 s.
    pub room_linger: Duration,
    /// How long a missing live entry may be on its way before it is read from the log. Default 20 ms.
    pub gap_patience: Duration,
    /// How often a node compares the heads of its rooms with the log. Default 10 s.
    pub head_check_interval: Duration,
    /// How often a session is told the heads of its rooms. Default 25 s.
    pub heartbeat_interval: Duration,
    /// Most entries that are sent again after a break; with more the session gets the newest page. Default
    /// [`Settings::REPLAY_LIMIT`].
    pub replay_limit: u64,
    /// Entries of the page that a join answers, unless it asks for another number. Default 50.
    pub join_page: usize,
    /// Most entries of joined pages that wait for a session. Where a page as large as asked for does not fit, it has the
    /// room's share (this, divided by `rooms_per_session`), so that at most twice as many wait, however many rooms are
    /// joined and whatever is asked for. Default [`Settings::SESSION_PAGE_ENTRIES`].
    pub session_page_entries: usize,
    /// Most typing, read, presence, room and member notices that wait for a session. Default 64.
    pub notice_queue: usize,
    /// Most rooms that one session may have joined. Default [`Settings::ROOMS_PER_SESSION`].
    pub rooms_per_session: usize,
    /// Most sessions of one user on this node; one more ends the oldest. Default 16.
    pub sessions_per_user: usize,
    /// How long before its expiry a session is reminded. Default 60 s, at most half of what is left.
    pub expiry_notice: Duration,
    /// How often open sessions are asked about again: revocation, membership, and whether what they are bound to is still
    /// theirs. Default 30 s. A binding whose node says nothing is free after three times this.
    pub recheck_interval: Duration,
    /// Which of two sessions with one binding stays, where the chat has
    /// [`bindings`](crate::chat::ChatBuilder::bindings). Default [`BindingPolicy::NewerWins`].
    pub binding_policy: BindingPolicy,
    /// Life of this node's presence lease. Default [`presence::DEFAULT_LEASE`].
    pub presence_lease: Duration,
    /// How often the lease is renewed. Default [`presence::DEFAULT_RENEWAL`].
    pub presence_renewal: Duration,
    /// How long a user without connection stays announced as online. Default [`presence::DEFAULT_GRACE`].
    pub presence_grace: Duration,
    /// In how many of a user's rooms, by latest activity, coming online and going offline is announced. Default 100.
    pub presence_rooms: usize,
    /// Whether changes of membership are written to the room as join and leave entries. Default true.
    pub announce_members: bool,
    /// How long a hook may take. Default 2 s.
    pub hook_timeout: Duration,
    /// Most stored messages that wait for the after-append hooks; more are passed over. Default 1,024.
    pub hook_queue: usize,
    #[doc(hidden)]
    pub mutation: Option<Mutation>,
}

impl Settings {
    /// Default of [`Settings::append_lanes`].
    pub const APPEND_LANES: usize = 4;
    /// Default of [`Settings::append_batch`]: past 512 rows a batch insert gains little more.
    pub const APPEND_BATCH: usize = 512;
    /// Default of [`Settings::append_queue`].
    pub const APPEND_QUEUE: usize = 4_096;
    /// Default of [`Settings::append_queue_bytes`].
    pub const APPEND_QUEUE_BYTES: usize = 16 * 1024 * 1024;
    /// Default of [`Settings::room_buffer_entries`].
    pub const ROOM_BUFFER_ENTRIES: usize = 256;
    /// Default of [`Settings::room_buffer_bytes`].
    pub const ROOM_BUFFER_BYTES: usize = 256 * 1024;
    /// Default of [`Settings::replay_limit`].
    pub const REPLAY_LIMIT: u64 = 1_000;
    /// Default of [`Settings::session_page_entries`].
    pub const SESSION_PAGE_ENTRIES: usize = 2_000;
    /// Default of [`Settings::rooms_per_session`].
    pub const ROOMS_PER_SESSION: usize = 100;

    /// Whether this fault is put in. Always false without the feature `mutations`.
    #[inline]
    pub(crate) fn is_mutated(&self, mutation: Mutation) -> bool {
        cfg!(feature = "mutations") && self.mutation == Some(mutation)
    }

    /// How long a binding is held without being renewed.
    pub(crate) fn binding_time_to_live(&self) -> Duration {
        self.recheck_interval.saturating_mul(3)
    }

    /// Checks that every bound lets something through.
    pub(crate) fn check(&self, problems: &mut Vec<BuildError>) {
        let counts = [
            ("append_lanes", self.append_lanes),
            ("append_batch", self.append_batch),
            ("append_queue", self.append_queue),
            ("append_queue_bytes", self.append_queue_bytes),
            ("room_buffer_entries", self.room_buffer_entries),
            ("room_buffer_bytes", self.room_buffer_bytes),
            ("join_page", self.join_page),
            ("session_page_entries", self.session_page_entries),
            ("notice_queue", self.notice_queue),
            ("rooms_per_session", self.rooms_per_session),
            ("sessions_per_user", self.sessions_per_user),
            ("hook_queue", self.hook_queue),
        ];
        let times = [
            ("append_timeout", self.append_timeout),
            ("call_timeout", self.call_timeout),
            ("head_check_interval", self.head_check_interval),
            ("heartbeat_interval", self.heartbeat_interval),
            ("recheck_interval", self.recheck_interval),
            ("presence_lease", self.presence_lease),
            ("presence_renewal", self.presence_renewal),
            ("hook_timeout", self.hook_timeout),
        ];
        let zero_counts = counts.iter().filter(|(_, value)| *value == 0).map(|(name, _)| *name);
        let zero_times = times.iter().filter(|(_, value)| value.is_zero()).map(|(name, _)| *name);
        problems.extend(zero_counts.chain(zero_times).map(|setting| BuildError::ZeroSetting { setting }));
        if self.presence_renewal >= self.presence_lease {
            problems.push(BuildError::RenewalTooSlow);
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            append_lanes: Self::APPEND_LANES,
            append_batch: Self::APPEND_BATCH,
            append_queue: Self::APPEND_QUEUE,
            append_queue_bytes: Self::APPEND_QUEUE_BYTES,
            append_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
            room_buffer_entries: Self::ROOM_BUFFER_ENTRIES,
            room_buffer_bytes: Self::ROOM_BUFFER_BYTES,
            room_linger: Duration::from_secs(30),
            gap_patience: Duration::from_millis(20),
            head_check_interval: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(25),
            replay_limit: Self::REPLAY_LIMIT,
            join_page: 50,
            session_page_entries: Self::SESSION_PAGE_ENTRIES,
            notice_queue: 64,
            rooms_per_session: Self::ROOMS_PER_SESSION,
            sessions_per_user: 16,
            expiry_notice: Duration::from_secs(60),
            recheck_interval: Duration::from_secs(30),
            binding_policy: BindingPolicy::NewerWins,
            presence_lease: presence::DEFAULT_LEASE,
            presence_renewal: presence::DEFAULT_RENEWAL,
            presence_grace: presence::DEFAULT_GRACE,
            presence_rooms: 100,
            announce_members: true,
            hook_timeout: Duration::from_secs(2),
            hook_queue: 1_024,
            mutation: None,
        }
    }
}
