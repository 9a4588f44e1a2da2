//! Whatever a client sends as text is a command or an error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match chat_gateway::json::decode(text) {
        Ok(command) => assert_ne!(command.id, Some(0)),
        Err(error) => assert!(!error.message.is_empty()),
    }
});
