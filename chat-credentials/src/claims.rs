//! What a signed text says of its time and of whom it is for.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use chat_core::Timestamp;
use serde_json::{Map, Value};

use crate::Reason;

/// Seconds past this are no times: the year 9999.
const LAST: f64 = 253_402_300_800.0;

/// Three times, each the strictest of those that were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl Times {
    /// Of `iat`, `nbf` and `exp`.
    pub(crate) fn of(claims: &Map<String, Value>) -> Result<Self, Reason> {
        Ok(Self {
            issued_at: numeric_date(claims, "iat")?,
            not_before: numeric_date(claims, "nbf")?,
            expires_at: numeric_date(claims, "exp")?,
        })
    }

    /// And of the dates within a credential, in both versions' names.
    pub(crate) fn and_of(mut self, credential: &Map<String, Value>) -> Result<Self, Reason> {
        for name in ["issuanceDate", "validFrom"] {
            self.not_before = self.not_before.max(date(credential, name)?);
        }
        for name in ["expirationDate", "validUntil"] {
            let until = date(credential, name)?;
            self.expires_at = [self.expires_at, until].into_iter().flatten().min();
        }
        Ok(self)
    }

    /// When it was made, as far as it says so.
    pub(crate) const fn issued_at(self) -> Option<Timestamp> {
        self.issued_at
    }

    /// From when on it is not accepted any more, if it is now.
    pub(crate) fn check(
        self,
        now: Timestamp,
        leeway: Duration,
        max_age: Option<Duration>,
    ) -> Result<Option<Timestamp>, Reason> {
        let starts = [self.issued_at, self.not_before].into_iter().flatten().max();
        if starts.is_some_and(|start| now.after(leeway) < start) {
            return Err(Reason::NotYetValid);
        }
        let mut end = self.expires_at;
        if let Some(max_age) = max_age {
            match (self.issued_at, end) {
                (Some(made), _) => end = [end, Some(made.after(max_age))].into_iter().flatten().min(),
                (None, Some(end)) if end > now.after(max_age) => return Err(Reason::TooLong),
                (None, Some(_)) => {}
                (None, None) => return Err(Reason::NoExpiry),
            }
        }
        let end = end.map(|end| end.after(leeway));
        if end.is_some_and(|end| now >= end) { Err(Reason::Expired) } else { Ok(end) }
    }
}

/// RFC 7519 §2: seconds, with a fraction or not.
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..LAST).contains(seconds)).ok_or(Reason::Malformed)?;
    let since = u64::try_from(Duration::from_secs_f64(seconds).as_millis()).map_err(|_| Reason::Malformed)?;
    Ok(Some(Timestamp::from_millis(since)))
}

/// RFC 3339, with any offset.
fn date(credential: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Reason> {
    match credential.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => rfc3339(text).map(Some).ok_or(Reason::Malformed),
        Some(_) => Err(Reason::Malformed),
    }
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let (at, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(at) => (at, 0),
        None => {
            let (at, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match offset.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = offset[1..].split_once(':')?;
            let two = |text: &str, below: i64| text.parse().ok().filter(|number| (0..below).contains(number));
            (at, sign * (two(hours, 24)? * 60 + two(minutes, 60)?) * 60_000)
        }
    };
    let at = humantime::parse_rfc3339(&format!("{at}Z").replace('t', "T")).ok()?;
    let at = i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    u64::try_from(at - offset).ok().map(Timestamp::from_millis)
}

/// Whether one of `ours` is meant. With none of ours nobody asks.
pub(crate) fn audience(claims: &Map<String, Value>, ours: &BTreeSet<String>) -> Result<(), Reason> {
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| ours.contains(name));
    let meant = match claims.get("aud") {
        _ if ours.is_empty() => true,
        Some(Value::Array(several)) => several.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if meant { Ok(()) } else { Err(Reason::WrongAudience) }
}

/// A text that may be missing.
pub(crate) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::Malformed),
    }
}

/// A name that is written as a text or as an object with an `id`.
pub(crate) fn id_of<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Reason> {
    match claims.get(name) {
        Some(Value::Object(object)) => text(object, "id"),
        _ => text(claims, name),
    }
}

