//! The JSON protocol, free of any web framework: see `PROTOCOL.md` beside this crate.

mod asyncapi;
pub(crate) mod close;
mod command;
mod execute;
pub(crate) mod frame;
mod incoming;
pub(crate) mod pace;
pub(crate) mod sent;
mod serve;
pub(crate) mod view;
mod writer;

#[cfg(feature = "axum")]
pub(crate) use self::command::read_query;
pub use self::{
    asyncapi::ASYNCAPI,
    close::CLOSE_CODES,
    command::{Action, Command, DecodeError, DecodeErrorKind, decode},
    incoming::{Incoming, Outgoing},
    serve::serve,
};
