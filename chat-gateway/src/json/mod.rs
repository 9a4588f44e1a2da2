//! The JSON protocol, free of any web framework.

mod incoming;
mod serve;

pub use self::{
    incoming::{Incoming, Outgoing},
    serve::serve,
};
