//! Which address a request comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, request::Parts},
};
use example_support::Peer;

use super::Group;

/// The client's address: what the nearest proxy says, where the settings name its header, and the connection's otherwise. Those of IPv6
/// with the same first 64 bits are one client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpAddr);

impl FromRequestParts<Group> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, group: &Group) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts, group.address_header.as_ref()))
    }
}

impl Client {
    fn of(parts: &Parts, header: Option<&HeaderName>) -> Self {
        // Whatever stands before the last one may be the client's own invention.
        let said = header.and_then(|name| parts.headers.get_all(name).iter().next_back());
        let said = said.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
        let said = said.and_then(|text| text.trim().parse().ok());
        let connection = || parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let address = said.or_else(connection).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use axum::http::Request;

    use super::*;

    #[test]
    fn a_client_is_known_by_what_the_nearest_proxy_says() {
        let of = |said: &[&str], header: Option<&'static str>| {
            let mut request = Request::get("/");
            for said in said {
                request = request.header("x-forwarded-for", *said);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(Peer(([192, 0, 2, 1], 4_000).into()));
            Client::of(&parts, header.map(HeaderName::from_static).as_ref()).0.to_string()
        };
        let header = Some("x-forwarded-for");
        assert_eq!(of(&["198.51.100.7"], None), "192.0.2.1");
        assert_eq!(of(&[], header), "192.0.2.1");
        assert_eq!(of(&["nonsense"], header), "192.0.2.1");
        assert_eq!(of(&["203.0.113.1, 198.51.100.7"], header), "198.51.100.7");
        assert_eq!(of(&["203.0.113.1", "198.51.100.7"], header), "198.51.100.7");
        assert_eq!(of(&["2001:db8:1:2:3:4:5:6"], header), "2001:db8:1:2::");
    }
}
