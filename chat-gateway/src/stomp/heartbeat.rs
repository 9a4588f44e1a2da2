//! Who speaks how often: <https://stomp.github.io/stomp-specification-1.2.html#Heart-beating>.

use std::time::Duration;

use crate::{Problem, problem::millis};

/// The longest that a client may name: beyond it there might as well be none.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the two sides agreed on; `None` for silence as long as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beats {
    /// The server says something at least this often.
    pub(super) to_client: Option<Duration>,
    /// The client does.
    pub(super) from_client: Option<Duration>,
}

impl Beats {
    /// From the client's header and what the server wants in either direction.
    pub(super) fn negotiate(header: Option<&str>, server: Duration) -> Result<Self, Problem> {
        let (client_sends, client_wants) = match header {
            None => (Duration::ZERO, Duration::ZERO),
            Some(header) => {
                read(header).ok_or_else(|| Problem::invalid("heart-beat is two numbers of milliseconds"))?
            }
        };
        let agreed = |one: Duration, other: Duration| {
            (!one.is_zero() && !other.is_zero()).then(|| one.max(other).min(LONGEST))
        };
        Ok(Self { to_client: agreed(server, client_wants), from_client: agreed(client_sends, server) })
    }

    /// How often the server speaks: a little sooner than it must.
    pub(super) fn every(self) -> Option<Duration> {
        self.to_client.map(|every| (every - every / 10).max(Duration::from_millis(1)))
    }

    /// After how long a silent client counts as gone: a beat may be late, and so much later.
    pub(super) fn silence(self, tolerance: Duration) -> Duration {
        self.from_client.map_or(Duration::MAX, |every| (every * 2).saturating_add(tolerance))
    }
}

/// The server's own header.
pub(super) fn header(server: Duration) -> String {
    let server = millis(server);
    format!("{server},{server}")
}

fn read(header: &str) -> Option<(Duration, Duration)> {
    let (sends, wants) = header.split_once(',')?;
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Duration::from_millis(text.parse().unwrap_or(u64::MAX)))
    };
    Some((number(sends)?, number(wants)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_the_two_is_agreed_on() {
        let server = Duration::from_secs(10);
        let ms = |number| Some(Duration::from_millis(number));
        for (header, to_client, from_client) in [
            (None, None, None),
            (Some("0,0"), None, None),
            (Some("4000,0"), None, ms(10_000)),
            (Some("0,20000"), ms(20_000), None),
            (Some(" 15000 , 1 "), ms(10_000), ms(15_000)),
            (Some("0,99999999999999999999999"), ms(86_400_000), None),
        ] {
            let beats = Beats::negotiate(header, server).unwrap();
            assert_eq!(beats, Beats { to_client, from_client }, "{header:?}");
        }
        assert_eq!(Beats::negotiate(Some("1,1"), Duration::ZERO).unwrap(), Beats::default());
        for header in ["", "1", "1,", "-1,0", "1,2,3", "a,b"] {
            assert!(Beats::negotiate(Some(header), server).is_err(), "{header}");
        }
    }
}
