//! STOMP in front of a chat, over a plain WebSocket and over SockJS, with the destinations of study-group rooms.
#![cfg(all(feature = "stomp", feature = "sockjs"))]
#![allow(clippy::unwrap_used)]

mod client;
mod ends;
mod failed;
#[path = "../support/refusing_log.rs"]
mod refusing_log;
mod resume;
mod rooms;
mod study;
mod unsubscribed;
