//! Group chat as two programs that scale separately. Gateways take clients (Socket.IO on `/`, and REST) and put what they send into
//! Kafka; workers store it in PostgreSQL and tell every gateway. Redis says who is online.
//!
//! What is here is the system's own: its accounts, its events, its paths. Order, repeats, catching up and the queue are the library's.

mod accounts;
mod dialect;
mod gateway;
mod import;
mod message;
mod passwords;
mod rest;
mod settings;
mod worker;

pub use gateway::serve;
pub use import::run as import;
pub use settings::{GatewaySettings, WorkerSettings};
pub use worker::work;
