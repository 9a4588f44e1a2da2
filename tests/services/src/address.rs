//! Host and port of an address.

use anyhow::{Context as _, Result};
use url::Url;

/// Such as `127.0.0.1:5432`.
pub(crate) fn address(url: &Url, default_port: u16) -> Result<String> {
    let host = url.host_str().context("an address without a host")?;
    Ok(format!("{host}:{}", url.port().unwrap_or(default_port)))
}
