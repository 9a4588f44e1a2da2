use std::borrow::Cow;

/// How a session ends, as its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000, or an application's own from 3000 to 4999; the other constants here are the protocol's.
    pub code: u16,
    /// Why, for people.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// 3000, the end unless the application says another.
    pub const GO_AWAY: Self = Self { code: 3000, reason: Cow::Borrowed("Go away!") };
    /// 2010: another request of this session waits for messages already. It ends that request, not the session.
    pub const STILL_OPEN: Self = Self { code: 2010, reason: Cow::Borrowed("Another connection still open") };
    /// 1002: a request broke off, or the client took nothing for too long.
    pub const INTERRUPTED: Self = Self { code: 1002, reason: Cow::Borrowed("Connection interrupted") };

    /// With a code and a reason.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The code of a WebSocket's own close: one that may go over the wire
    /// (<https://www.rfc-editor.org/rfc/rfc6455#section-7.4>).
    pub(super) const fn websocket_code(&self) -> u16 {
        match self.code {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => code,
            _ => 1000,
        }
    }
}
