//! Pages of other origins.

use axum::http::{HeaderName, HeaderValue, Method, header};
use chat_gateway::GatewayConfig;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Whose pages may use the server from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origins {
    /// Pages of the host that is asked.
    #[default]
    Same,
    /// Also pages of these, such as `https://shop.example`.
    Listed(Vec<String>),
    /// Every page. Tokens are still needed, and no browser adds them by itself.
    Any,
}

impl Origins {
    /// A list with commas, or `*`; empty for pages of the same host.
    ///
    /// # Errors
    /// One of them is no origin.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let origins = text.split(',').map(|origin| origin.trim().trim_end_matches('/').to_owned());
        let origins: Vec<String> = origins.filter(|origin| !origin.is_empty()).collect();
        let is_origin = |origin: &String| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*']))
                && HeaderValue::from_str(origin).is_ok()
        };
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => Err(format!("{wrong:?} is not an origin such as https://shop.example")),
            None if origins.is_empty() => Ok(Self::Same),
            None => Ok(Self::Listed(origins)),
        }
    }

    /// What the gateway lets connect.
    #[must_use]
    pub fn gateway(&self, config: GatewayConfig) -> GatewayConfig {
        match self {
            Self::Same => config,
            Self::Listed(origins) => config.with_allowed_origins(origins.iter().cloned()),
            Self::Any => config.with_any_origin(),
        }
    }

    /// The layer that tells browsers so. It goes outside of everything, Socket.IO's layer included.
    pub fn layer(&self) -> CorsLayer {
        let origins = match self {
            Self::Same => AllowOrigin::list([]),
            Self::Listed(origins) => {
                AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
            }
            Self::Any => AllowOrigin::mirror_request(),
        };
        let headers: [HeaderName; 2] = [header::AUTHORIZATION, header::CONTENT_TYPE];
        CorsLayer::new()
            .allow_origin(origins)
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(headers)
            .expose_headers([header::LINK, header::RETRY_AFTER])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_listed_or_all_or_none_but_ones_own() {
        assert_eq!(Origins::parse(""), Ok(Origins::Same));
        assert_eq!(Origins::parse("*"), Ok(Origins::Any));
        let two = ["https://a.example", "http://localhost:3000"].map(str::to_owned).to_vec();
        assert_eq!(Origins::parse("https://a.example/, http://localhost:3000"), Ok(Origins::Listed(two)));
        for wrong in
            ["a.example", "https://", "https://a.example/path", "https://*.a.example", "https://a.example,x"]
        {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
    }
}