/// The one that is said, where several places may say it: they have to agree.
pub(crate) fn agreed(said: [Option<&str>; 2]) -> Result<Option<&str>, Reason> {
    match said {
        [Some(one), Some(other)] if one != other => Err(Reason::Inconsistent),
        [one, other] => Ok(one.or(other)),
    }
}

/// One text, or several.
pub(crate) fn texts(value: Option<&Value>) -> Result<Vec<String>, Reason> {
    let one = |value: &Value| value.as_str().map(str::to_owned).ok_or(Reason::Malformed);
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(several)) => several.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn times(claims: &Value) -> Result<Times, Reason> {
        Times::of(claims.as_object().unwrap())
    }

    fn check(claims: &Value, now: u64) -> Result<Option<u64>, Reason> {
        let end = times(claims)?.check(Timestamp::from_secs(now), Duration::from_secs(5), None)?;
        Ok(end.map(|end| end.as_millis() / 1_000))
    }

    #[test]
    fn a_time_holds_with_a_leeway_on_both_sides() {
        let claims = json!({ "iat": 90, "nbf": 100, "exp": 200 });
        assert_eq!(check(&claims, 94), Err(Reason::NotYetValid));
        assert_eq!(check(&claims, 95), Ok(Some(205)));
        assert_eq!(check(&claims, 204), Ok(Some(205)));
        assert_eq!(check(&claims, 205), Err(Reason::Expired));
        assert_eq!(check(&json!({ "iat": 300.5 }), 295), Err(Reason::NotYetValid));
        assert_eq!(check(&json!({}), 0), Ok(None));
        for bad in [json!("1"), json!(-1), json!(null), json!(1e300), json!([1]), json!(true)] {
            assert_eq!(times(&json!({ "exp": bad })), Err(Reason::Malformed));
        }
    }

    #[test]
    fn an_age_ends_what_has_no_end_or_a_late_one() {
        let check = |claims: &Value| {
            let age = Some(Duration::from_secs(60));
            let end = times(claims)?.check(Timestamp::from_secs(1_000), Duration::ZERO, age)?;
            Ok(end.map(|end| end.as_millis() / 1_000))
        };
        assert_eq!(check(&json!({ "iat": 990 })), Ok(Some(1_050)));
        assert_eq!(check(&json!({ "iat": 990, "exp": 9_999 })), Ok(Some(1_050)));
        assert_eq!(check(&json!({ "iat": 940 })), Err(Reason::Expired));
        assert_eq!(check(&json!({ "exp": 1_060 })), Ok(Some(1_060)));
        assert_eq!(check(&json!({ "exp": 1_061 })), Err(Reason::TooLong));
        assert_eq!(check(&json!({ "nbf": 1 })), Err(Reason::NoExpiry));
    }

    #[test]
    fn the_strictest_date_counts() {
        let dates = json!({
            "issuanceDate": "1970-01-02T00:00:10Z", "validFrom": "1970-01-02T01:00:20+01:00",
            "validUntil": "1970-01-01T23:01:40.500-01:00", "expirationDate": "1970-01-02T00:03:20Z",
        });
        let times = Times::default().and_of(dates.as_object().unwrap()).unwrap();
        assert_eq!(times.not_before, Some(Timestamp::from_secs(86_420)));
        assert_eq!(times.expires_at, Some(Timestamp::from_millis(86_500_500)));
        for bad in
            [json!("2020"), json!("2020-01-01"), json!(1), json!("2020-01-01T00:00:00+1:00"), json!("é")]
        {
            let dates = json!({ "validFrom": bad });
            assert_eq!(Times::default().and_of(dates.as_object().unwrap()), Err(Reason::Malformed));
        }
    }

    #[test]
    fn one_of_the_audiences_is_ours() {
        let ours = BTreeSet::from(["chat".to_owned()]);
        let meant = |aud: Value| audience(json!({ "aud": aud }).as_object().unwrap(), &ours).is_ok();
        assert!(meant(json!("chat")) && meant(json!(["shop", "chat"])));
        assert!(
            !meant(json!("shop")) && !meant(json!([])) && !meant(json!(null)) && !meant(json!([["chat"]]))
        );
        assert_eq!(audience(&Map::new(), &ours), Err(Reason::WrongAudience));
        assert_eq!(audience(&Map::new(), &BTreeSet::new()), Ok(()));
    }
}
