use std::time::Duration;

use super::FrameLimits;
use crate::{Limits, config::Origins};

/// How a STOMP server behaves, each setting with a default that is a public constant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StompConfig {
    /// Bounds of one frame.
    pub frames: FrameLimits,
    /// Of these, the timeouts of connecting and writing and the rate of frames hold, with their own defaults. A client
    /// that sends faster is read no faster.
    pub limits: Limits,
    /// How often the server speaks at least, and wants to hear from its client, where the client agrees. Default
    /// [`StompConfig::HEARTBEAT`].
    pub heartbeat: Duration,
    /// How much longer than twice what was agreed on a client may be silent. Default [`StompConfig::HEARTBEAT_TOLERANCE`].
    pub heartbeat_tolerance: Duration,
    /// How often the transport is pinged, whatever the client agreed to: one of which nothing is heard for twice that and
    /// [`idle_slack`](Limits::idle_slack) counts as gone. `None` for transports without pings, or that look after it themselves,
    /// such as SockJS. Default [`StompConfig::PING_INTERVAL`].
    pub ping_interval: Option<Duration>,
    /// Subscriptions of one connection. Default [`StompConfig::SUBSCRIPTIONS`].
    pub subscriptions: usize,
    /// Transactions of one connection that are open. Default [`StompConfig::TRANSACTIONS`].
    pub transactions: usize,
    /// Bytes of all frames that wait in them, each counted with 256 more. Default [`StompConfig::TRANSACTION_BYTES`].
    pub transaction_bytes: usize,
    pub(super) origins: Origins,
}

impl StompConfig {
    /// Default of [`StompConfig::heartbeat`]: 10 s.
    pub const HEARTBEAT: Duration = Duration::from_secs(10);
    /// Default of [`StompConfig::heartbeat_tolerance`]: 60 s. Browsers run the timers of a page in the background
    /// [once a minute](https://developer.chrome.com/blog/timer-throttling-in-chrome-88), and a page's heart-beats are such timers. Pings it
    /// answers at once, so that on a transport with pings a client which is gone is noticed sooner.
    pub const HEARTBEAT_TOLERANCE: Duration = Duration::from_secs(60);
    /// Default of [`StompConfig::ping_interval`]: 25 s.
    pub const PING_INTERVAL: Duration = Duration::from_secs(25);
    /// Default of [`StompConfig::subscriptions`]: 200.
    pub const SUBSCRIPTIONS: usize = 200;
    /// Default of [`StompConfig::transactions`]: 8.
    pub const TRANSACTIONS: usize = 8;
    /// Default of [`StompConfig::transaction_bytes`]: 256 KiB.
    pub const TRANSACTION_BYTES: usize = 256 * 1024;

    /// The defaults; WebSockets of pages of the same host only.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frames: FrameLimits::new(),
            limits: Limits::new(),
            heartbeat: Self::HEARTBEAT,
            heartbeat_tolerance: Self::HEARTBEAT_TOLERANCE,
            ping_interval: Some(Self::PING_INTERVAL),
            subscriptions: Self::SUBSCRIPTIONS,
            transactions: Self::TRANSACTIONS,
            transaction_bytes: Self::TRANSACTION_BYTES,
            origins: Origins::Same,
        }
    }

    /// With other bounds of a frame.
    #[must_use]
    pub const fn with_frames(mut self, frames: FrameLimits) -> Self {
        self.frames = frames;
        self
    }

    /// With other timeouts and another rate.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With another [`heartbeat`](Self::heartbeat); zero for none in either direction.
    #[must_use]
    pub const fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// With another [`heartbeat_tolerance`](Self::heartbeat_tolerance).
    #[must_use]
    pub const fn with_heartbeat_tolerance(mut self, tolerance: Duration) -> Self {
        self.heartbeat_tolerance = tolerance;
        self
    }

    /// With another [`ping_interval`](Self::ping_interval).
    #[must_use]
    pub const fn with_ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = interval;
        self
    }

    /// With another bound of [`subscriptions`](Self::subscriptions).
    #[must_use]
    pub const fn with_subscriptions(mut self, subscriptions: usize) -> Self {
        self.subscriptions = subscriptions;
        self
    }

    /// With other bounds of transactions: [`transactions`](Self::transactions) and
    /// [`transaction_bytes`](Self::transaction_bytes).
    #[must_use]
    pub const fn with_transactions(mut self, transactions: usize, bytes: usize) -> Self {
        (self.transactions, self.transaction_bytes) = (transactions, bytes);
        self
    }

    /// Lets pages of these origins (such as `https://example.com`) open a WebSocket, and no others. Unless set, only
    /// pages of the host that is asked may. SockJS has a setting of its own.
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        let origins = origins.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        self.origins = Origins::Listed(origins.collect());
        self
    }

    /// Lets every web page open a WebSocket. It still needs credentials, which no browser adds by itself.
    #[must_use]
    pub fn with_any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }
}

impl StompConfig {
    /// For how long a client may be silent on its transport.
    pub(super) fn silence(&self) -> Duration {
        self.ping_interval.map_or(Duration::MAX, |every| every * 2 + self.limits.idle_slack)
    }
}

impl Default for StompConfig {
    fn default() -> Self {
        Self::new()
    }
}
