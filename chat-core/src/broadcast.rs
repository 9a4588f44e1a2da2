//! One value handed to many sessions, encoded at most once per protocol.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;

/// One protocol's place for its encoding of a [`Broadcast`]. The gateways of this library use the slots below
/// [`EncodingSlot::APPLICATION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodingSlot(usize);

impl EncodingSlot {
    const COUNT: usize = 4;
    /// The JSON protocol.
    pub const JSON: Self = Self(0);
    /// The application's first Socket.IO dialect.
    pub const SOCKET_IO: Self = Self(1);
    /// STOMP.
    pub const STOMP: Self = Self(2);
    /// Free for an application's own protocol.
    pub const APPLICATION: Self = Self(3);
}

/// A value with the bytes that each protocol sends for it, made when the first session of that protocol sends it and
/// shared by all others.
pub struct Broadcast<T> {
    value: T,
    encoded: [OnceLock<Bytes>; EncodingSlot::COUNT],
}

impl<T> Broadcast<T> {
    /// Wraps a value; nothing is encoded yet.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { value, encoded: [const { OnceLock::new() }; EncodingSlot::COUNT] }
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The bytes of this protocol, made by `encode` the first time.
    pub fn encoded(&self, slot: EncodingSlot, encode: impl FnOnce(&T) -> Bytes) -> Bytes {
        self.encoded[slot.0].get_or_init(|| encode(&self.value)).clone()
    }
}

impl<T: fmt::Debug> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broadcast").field(&self.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_encoded_once_per_protocol() {
        let broadcast = Broadcast::new(7);
        let mut calls = 0;
        for _ in 0..3 {
            broadcast.encoded(EncodingSlot::JSON, |_| {
                calls += 1;
                Bytes::from_static(b"7")
            });
        }
        assert_eq!(calls, 1);
        assert_eq!(broadcast.encoded(EncodingSlot::STOMP, |_| Bytes::from_static(b"seven")), "seven");
    }
}
