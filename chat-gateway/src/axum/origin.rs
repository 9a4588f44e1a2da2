use axum::http::{HeaderMap, Uri, header};

use crate::config::Origins;

/// Whether a page of the request's origin may open a WebSocket. Only browsers send an origin.
pub(crate) fn allowed(origins: &Origins, headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // In HTTP/2 the host stands in the address.
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    origins.allow(Some(origin), host)
}

/// The same for SockJS, where this host's own pages may, too: the iframe page is one. Which pages may hold that one in a frame its answer says.
#[cfg(feature = "sockjs")]
pub(crate) fn own_allowed(origins: &Origins, headers: &HeaderMap, uri: &Uri) -> bool {
    allowed(origins, headers, uri) || allowed(&Origins::Same, headers, uri)
}

/// The same for what a page loads as a script or into a frame, which browsers ask for without an origin: where origins are listed, the
/// page has to be named otherwise.
#[cfg(feature = "sockjs")]
pub(crate) fn embedding_allowed(origins: &Origins, headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if matches!(origins, Origins::Any)
        || headers.contains_key(header::ORIGIN)
        || text("sec-fetch-site") == Some("same-origin")
    {
        return own_allowed(origins, headers, uri);
    }
    let page = text("referer").and_then(|page| page.parse::<Uri>().ok());
    let Some((scheme, host)) = page.as_ref().and_then(|page| Some((page.scheme_str()?, page.authority()?)))
    else {
        return false;
    };
    let mut named = headers.clone();
    let Ok(origin) = format!("{scheme}://{host}").parse() else { return false };
    named.insert(header::ORIGIN, origin);
    own_allowed(origins, &named, uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origins: &Origins, host: Option<&str>, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        allowed(origins, &headers, &Uri::from_static("https://two.example/ws"))
    }

    #[test]
    fn only_pages_of_the_same_host_and_port_may_unless_others_are_listed() {
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        for (origins, host, origin, expected) in [
            (&Origins::Same, Some("chat.example"), None, true),
            (&Origins::Same, Some("chat.example"), Some("https://chat.example"), true),
            (&Origins::Same, Some("chat.example"), Some("https://Chat.Example"), true),
            (&Origins::Same, Some("chat.example:81"), Some("https://chat.example"), false),
            (&Origins::Same, Some("chat.example"), Some("https://evil.example"), false),
            (&Origins::Same, Some("chat.example"), Some("https://chat.example.evil.example"), false),
            (&Origins::Same, Some("chat.example"), Some("null"), false),
            (&Origins::Same, None, Some("https://two.example"), true),
            (&listed, Some("chat.example"), Some("https://app.example"), true),
            (&listed, Some("chat.example"), Some("https://chat.example"), false),
            (&listed, Some("chat.example"), Some("http://app.example"), false),
            (&Origins::Any, Some("chat.example"), Some("null"), true),
        ] {
            assert_eq!(asked(origins, host, origin), expected, "{origins:?} {host:?} {origin:?}");
        }
    }

    #[cfg(feature = "sockjs")]
    #[test]
    fn a_script_is_for_pages_that_are_listed_and_named() {
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        for (origins, name, value, expected) in [
            (&listed, "referer", "https://app.example/page?x=1", true),
            (&listed, "referer", "https://evil.example/https://app.example", false),
            (&listed, "referer", "https://chat.example/echo/iframe.html", true),
            (&listed, "origin", "https://chat.example", true),
            (&listed, "sec-fetch-site", "same-origin", true),
            (&listed, "sec-fetch-site", "cross-site", false),
            (&listed, "origin", "https://app.example", true),
            (&listed, "origin", "https://evil.example", false),
            (&listed, "accept", "*/*", false),
            (&Origins::Any, "accept", "*/*", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            let uri = Uri::from_static("https://chat.example/echo/0/s/jsonp?c=x");
            assert_eq!(embedding_allowed(origins, &headers, &uri), expected, "{name}: {value}");
        }
    }
}
