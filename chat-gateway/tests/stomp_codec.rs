//! The STOMP codec, fed with frames and with anything.
#![cfg(feature = "stomp")]
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use chat_gateway::stomp::{Command, DecodeError, Decoded, Decoder, Frame, FrameLimits, Version};
use proptest::prelude::*;

fn small() -> FrameLimits {
    FrameLimits::new().with_head(4, 32, 64).with_body_bytes(48)
}

/// Everything that the bytes say, cut into pieces of these lengths, and how it ended.
fn decode_pieces(
    bytes: &[u8],
    cuts: &[usize],
    version: Version,
    limits: FrameLimits,
) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
    decoder.set_version(version);
    let (mut frames, mut rest, mut cuts) = (Vec::new(), bytes, cuts.iter().cycle());
    let most = limits.head_bytes + limits.body_bytes + limits.line_bytes + 1;
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
        let (mut piece, later) = rest.split_at(length);
        rest = later;
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(Decoded::Frame(frame))) => frames.push(frame),
                Ok(Some(Decoded::HeartBeat)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut &b"SEND\n\n\0"[..]), Err(error), "an error is the end");
                    assert_eq!(decoder.buffered(), 0);
                    return (frames, Some(error));
                }
            }
        }
        assert!(decoder.buffered() <= most, "{} bytes are kept", decoder.buffered());
    }
    (frames, None)
}

fn decode(bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    let (frames, error) = decode_pieces(bytes, &[], Version::V1_2, FrameLimits::new());
    error.map_or(Ok(frames), Err)
}

#[test]
fn frames_are_read_as_the_specification_shows_them() {
    let frames = decode(b"\n\r\nCONNECT\r\naccept-version:1.2\r\nhost:stomp.example:81\r\n\r\n\0\nSEND\ndestination:/queue/a\ndestination:/queue/b\n\nhello queue a\0").unwrap();
    assert_eq!(frames[0].command, Command::Connect);
    assert_eq!(frames[0].header("host"), Some("stomp.example:81"));
    assert_eq!(frames[1].header("destination"), Some("/queue/a"), "the first of repeated headers holds");
    assert_eq!(frames[1].body, "hello queue a");
    assert_eq!(frames[1].headers.len(), 2);
}

#[test]
fn a_body_of_a_known_length_may_have_any_bytes() {
    let frames = decode(b"SEND\ncontent-length:5\n\na\0b\0c\0\n").unwrap();
    assert_eq!(frames[0].body, &b"a\0b\0c"[..]);
    assert_eq!(decode(b"SEND\ncontent-length:3\n\nabcd\0"), Err(DecodeError::Unterminated));
}

#[test]
fn headers_are_escaped_but_for_those_that_find_out_the_version() {
    let frames = decode(b"CONNECT\npasscode:a\\nb\n\n\0SEND\na\\cb:\\\\\\r\\n\n\n\0").unwrap();
    assert_eq!(frames[0].header("passcode"), Some("a\\nb"));
    assert_eq!(frames[1].header("a:b"), Some("\\\r\n"));
    let old = |bytes: &[u8], version| decode_pieces(bytes, &[], version, FrameLimits::new());
    assert_eq!(old(b"SEND\na:\\r\n\n\0", Version::V1_1).1, Some(DecodeError::UndefinedEscape));
    assert_eq!(old(b"SEND\na: \\t \n\n\0", Version::V1_0).0[0].header("a"), Some("\\t"));
    assert_eq!(decode(b"SEND\na: x \n\n\0").unwrap()[0].header("a"), Some(" x "));
}

