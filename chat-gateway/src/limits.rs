use std::time::Duration;

/// Bounds of one connection and of one request, each with a default that is a public constant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one frame or of one request's body. Default [`Limits::FRAME_BYTES`].
    pub frame_bytes: usize,
    /// How long a client may take to send `connect`. Default [`Limits::CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// How long a client may take nothing of what is written to it. Default [`Limits::WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// What is added to twice the heartbeat before a silent client counts as gone. Default [`Limits::IDLE_SLACK`].
    pub idle_slack: Duration,
    /// Commands per second of one connection in the long run; zero is taken as one. Default
    /// [`Limits::COMMANDS_PER_SECOND`].
    pub commands_per_second: u32,
    /// Commands of one connection at once after a pause; zero is taken as one. Default [`Limits::COMMAND_BURST`].
    pub command_burst: u32,
}

impl Limits {
    /// Default of [`Limits::frame_bytes`]: 64 KiB.
    pub const FRAME_BYTES: usize = 64 * 1024;
    /// Default of [`Limits::connect_timeout`]: 10 s.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Default of [`Limits::write_timeout`]: 30 s.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of [`Limits::idle_slack`]: 5 s.
    pub const IDLE_SLACK: Duration = Duration::from_secs(5);
    /// Default of [`Limits::commands_per_second`]: 50.
    pub const COMMANDS_PER_SECOND: u32 = 50;
    /// Default of [`Limits::command_burst`]: 200, so that a client that comes back can join its rooms at once.
    pub const COMMAND_BURST: u32 = 200;

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frame_bytes: Self::FRAME_BYTES,
            connect_timeout: Self::CONNECT_TIMEOUT,
            write_timeout: Self::WRITE_TIMEOUT,
            idle_slack: Self::IDLE_SLACK,
            commands_per_second: Self::COMMANDS_PER_SECOND,
            command_burst: Self::COMMAND_BURST,
        }
    }

    /// With another [`frame_bytes`](Self::frame_bytes).
    #[must_use]
    pub const fn with_frame_bytes(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes;
        self
    }

    /// With another [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// With another [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// With another [`idle_slack`](Self::idle_slack).
    #[must_use]
    pub const fn with_idle_slack(mut self, slack: Duration) -> Self {
        self.idle_slack = slack;
        self
    }

    /// With another rate of commands: so many per second, and so many at once after a pause.
    #[must_use]
    pub const fn with_commands(mut self, per_second: u32, burst: u32) -> Self {
        self.commands_per_second = per_second;
        self.command_burst = burst;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// Rooms of a page unless asked for another number.
pub(crate) const ROOMS: usize = 50;
/// Most rooms of a page.
pub(crate) const MAX_ROOMS: usize = 200;
/// Members, or read markers, of a page unless asked for another number.
pub(crate) const MEMBERS: usize = 100;
/// Most members, or read markers, of a page.
pub(crate) const MAX_MEMBERS: usize = 1_000;

/// How many rooms a page of them has.
pub(crate) fn rooms(asked: Option<usize>) -> usize {
    asked.unwrap_or(ROOMS).clamp(1, MAX_ROOMS)
}

/// How many members, or read markers, a page of them has.
pub(crate) fn members(asked: Option<usize>) -> usize {
    asked.unwrap_or(MEMBERS).clamp(1, MAX_MEMBERS)
}
