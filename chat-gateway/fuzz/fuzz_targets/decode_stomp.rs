//! Whatever bytes a client sends, however they are cut: frames within the limits or an error, never a panic, and what was
//! read is written and read back as it was.

#![no_main]

use chat_gateway::stomp::{Decoded, Decoder, FrameLimits, Version};
use libfuzzer_sys::fuzz_target;

const LIMITS: FrameLimits = FrameLimits::new().with_head(8, 64, 256).with_body_bytes(128);

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (version, cut, bytes) = input;
    let version = Version::ALL[usize::from(version) % Version::ALL.len()];
    let mut decoder = Decoder::new(LIMITS);
    decoder.set_version(version);
    for piece in bytes.chunks(usize::from(cut).max(1)) {
        let mut piece = piece;
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(Decoded::Frame(frame))) => {
                    assert!(frame.headers.len() <= LIMITS.headers && frame.body.len() <= LIMITS.body_bytes);
                    let bytes = frame.encode(version);
                    let mut again = Decoder::new(FrameLimits::new());
                    again.set_version(version);
                    match again.decode(&mut &bytes[..]) {
                        Ok(Some(Decoded::Frame(read))) => {
                            assert_eq!((read.command, &read.body), (frame.command, &frame.body));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Ok(Some(Decoded::HeartBeat)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.buffered() <= LIMITS.head_bytes + LIMITS.line_bytes + LIMITS.body_bytes + 1);
    }
});
