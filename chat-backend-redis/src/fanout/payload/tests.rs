use chat_core::{CustomKind, JsonText, RoomId, UserId};

use super::*;

fn topic(name: &str) -> Topic {
    Topic::Room(RoomId::new(name).unwrap())
}

fn signal(text: &str) -> FanoutEvent {
    FanoutEvent::Signal {
        room: RoomId::new("r").unwrap(),
        user: UserId::new("ann").unwrap(),
        name: CustomKind::new("note").unwrap(),
        data: JsonText::new(&format!("\n\"{text}\"")).unwrap(),
    }
}

fn said(text: &str) -> Said {
    Said::Event(Arc::new(signal(text)))
}

fn pack(packer: &mut Packer, to: &str, texts: &[&str]) -> String {
    let events: Vec<_> = texts.iter().map(|text| encode(&signal(text)).unwrap()).collect();
    packer.pack(&topic(to), events.iter().map(String::as_str))
}

#[test]
fn what_was_packed_is_unpacked_in_its_order() {
    let (mut packer, mut unpacker) = (Packer::new(u64::MAX), Unpacker::default());
    for round in 0..3 {
        let texts = [format!("{round}a"), format!("{round}b"), "line\\n🍵".to_owned()];
        let payload = pack(&mut packer, "a", &texts.each_ref().map(String::as_str));
        assert_eq!(unpacker.unpack(&topic("a"), &payload), texts.map(|text| said(&text)));
    }
}

#[test]
fn a_repeat_is_known_and_a_gap_is_noticed_whatever_goes_to_other_topics() {
    let (mut packer, mut unpacker) = (Packer::new(1), Unpacker::default());
    let one = pack(&mut packer, "a", &["1"]);
    assert_eq!(unpacker.unpack(&topic("a"), &one), [said("1")]);
    assert_eq!(unpacker.unpack(&topic("a"), &one), []);
    pack(&mut packer, "b", &["other"]);
    let two = pack(&mut packer, "a", &["2"]);
    assert_eq!(unpacker.unpack(&topic("a"), &two), [said("2")], "nothing of this topic is missing");
    let three = pack(&mut packer, "a", &["3"]);
    let four = pack(&mut packer, "a", &["4"]);
    assert_eq!(unpacker.unpack(&topic("a"), &four), [Said::Missed, said("4")]);
    assert_eq!(unpacker.unpack(&topic("a"), &three), [], "it comes too late to be in order");
}

#[test]
fn publishers_are_told_apart() {
    let (mut ours, mut theirs, mut unpacker) = (Packer::new(1), Packer::new(2), Unpacker::default());
    for _ in 0..9 {
        pack(&mut ours, "b", &["x"]);
    }
    assert_eq!(unpacker.unpack(&topic("a"), &pack(&mut ours, "a", &["1"])), [said("1")]);
    assert_eq!(unpacker.unpack(&topic("a"), &pack(&mut theirs, "a", &["2"])), [said("2")]);
}

#[test]
fn who_forgets_what_was_sent_or_came_loses_nothing() {
    let (mut packer, mut unpacker) = (Packer::new(1), Unpacker::default());
    unpacker.unpack(&topic("a"), &pack(&mut packer, "a", &["1"]));
    packer.sent.clear();
    assert_eq!(unpacker.unpack(&topic("a"), &pack(&mut packer, "a", &["2"])), [said("2")]);
    pack(&mut packer, "a", &["3"]);
    unpacker.forget(&topic("a"));
    assert_eq!(unpacker.size, 0);
    assert_eq!(unpacker.unpack(&topic("a"), &pack(&mut packer, "a", &["4"])), [said("4")]);
    assert_eq!(unpacker.size, 1);
}

#[test]
fn what_cannot_be_carried_or_read_is_a_loss_and_what_is_newer_is_passed_over() {
    let mut unpacker = Unpacker::default();
    let long = encode(&signal(&"x".repeat(MAX_EVENT))).unwrap();
    let payload = Packer::new(1).pack(&topic("a"), [long.as_str()]);
    assert_eq!(unpacker.unpack(&topic("a"), &payload), [Said::Missed]);
    for wrong in
        ["", "hello", "1 2 3\n[]", "2 7 1 0\nnobody knows", "1 7 1 0\n[", "1 8 1 0\n[{\"typing\":{}}]"]
    {
        assert_eq!(unpacker.unpack(&topic("a"), wrong), [Said::Missed], "{wrong}");
    }
    let newer = "1 9 1 0 new words\n[{\"waved\":{}}]";
    assert_eq!(unpacker.unpack(&topic("a"), newer), []);
}

/// Nodes of all releases that run side by side agree on it.
#[test]
fn the_format_is_the_same_in_every_release() {
    let room = RoomId::new("r").unwrap();
    let user = UserId::new("ann").unwrap();
    let event = encode(&FanoutEvent::Typing { room, user, active: true }).unwrap();
    let mut packer = Packer::new(0xabc);
    packer.pack(&topic("r"), []);
    let payload = packer.pack(&topic("r"), [event.as_str()]);
    assert_eq!(payload, "1 abc 2 1\n[{\"typing\":{\"room\":\"r\",\"user\":\"ann\",\"active\":true}}]");
}
