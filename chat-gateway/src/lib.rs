#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
pub mod axum;
mod config;
#[cfg(feature = "openapi")]
mod document;
pub mod json;
mod limits;
pub mod observe;
mod pace;
mod problem;
#[cfg(feature = "axum")]
mod rest;
#[cfg(feature = "socketio")]
#[cfg_attr(docsrs, doc(cfg(feature = "socketio")))]
pub mod socketio;
#[cfg(feature = "sockjs")]
#[cfg_attr(docsrs, doc(cfg(feature = "sockjs")))]
pub mod sockjs;
pub mod sse;
#[cfg(feature = "stomp")]
#[cfg_attr(docsrs, doc(cfg(feature = "stomp")))]
pub mod stomp;

#[cfg(feature = "axum")]
pub use self::axum::router;
#[cfg(feature = "openapi")]
#[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
pub use self::document::openapi;
pub use self::{
    config::GatewayConfig,
    limits::Limits,
    problem::{CODES, Problem},
};
