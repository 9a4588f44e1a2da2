//! Every name of a key.

use sha2::{Digest as _, Sha256};

/// The names of one prefix.
///
/// Keys of one call are in one slot of a cluster: they have the same text in braces. No id stands in braces as it is, since
/// it may contain some itself.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
}

/// How many keys presence has.
pub(crate) const PRESENCE_KEYS: usize = 10;

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// In the order in which `presence.lua` names them.
    pub(crate) fn presence(&self) -> [String; PRESENCE_KEYS] {
        const NAMES: [&str; PRESENCE_KEYS] = [
            "nodes",
            "lives",
            "connections",
            "users",
            "held",
            "leaving",
            "seen",
            "ended",
            "forgettable",
            "state",
        ];
        NAMES.map(|name| format!("{{{}:presence}}:{name}", self.prefix))
    }

    /// The withdrawn tokens of a user, and what was withdrawn by its time of issue.
    pub(crate) fn revoked(&self, user: &str) -> [String; 2] {
        let tag = digest(user.as_bytes());
        ["tokens", "before"].map(|what| format!("{}:revoked:{{{tag}}}:{what}", self.prefix))
    }

    /// What is known of a user's unread entries, and the holds on it.
    pub(crate) fn unread(&self, user: &str) -> [String; 2] {
        let tag = digest(user.as_bytes());
        ["counts", "holds"].map(|what| format!("{}:unread:{{{tag}}}:{what}", self.prefix))
    }

    /// The record of a partition of the hot log: the names of all its keys begin with what is before the last letter.
    pub(crate) fn hot(&self, partition: u16) -> String {
        format!("{{{}:hot:{partition}}}:m", self.prefix)
    }

    /// The allowance of one user or room.
    pub(crate) fn rate(&self, class: &str, id: &str) -> String {
        format!("{}:rate:{class}:{id}", self.prefix)
    }

    /// Who holds what a session of this user is bound to. Neither shows.
    pub(crate) fn binding(&self, user: &str, to: &str) -> String {
        // No user id has a zero in it, so two of them are never read as one another.
        format!("{}:binding:{}", self.prefix, digest(format!("{user}\0{to}").as_bytes()))
    }

    /// Who was let in with the credentials that have this digest.
    pub(crate) fn credentials(&self, digest: &str) -> String {
        format!("{}:credentials:{digest}", self.prefix)
    }
}

/// A name that is short, and as good as unique.
fn digest(text: &[u8]) -> String {
    hex(&Sha256::digest(text)[..16])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`RedisConfig::with_prefix`](crate::RedisConfig::with_prefix) takes.
pub(crate) fn is_prefix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_call_are_in_one_slot_whatever_an_id_contains() {
        let keys = Keys::new("chat");
        let slot = |key: &String| fred::util::redis_keyslot(key.as_bytes());
        let presence = keys.presence();
        assert!(presence.iter().all(|key| slot(key) == slot(&presence[0])));
        for user in ["ann", "}{", "{}", "a{b}c", "}"] {
            let [tokens, before] = keys.revoked(user);
            assert_eq!(slot(&tokens), slot(&before), "{user}");
            let [counts, holds] = keys.unread(user);
            assert_eq!(slot(&counts), slot(&holds), "{user}");
        }
    }

    #[test]
    fn every_release_uses_the_same_names() {
        let keys = Keys::new("chat");
        assert_eq!(keys.presence()[0], "{chat:presence}:nodes");
        assert_eq!(keys.revoked("ann")[0], "chat:revoked:{49915e0d7d4b402e3017d010bc1c0e83}:tokens");
        assert_eq!(keys.unread("ann")[1], "chat:unread:{49915e0d7d4b402e3017d010bc1c0e83}:holds");
        assert_eq!(keys.rate("sends", "ann"), "chat:rate:sends:ann");
        assert_eq!(keys.hot(7), "{chat:hot:7}:m");
        assert_eq!(keys.binding("ann", "p1"), "chat:binding:814ad9c690cd45a5ed7d4290aaa342df");
    }

    #[test]
    fn a_prefix_has_no_braces_and_no_patterns() {
        assert!(is_prefix("chat") && is_prefix("a-b_c.d:e") && is_prefix(&"x".repeat(64)));
        for wrong in ["", "a b", "{a}", "a*", "é", &"x".repeat(65)] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
    }
}
