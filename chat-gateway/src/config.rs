use std::{fmt, sync::Arc};

use crate::Limits;

/// Renders the application's metrics as Prometheus text.
type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Which web pages may open a WebSocket here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Pages of the host that is asked.
    Same,
    /// Pages of these origins.
    Listed(Vec<String>),
    /// Every page.
    Any,
}

impl Origins {
    /// Whether a page of this origin may connect to this host. Only browsers send an origin.
    pub(crate) fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
            Self::Same => {
                let page = origin.split_once("://").map(|(_, host)| host);
                matches!((page, host), (Some(page), Some(host)) if page.eq_ignore_ascii_case(host))
            }
        }
    }
}

/// How the routes behave.
#[derive(Clone)]
#[non_exhaustive]
pub struct GatewayConfig {
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) metrics: Option<RenderMetrics>,
    /// Bytes from which an answer is compressed; `None` for never.
    #[cfg_attr(not(feature = "compression"), allow(dead_code, reason = "nothing is compressed"))]
    pub(crate) compression: Option<u16>,
    #[cfg(feature = "openapi")]
    pub(crate) openapi: bool,
}

impl GatewayConfig {
    /// Default of [`with_compression_from`](Self::with_compression_from): 1 KiB, which fits into one packet anyway.
    ///
    /// A page of 50 entries has 16.7 KB and takes 45 µs of processor time from request to body. Compressed with Brotli it has
    /// 4.3 KB and takes 185 µs, with gzip 4.5 KB and 205 µs (November 2026, one core of a shared server; `cargo bench -p chat-gateway
    /// --bench compression`). On a line of 10 Mbit/s those 12 KB are 10 ms.
    pub const COMPRESSION_FROM: u16 = 1_024;

    /// Default limits, pages of the same origin only, no metrics route, compression from 1 KiB on, no
    /// OpenAPI document.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: Limits::new(),
            origins: Origins::Same,
            metrics: None,
            compression: Some(Self::COMPRESSION_FROM),
            #[cfg(feature = "openapi")]
            openapi: false,
        }
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets pages of these origins (such as `https://example.com`) open a WebSocket, and no others. Unless set, only
    /// pages of the host that is asked may. Programs that are no browsers send no origin and are never refused for it.
    #[must_use]
    pub fn with_allowed_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        let origins = origins.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        self.origins = Origins::Listed(origins.collect());
        self
    }

    /// Lets every web page open a WebSocket. It still needs a token, which no browser adds by itself.
    #[must_use]
    pub fn with_any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    /// Whether a page may open a WebSocket here, from the headers `Origin` and `Host` of its request; in HTTP/2 the host stands in the
    /// address. For servers of one's own: the routes for axum ask by themselves.
    #[must_use]
    pub fn allows_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        self.origins.allow(origin, host)
    }

    /// The bounds of one connection.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Turns on `GET /metrics`, without a token, answered with what `render` returns.
    #[must_use]
    pub fn with_metrics(mut self, render: RenderMetrics) -> Self {
        self.metrics = Some(render);
        self
    }

    /// Compresses REST answers and the metrics of at least so many bytes, with Brotli or gzip for clients that take it.
    /// Default [`GatewayConfig::COMPRESSION_FROM`]. Frames of a WebSocket and event streams are never compressed. Without
    /// the feature `compression` nothing is.
    #[must_use]
    pub const fn with_compression_from(mut self, bytes: u16) -> Self {
        self.compression = Some(bytes);
        self
    }

    /// Compresses nothing: where a proxy in front does, or processor time is dearer than bytes.
    #[must_use]
    pub const fn without_compression(mut self) -> Self {
        self.compression = None;
        self
    }

    /// Turns on `GET /openapi.json`, the OpenAPI document of these routes, and with the feature `docs` the page `GET /docs`
    /// to browse it and try it out. Neither needs a token: they say what the routes are, not what is behind them. Off
    /// unless set.
    ///
    /// The page comes from this program alone and names no other host.
    #[cfg(feature = "openapi")]
    #[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
    #[must_use]
    pub const fn with_openapi(mut self) -> Self {
        self.openapi = true;
        self
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("GatewayConfig");
        f.field("limits", &self.limits)
            .field("origins", &self.origins)
            .field("metrics", &self.metrics.is_some())
            .field("compression", &self.compression);
        #[cfg(feature = "openapi")]
        f.field("openapi", &self.openapi);
        f.finish()
    }
}
