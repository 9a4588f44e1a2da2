//! The AsyncAPI document says what the program does. The frames have their own tests beside their code.

#![allow(clippy::unwrap_used)]

mod commands;
#[allow(dead_code, reason = "the tests of the frames use the rest")]
mod document;
mod events;
mod generate;
mod names;
mod patterns;
mod served;
mod specification;
