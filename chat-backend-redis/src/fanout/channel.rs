//! Which channel carries a topic.

use chat_core::{RoomId, UserId, fanout::Topic};

const ROOM: &str = ":room:";
const USER: &str = ":user:";
const PROBE: &str = ":probe:";

/// The channels of one prefix. Their names are the same on every node and in every release.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    prefix: String,
}

impl Channels {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn name(&self, topic: &Topic) -> String {
        match topic {
            Topic::Room(room) => format!("{}{ROOM}{room}", self.prefix),
            Topic::User(user) => format!("{}{USER}{user}", self.prefix),
        }
    }

    /// The topic of a channel, if it is one of these.
    pub(super) fn topic(&self, channel: &str) -> Option<Topic> {
        let rest = channel.strip_prefix(&self.prefix)?;
        match (rest.strip_prefix(ROOM), rest.strip_prefix(USER)) {
            (Some(room), _) => RoomId::new(room).ok().map(Topic::Room),
            (_, Some(user)) => UserId::new(user).ok().map(Topic::User),
            _ => None,
        }
    }

    /// A channel that nobody else has, in a slot that `is_ours`.
    pub(super) fn probe(&self, is_ours: impl Fn(u16) -> bool) -> Option<String> {
        // More than it takes for a shard of one slot; mostly it takes as many as there are shards.
        (0..400_000)
            .map(|_| format!("{}{PROBE}{{{:016x}}}", self.prefix, fastrand::u64(..)))
            .find(|name| is_ours(slot(name)))
    }

    /// The slot of a topic's channel in a cluster.
    pub(super) fn slot(&self, topic: &Topic) -> u16 {
        slot(&self.name(topic))
    }
}

fn slot(channel: &str) -> u16 {
    fred::util::redis_keyslot(channel.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_read_as_the_topic_that_it_was_made_of() {
        let channels = Channels::new("chat");
        let topics = [
            Topic::Room(RoomId::new("tea").unwrap()),
            Topic::User(UserId::new("tea").unwrap()),
            Topic::User(UserId::new(":room:{a}").unwrap()),
        ];
        for topic in topics {
            assert_eq!(channels.topic(&channels.name(&topic)), Some(topic));
        }
        for other in ["chat:room:", "chat:other:tea", "chats:room:tea", "room:tea", "chat"] {
            assert_eq!(channels.topic(other), None, "{other}");
        }
    }

    #[test]
    fn every_release_finds_the_same_channel_for_a_topic() {
        let (room, user) = (RoomId::new("tea").unwrap(), UserId::new("tea").unwrap());
        let channels = Channels::new("chat");
        assert_eq!(channels.name(&Topic::Room(room)), "chat:room:tea");
        assert_eq!(channels.name(&Topic::User(user)), "chat:user:tea");
    }

    #[test]
    fn a_probe_is_in_any_slot_it_has_to_be_in() {
        let channels = Channels::new("chat");
        for wanted in [0, 1, 8_191, 16_383] {
            let name = channels.probe(|slot| slot == wanted).unwrap();
            assert_eq!(slot(&name), wanted);
            assert_eq!(channels.topic(&name), None);
        }
        assert_eq!(channels.probe(|_| false), None);
    }
}
