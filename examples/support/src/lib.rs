//! What the example servers of whole systems share, so that each of them is its own rules and little else: settings from the
//! environment ([`settings`]), a start and an end in good order ([`run`], [`serve`]), `/health` ([`health`]), pages of other origins
//! ([`Origins`]), refusals in the form that clients of NestJS services know ([`nest`]), tables of their own
//! ([`tables`]), and taking over old messages ([`import`]).

mod cors;
pub mod health;
pub mod import;
pub mod nest;
mod process;
mod server;
pub mod settings;
pub mod tables;

pub use cors::Origins;
pub use process::{WrongUsage, run};
pub use server::{PATIENCE, Peer, serve};