#[test]
fn what_is_no_frame_is_refused_with_its_reason() {
    for (bytes, error) in [
        (&b"HELLO\n\n\0"[..], DecodeError::UnknownCommand),
        (b"send\n\n\0", DecodeError::UnknownCommand),
        (b" SEND\n\n\0", DecodeError::UnknownCommand),
        (b"SEND\nx\n\n\0", DecodeError::MalformedHeader),
        (b"SEND\n:x\n\n\0", DecodeError::MalformedHeader),
        (b"SEND\na:\\t\n\n\0", DecodeError::UndefinedEscape),
        (b"SEND\na:\xff\n\n\0", DecodeError::NotText),
        (b"SEND\0", DecodeError::NotText),
        (b"SEND\na:b\0", DecodeError::NotText),
        (b"SEND\ncontent-length:-1\n\n\0", DecodeError::InvalidContentLength),
        (b"SEND\ncontent-length:+1\n\nx\0", DecodeError::InvalidContentLength),
        (b"SEND\ncontent-length:\n\n\0", DecodeError::InvalidContentLength),
        (b"SEND\ncontent-length:99999999999999999999999\n\n\0", DecodeError::BodyTooLong { max: 65_536 }),
        (b"SUBSCRIBE\nid:1\n\nx\0", DecodeError::UnexpectedBody),
        (b"SUBSCRIBE\ncontent-length:1\n\nx\0", DecodeError::UnexpectedBody),
    ] {
        assert_eq!(decode(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn every_bound_holds_to_the_byte() {
    let read = |bytes: &[u8]| decode_pieces(bytes, &[], Version::V1_2, small()).1;
    let line = |length: usize| format!("SEND\na:{}\r\n\n\0", "x".repeat(length - 2));
    assert_eq!(read(line(32).as_bytes()), None);
    assert_eq!(read(line(33).as_bytes()), Some(DecodeError::LineTooLong { max: 32 }));
    let headers = |count| format!("SEND\n{}\n\0", "a:b\n".repeat(count));
    assert_eq!(read(headers(4).as_bytes()), None);
    assert_eq!(read(headers(5).as_bytes()), Some(DecodeError::TooManyHeaders { max: 4 }));
    let head = |length| format!("SEND\na:{}\nb:{}\n\n\0", "x".repeat(30), "x".repeat(length));
    assert_eq!(read(head(26).as_bytes()), None);
    assert_eq!(read(head(27).as_bytes()), Some(DecodeError::HeadTooLong { max: 64 }));
    for length in ["", "content-length:48\n"] {
        assert_eq!(read(format!("SEND\n{length}\n{}\0", "x".repeat(48)).as_bytes()), None);
    }
    for length in ["", "content-length:49\n"] {
        let long = format!("SEND\n{length}\n{}\0", "x".repeat(49));
        assert_eq!(read(long.as_bytes()), Some(DecodeError::BodyTooLong { max: 48 }));
    }
    // Nothing is gathered for a line or a body that never ends.
    assert!(read(&b"x".repeat(1_000)).is_some());
    assert!(read(&[b"SEND\n\n".as_slice(), &b"x".repeat(1_000)].concat()).is_some());
}

fn any_version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

/// What this version can say in the headers of this command.
fn sayable(version: Version, command: Command, text: &str, is_name: bool) -> String {
    let escaped = command.is_escaped() && version > Version::V1_0;
    let text: String = text
        .chars()
        .filter(|char| match char {
            '\0' => false,
            '\r' => escaped && version == Version::V1_2,
            '\n' => escaped,
            ':' => escaped || !is_name,
            _ => true,
        })
        .collect();
    if version == Version::V1_0 { text.trim().to_owned() } else { text }
}

fn any_frame() -> impl Strategy<Value = (Version, Frame)> {
    let text = prop_oneof![".{0,12}", "[\\\\:\r\n a]{0,6}"];
    let headers = prop::collection::vec((text.clone(), text), 0..5);
    let body = prop::collection::vec(any::<u8>(), 0..64);
    (any_version(), prop::sample::select(&Command::ALL[..]), headers, body).prop_map(
        |(version, command, headers, body)| {
            let headers = headers
                .into_iter()
                .map(|(name, value)| {
                    let name = sayable(version, command, &name, true);
                    let name = if name.is_empty() { "n".to_owned() } else { name };
                    (name, sayable(version, command, &value, false))
                })
                .filter(|(name, _)| name != "content-length");
            let body = if command.has_body() { body } else { Vec::new() };
            (version, Frame { command, headers: headers.collect(), body: body.into() })
        },
    )
}

proptest! {
    #[test]
    fn every_frame_is_read_back_however_it_is_cut(
        (version, frame) in any_frame(),
        cuts in prop::collection::vec(1..20_usize, 1..6),
    ) {
        let mut bytes = frame.encode(version).to_vec();
        bytes.extend_from_slice(b"\n\n");
        bytes.extend_from_slice(&frame.encode(version));
        let (frames, error) = decode_pieces(&bytes, &cuts, version, FrameLimits::new());
        prop_assert_eq!(error, None);
        let mut expected = frame;
        if expected.command.has_body() {
            expected.headers.push("content-length", expected.body.len().to_string());
        }
        prop_assert_eq!(frames, vec![expected.clone(), expected]);
    }

    #[test]
    fn no_header_can_begin_another(
        version in any_version(),
        command in prop::sample::select(&Command::ALL[..]),
        name in "[a:\\\\\r\n\\x00]{1,6}",
        value in "[a:\\\\\r\n\\x00]{0,8}",
    ) {
        let bytes = Frame::new(command).with(name, value).encode(version);
        let (frames, _) = decode_pieces(&bytes, &[], version, FrameLimits::new());
        for frame in frames {
            prop_assert!(frame.headers.len() <= 1 + usize::from(command.has_body()));
        }
    }

    #[test]
    fn any_bytes_are_answered_the_same_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(1..30_usize, 1..6),
        version in any_version(),
    ) {
        prop_assert_eq!(decode_pieces(&bytes, &[], version, small()), decode_pieces(&bytes, &cuts, version, small()));
    }

    #[test]
    fn damaged_frames_are_answered_the_same_however_they_are_cut(
        (version, frame) in any_frame(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..5),
        cuts in prop::collection::vec(1..9_usize, 1..4),
    ) {
        let mut bytes = frame.encode(version).to_vec();
        for (place, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        prop_assert_eq!(decode_pieces(&bytes, &[], version, small()), decode_pieces(&bytes, &cuts, version, small()));
    }
}
