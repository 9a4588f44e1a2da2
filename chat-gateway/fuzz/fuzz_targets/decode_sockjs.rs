//! Whatever bytes a SockJS client sends are messages or a refusal, never a panic, and messages that are written are read back as they were.

#![no_main]

use libfuzzer_sys::fuzz_target;

// Not public: it is taken from where it is.
#[allow(dead_code)]
#[path = "../../src/sockjs/payload.rs"]
mod payload;

fuzz_target!(|bytes: &[u8]| {
    let body = payload::messages(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return assert!(body.is_err()) };
    let frame = payload::frame_messages(text);
    // What a request may hold a frame may hold, too.
    if let Ok(messages) = &body {
        assert_eq!(frame.as_ref(), Ok(messages));
    }
    if let Ok(messages) = frame {
        let written = serde_json::to_vec(&messages).expect("strings can be written");
        assert_eq!(payload::messages(&written), Ok(messages));
    }
});
