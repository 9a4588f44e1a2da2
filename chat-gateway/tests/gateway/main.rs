//! A real server on a free port, spoken to over WebSocket and HTTP.

#![allow(clippy::unwrap_used)]

mod commands;
mod compression;
mod ends;
mod events;
mod events_ends;
mod failing;
mod metrics;
mod openapi;
mod refusals;
mod rest;
mod resume;
mod slow;
mod source;
mod tables;
mod world;
