//! Settings out of environment variables: all that is wrong is named at once.

use std::{
    collections::HashMap,
    env,
    fmt::{self, Display},
    net::{SocketAddr, ToSocketAddrs as _},
    ops::RangeInclusive,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

/// What is logged: a level, or levels per module such as `info,chat_core=debug`.
pub const LOG: &str = "CHAT_LOG";
/// Unless that is set.
pub const DEFAULT_LOG: &str = "info,librdkafka=off,sqlx=warn";

/// Everything that is wrong, at once.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongSettings(Vec<String>);

impl Display for WrongSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these settings cannot work:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for WrongSettings {}

/// The variables, and what was found wrong with those that were asked for. An empty one counts as not set.
///
/// ```
/// use example_support::settings::{Environment, number};
///
/// let mut environment = Environment::from_pairs([("PAGE", "0")]);
/// let secret = environment.required("SECRET", "what signs the users' tokens");
/// let page = environment.parsed("PAGE", "50", number(1..=100));
/// let wrong = environment.finish().unwrap_err().to_string();
/// assert!(wrong.contains("SECRET: is needed: what signs the users' tokens"));
/// assert!(wrong.contains("PAGE: must be a number from 1 to 100"));
/// ```
#[must_use = "what is wrong is said by `finish`"]
pub struct Environment {
    /// None: the process's own.
    pairs: Option<HashMap<String, String>>,
    problems: Vec<String>,
}

impl Environment {
    /// The process's own variables.
    pub fn from_process() -> Self {
        Self::checked(None)
    }

    /// These alone, for tests.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::checked(Some(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }

    fn checked(pairs: Option<HashMap<String, String>>) -> Self {
        let mut environment = Self { pairs, problems: Vec::new() };
        environment.parsed(LOG, DEFAULT_LOG, |filter| EnvFilter::builder().parse(filter).map(drop));
        environment
    }

    /// A variable that must be set; empty where it is not, which [`finish`](Self::finish) will say together with what it is.
    pub fn required(&mut self, name: &str, what_it_is: &str) -> String {
        let value = self.optional(name);
        value.unwrap_or_else(|| {
            self.wrong(name, format_args!("is needed: {what_it_is}"));
            String::new()
        })
    }

    /// A variable that may be set.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        let value = match &self.pairs {
            Some(pairs) => pairs.get(name).cloned(),
            None => match env::var(name) {
                Ok(value) => Some(value),
                Err(env::VarError::NotPresent) => None,
                Err(env::VarError::NotUnicode(_)) => {
                    self.wrong(name, "is not UTF-8");
                    None
                }
            },
        };
        value.filter(|value| !value.is_empty())
    }

    /// A variable in a form of its own, `default` where it is not set. `None` where it is wrong, which [`finish`](Self::finish)
    /// will say.
    pub fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.optional(name);
        self.take(name, parse(value.as_deref().unwrap_or(default)))
    }

    /// A variable that must be set, in a form of its own.
    pub fn required_parsed<T, E: Display>(
        &mut self,
        name: &str,
        what_it_is: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.required(name, what_it_is);
        if value.is_empty() { None } else { self.take(name, parse(&value)) }
    }

    /// What was made of a variable, or `None` and what is wrong with it.
    pub fn take<T, E: Display>(&mut self, name: &str, made: Result<T, E>) -> Option<T> {
        made.map_err(|problem| self.wrong(name, problem)).ok()
    }

    /// Says that a variable is wrong. Not with its value where that may be a secret.
    pub fn wrong(&mut self, name: &str, problem: impl Display) {
        self.problems.push(format!("{name}: {problem}"));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn finish(self) -> Result<(), WrongSettings> {
        if self.problems.is_empty() { Ok(()) } else { Err(WrongSettings(self.problems)) }
    }

    /// Ends the reading with what was put together from it, which is there if nothing was wrong.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn finish_with<T>(self, settings: Option<T>) -> Result<T, WrongSettings> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(WrongSettings(self.problems)),
        }
    }
}

/// Names of what was asked for may be shown; values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// An address to listen at, such as `127.0.0.1:8080`.
///
/// # Errors
/// It is none.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| format!("{text:?} is not an address such as 127.0.0.1:8080"))
}

/// A whole number within bounds.
pub fn number(bounds: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.ok_or_else(|| format!("must be a number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// A time such as `2s` or `1h` within bounds.
pub fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let time = humantime::parse_duration(text).ok().filter(|time| bounds.contains(time));
        let [from, to] = [bounds.start(), bounds.end()].map(|time| humantime::format_duration(*time));
        time.ok_or_else(|| format!("must be a time from {from} to {to}"))
    }
}

/// Whether something happens.
///
/// # Errors
/// It is neither word.
pub fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off"),
    }
}

/// The name of a schema or a table that can stand in a statement as it is.
///
/// # Errors
/// It would have to be quoted, or is longer than PostgreSQL has it.
pub fn plain_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if begins && text.len() <= 63 && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("must be a letter or _, then letters, digits and _, all lower case, at most 63")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_ends_no_statement() {
        for good in ["chat", "_a1", &"a".repeat(63)] {
            assert_eq!(plain_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "1a", "a b", "a;drop", "a\"", "Chat", "ä", &"a".repeat(64)] {
            assert!(plain_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once_and_no_value_that_may_be_secret() {
        let pairs =
            [("EMPTY", ""), ("LISTEN", "here"), ("WAIT", "2h"), ("CHAT_LOG", "a=b=c"), ("KEY", "hidden")];
        let mut environment = Environment::from_pairs(pairs);
        assert_eq!(environment.required("EMPTY", "something"), "");
        assert_eq!(environment.required("MISSING", "something else"), "");
        assert_eq!(environment.parsed("LISTEN", "127.0.0.1:1", address), None);
        assert_eq!(
            environment.parsed("WAIT", "1s", duration(Duration::ZERO..=Duration::from_secs(60))),
            None
        );
        assert_eq!(environment.required_parsed("KEY", "a key", |_| Err::<(), _>("is too short")), None);
        assert_eq!(environment.required_parsed("OTHER", "another", |_| Ok::<_, String>(1)), None);
        assert!(!format!("{environment:?}").contains("hidden"));
        let wrong = environment.finish_with(Some(())).unwrap_err().to_string();
        for problem in [
            "\n  CHAT_LOG: ",
            "\n  EMPTY: is needed: something",
            "\n  MISSING: is needed: something else",
            "\n  LISTEN: \"here\" is not an address",
            "\n  WAIT: must be a time from 0s to 1m",
            "\n  KEY: is too short",
            "\n  OTHER: is needed: another",
        ] {
            assert!(wrong.contains(problem), "{problem:?} is not in: {wrong}");
        }
        assert!(!wrong.contains("hidden"));
    }

    #[test]
    fn what_is_set_counts_and_otherwise_the_default() {
        let mut environment = Environment::from_pairs([("COUNT", "7"), ("NAME", "ann")]);
        assert_eq!(environment.required("NAME", "a name"), "ann");
        assert_eq!(environment.optional("OTHER"), None);
        assert_eq!(environment.parsed("COUNT", "1", number(1..=9)), Some(7));
        assert_eq!(environment.parsed("UNSET", "3", number(1..=9)), Some(3));
        assert_eq!(environment.parsed("LISTEN", "127.0.0.1:8080", address).map(|at| at.port()), Some(8080));
        assert_eq!(environment.finish(), Ok(()));
    }
}
