//! The pages beside the sessions: the greeting, what a client asks first, and the iframe.

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::Response,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    SockJsConfig,
    headers::{HTML, JSON, PLAIN, answer, do_not_keep, keep, share},
};
use crate::config::Origins;

pub(super) fn greeting() -> Response {
    answer(StatusCode::OK, PLAIN, "Welcome to SockJS!\n")
}

#[derive(Serialize)]
struct Info {
    websocket: bool,
    origins: [&'static str; 1],
    cookie_needed: bool,
    entropy: u32,
}

/// What a client may use. It also measures how long the answer takes.
pub(super) fn info(config: &SockJsConfig, request: &HeaderMap) -> Response {
    let info = Info {
        websocket: config.websocket,
        origins: ["*:*"],
        cookie_needed: config.cookie_needed,
        entropy: getrandom::u32().unwrap_or_else(|_| fastrand::u32(..)),
    };
    let body = serde_json::to_vec(&info).unwrap_or_default();
    let mut response = answer(StatusCode::OK, JSON, body);
    do_not_keep(response.headers_mut());
    share(response.headers_mut(), request);
    response
}

/// Whether the path's last segment names the iframe page, of any version of the client.
pub(super) fn is_iframe(segment: &str) -> bool {
    let Some(version) = segment.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html")) else {
        return false;
    };
    version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.' | b'_'))
}

/// A page that a client of old browsers loads from this host, to speak to it from there.
#[derive(Debug)]
pub(super) struct Iframe {
    body: String,
    etag: String,
    /// Which pages may hold it in a frame, where not all may: whoever does can speak through it.
    policy: Option<HeaderValue>,
}

impl Iframe {
    pub(super) fn new(client_url: &str, origins: &Origins) -> Self {
        let url = client_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let holders = holders(origins);
        let guard = holders.as_deref().map(guard).unwrap_or_default();
        // What is so old that nothing can be guarded there hears nobody.
        let begin = if guard.is_empty() { "" } else { "if (window.addEventListener) " };
        let body = format!(
            r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />{guard}
  <script src="{url}"></script>
  <script>
    document.domain = document.domain;
    {begin}SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"#
        );
        let digest = Sha256::digest(body.as_bytes());
        let etag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let policy = holders.and_then(|holders| {
            HeaderValue::try_from(format!("frame-ancestors 'self' {}", holders.join(" ")).trim_end()).ok()
        });
        Self { etag: format!("\"{etag}\""), body, policy }
    }

    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = answer(StatusCode::OK, HTML, self.body.clone());
        if self.is_known(request) {
            response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(CONTENT_TYPE);
        }
        match self.policy {
            // Whose pages may hold it can change; asking again costs an empty answer.
            Some(_) => _ = response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            None => keep(response.headers_mut()),
        }
        if let Ok(etag) = HeaderValue::try_from(&self.etag) {
            response.headers_mut().insert(ETAG, etag);
        }
        if let Some(policy) = &self.policy {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
        }
        response
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let known = request.get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
        known.flat_map(|known| known.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == self.etag
        })
    }
}

/// Whose pages may hold the iframe besides this host's; `None` where every page may. What is no plain origin is nobody's: in a policy it
/// could stand for many.
fn holders(origins: &Origins) -> Option<Vec<&str>> {
    let is_plain = |origin: &&str| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
        })
    };
    match origins {
        Origins::Any => None,
        Origins::Same => Some(Vec::new()),
        Origins::Listed(origins) => Some(origins.iter().map(String::as_str).filter(is_plain).collect()),
    }
}

/// Browsers that do not know the policy show the page everywhere: then it hears nobody but those.
fn guard(holders: &[&str]) -> String {
    let holders: Vec<String> = holders.iter().map(|origin| format!("\"{origin}\", ")).collect();
    format!(
        r#"
  <script>
    if (window.addEventListener) window.addEventListener("message", function (event) {{
      if ([{}location.protocol + "//" + location.host].indexOf(event.origin) < 0) event.stopImmediatePropagation();
    }});
  </script>"#,
        holders.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_the_same_iframe() {
        for name in ["iframe.html", "iframe-a.html", "iframe-.html", "iframe-0.1.2abc-dirty.2144.html"] {
            assert!(is_iframe(name), "{name}");
        }
        for name in ["iframe.htm", "iframe", "IFRAME.HTML", "iframe.HTML", "iframe.xml", "xiframe.html"] {
            assert!(!is_iframe(name), "{name}");
        }
    }

    #[test]
    fn only_plain_origins_may_hold_it() {
        let listed = [
            "https://app.example",
            "http://[::1]:8080",
            "*",
            "https:",
            "https://*.app.example",
            "app.example",
        ]
        .into_iter()
        .chain(["https://a.example; script-src *", "https://a.example\"", "https://"]);
        let origins = Origins::Listed(listed.map(str::to_owned).collect());
        let iframe = Iframe::new("/sockjs.js", &origins);
        let policy = iframe.policy.unwrap();
        assert_eq!(policy, "frame-ancestors 'self' https://app.example http://[::1]:8080");
        assert!(
            iframe.body.contains(r#"if (["https://app.example", "http://[::1]:8080", location."#),
            "{}",
            iframe.body
        );
        assert!(iframe.body.find("addEventListener") < iframe.body.find("/sockjs.js"), "it listens first");
        let own = Iframe::new("/sockjs.js", &Origins::Same);
        assert_eq!(own.policy.unwrap(), "frame-ancestors 'self'");
        assert!(!Iframe::new("/sockjs.js", &Origins::Any).body.contains("addEventListener"));
    }

    #[test]
    fn an_address_cannot_leave_its_attribute() {
        let iframe = Iframe::new("/a?b=\"><script>&c", &Origins::Any);
        assert!(iframe.body.contains("src=\"/a?b=&quot;>&lt;script>&amp;c\""), "{}", iframe.body);
    }
}
