//! Which channel carries a topic.

use chat_core::fanout::Topic;
use sha2::{Digest as _, Sha256};

/// Topics share this many channels: a server looks through the list of a listener's channels for every notification.
pub(super) const BUCKETS: usize = 256;

/// The channels of one schema. Their names are the same on every node and in every release.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    prefix: String,
}

impl Channels {
    /// Channels belong to a database, so their names say which schema they are of; shortened, since a name has at most 63
    /// bytes and a schema's alone may have as many.
    pub(super) fn new(schema: &str) -> Self {
        let digest = Sha256::digest(schema);
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { prefix: format!("chat_{short}_") }
    }

    pub(super) fn name(&self, bucket: u8) -> String {
        format!("{}{bucket:02x}", self.prefix)
    }

    /// The bucket of a channel, if it is one of these.
    pub(super) fn bucket(&self, channel: &str) -> Option<u8> {
        u8::from_str_radix(channel.strip_prefix(&self.prefix)?, 16).ok()
    }
}

pub(super) fn bucket_of(topic: &Topic) -> u8 {
    let mut digest = Sha256::new();
    match topic {
        Topic::Room(room) => {
            digest.update("room:");
            digest.update(room.as_str());
        }
        Topic::User(user) => {
            digest.update("user:");
            digest.update(user.as_str());
        }
    }
    digest.finalize()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::{RoomId, UserId};

    #[test]
    fn every_release_finds_the_same_channel_for_a_topic() {
        let channels = Channels::new("chat");
        assert_eq!(channels.name(0), "chat_31e06f7d89feb99a_00");
        assert_eq!(channels.bucket(&channels.name(0xa7)), Some(0xa7));
        assert_eq!(Channels::new("other").bucket(&channels.name(1)), None);
        assert_eq!(channels.bucket("anything"), None);
        assert!(channels.name(255).len() <= 63);
        let (room, user) = (RoomId::new("tea").unwrap(), UserId::new("tea").unwrap());
        assert_eq!((bucket_of(&Topic::Room(room)), bucket_of(&Topic::User(user))), (0x92, 0x20));
    }

    #[test]
    fn topics_spread_over_the_channels() {
        let mut used = [0; BUCKETS];
        for number in 0..BUCKETS * 16 {
            used[usize::from(bucket_of(&Topic::Room(RoomId::new(&format!("r{number}")).unwrap())))] += 1;
        }
        assert!(used.iter().all(|topics| (1..48).contains(topics)), "{used:?}");
    }
}
