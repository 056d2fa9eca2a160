//! Access to the service: a caller needs the bearer token, if one is set, and web
//! pages of other sites are refused.
//!
//! The time to compare tokens never depends on what was sent, nor on the length of
//! the right one.

use std::net::IpAddr;

use axum::http::{
    HeaderMap, Method, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};
use subtle::ConstantTimeEq as _;

use super::{settings::MAX_BEARER_BYTES, watch::EVENTS};

/// The bearer token that callers must send, if any.
pub(super) struct Bearer(Option<Padded>);

/// A token that is padded with zeros, and its length: comparing any two takes the
/// same time.
#[derive(Clone, Copy)]
struct Padded {
    bytes: [u8; MAX_BEARER_BYTES],
    len: u64,
}

impl Padded {
    fn new(token: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_BEARER_BYTES];
        bytes.get_mut(..token.len())?.copy_from_slice(token);
        Some(Self { bytes, len: u64::try_from(token.len()).ok()? })
    }

    fn is(&self, other: &Self) -> bool {
        bool::from(self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len))
    }
}

impl Bearer {
    /// Expects a token that has passed the check of the settings.
    pub(super) fn new(token: Option<&str>) -> Self {
        // That check refuses a token that is too long; here it would match nothing.
        let nothing = Padded { bytes: [0; MAX_BEARER_BYTES], len: u64::MAX };
        Self(token.map(|token| Padded::new(token.as_bytes()).unwrap_or(nothing)))
    }

    /// Whether callers must send a token at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the sender of these headers may use the service.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = &self.0 else { return true };
        let sent = headers.get(AUTHORIZATION).and_then(|value| token(value.as_bytes()));
        sent.and_then(Padded::new).is_some_and(|sent| wanted.is(&sent))
    }
}

/// The token after the scheme `Bearer`, whose case does not matter.
fn token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

/// Whether a browser sends this request for a page of another site.
///
/// Such a page can send forms to a service on its visitor's own host. It can't read
/// the answer, but a lock taken or released is harm enough, and so is each stream of
/// events that others then can't have. Programs send none of these headers. A person
/// may follow a link from another site, to look.
///
/// Unless the service is `guarded` by a token, a page under a host name counts as one
/// of another site, even if the name is the service's own: the owner of a name can
/// let it lead to a visitor's host once the page is loaded.
pub(super) fn is_cross_site(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    guarded: bool,
) -> bool {
    let sent = |name, value: &[u8]| headers.get(name).is_some_and(|sent| sent.as_bytes() == value);
    let elsewhere = sent("sec-fetch-site", b"cross-site");
    if matches!(*method, Method::GET | Method::HEAD) {
        let is_followed = sent("sec-fetch-dest", b"document") && uri.path() != EVENTS;
        return elsewhere && !is_followed;
    }
    if elsewhere {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let named = origin.as_bytes();
    let host = named.windows(3).position(|bytes| bytes == b"://").map(|at| at.saturating_add(3));
    let host = host.and_then(|at| named.get(at..)).unwrap_or_default();
    let own = headers.get(HOST).map(|host| host.as_bytes());
    let own = own.or_else(|| uri.authority().map(|host| host.as_str().as_bytes()));
    !own.is_some_and(|own| own.eq_ignore_ascii_case(host)) || !guarded && has_name(host)
}

/// Whether `host` is a name that its owner can let lead elsewhere.
fn has_name(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return true };
    let name = authority.host().to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    // RFC 6761, 6.3: localhost, and any name that ends in it, is always this host.
    address.is_err() && name != "localhost" && !name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_the_whole_token_is_admitted() {
        let long = "x".repeat(MAX_BEARER_BYTES);
        for wanted in ["s3cret", &long] {
            let bearer = Bearer::new(Some(wanted));
            let admits = |value: &[u8]| bearer.admits(&headers(&[("authorization", value)]));
            assert!(admits(format!("Bearer {wanted}").as_bytes()));
            assert!(admits(format!("bearer  {wanted}").as_bytes()));
            for wrong in [
                "".into(),
                "Bearer".into(),
                "Bearer ".into(),
                wanted.to_owned(),
                format!("Basic {wanted}"),
                format!("Bearer {wanted}x"),
                format!("Bearer {}", &wanted[1..]),
                format!("Bearer {}", &wanted[..wanted.len() - 1]),
                format!("Bearer {}", wanted.to_uppercase()),
                format!("Bearer {}", "x".repeat(10_000)),
            ] {
                assert!(!admits(wrong.as_bytes()), "{wrong}");
            }
            assert!(!admits(b"Bearer \xff\xfe"));
            assert!(!bearer.admits(&HeaderMap::new()));
        }
        assert!(Bearer::new(None).admits(&HeaderMap::new()));
        let too_long = Bearer::new(Some(&"y".repeat(MAX_BEARER_BYTES + 1)));
        assert!(!too_long.admits(&headers(&[("authorization", b"Bearer y")])));
    }

    #[test]
    fn a_page_of_another_site_is_known_by_what_its_browser_sends() {
        let cross = |method: &Method, pairs: &[(&'static str, &[u8])]| {
            is_cross_site(method, &Uri::from_static("/lock"), &headers(pairs), false)
        };
        let post = &Method::POST;
        let host = ("host", &b"localhost:8080"[..]);
        assert!(!cross(post, &[host]));
        assert!(!cross(post, &[host, ("origin", b"http://localhost:8080")]));
        assert!(!cross(post, &[host, ("origin", b"http://LOCALHOST:8080")]));
        assert!(!cross(post, &[host, ("sec-fetch-site", b"same-origin")]));
        let elsewhere = ("sec-fetch-site", &b"cross-site"[..]);
        assert!(!cross(&Method::GET, &[host, elsewhere, ("sec-fetch-dest", b"document")]));
        for dest in [&b"empty"[..], b"iframe", b"image", b"script"] {
            assert!(cross(&Method::GET, &[host, elsewhere, ("sec-fetch-dest", dest)]));
        }
        let stream = Uri::from_static(EVENTS);
        let opened = headers(&[host, elsewhere, ("sec-fetch-dest", b"document")]);
        assert!(is_cross_site(&Method::GET, &stream, &opened, false), "no page, and a place");
        assert!(!cross(&Method::GET, &[host, ("sec-fetch-site", b"same-origin")]));
        assert!(cross(&Method::GET, &[host, elsewhere]) && !cross(&Method::GET, &[host]));
        for origin in
            [&b"http://localhost:3000"[..], b"https://evil.example", b"null", b"", b"\xff"]
        {
            assert!(cross(post, &[host, ("origin", origin)]), "{origin:?}");
            assert!(cross(post, &[("origin", origin)]), "{origin:?}");
        }
        assert!(cross(&Method::DELETE, &[host, elsewhere]));
        let http2 = Uri::from_static("http://localhost:8080/lock");
        let own = headers(&[("origin", b"http://localhost:8080")]);
        assert!(!is_cross_site(post, &http2, &own, false));
    }

    #[test]
    fn a_page_under_a_name_is_of_this_site_only_where_a_token_is_wanted() {
        let cross = |host: &str, guarded| {
            let origin = format!("http://{host}");
            let sent = headers(&[("host", host.as_bytes()), ("origin", origin.as_bytes())]);
            is_cross_site(&Method::POST, &Uri::from_static("/lock"), &sent, guarded)
        };
        for host in ["127.0.0.1:5625", "[::1]:5625", "[::1]", "localhost", "locks.LOCALHOST:80"] {
            assert!(!cross(host, false) && !cross(host, true), "{host}");
        }
        for host in ["rebound.example:5625", "notlocalhost", "localhost.example", "1.2.3.example"] {
            assert!(cross(host, false) && !cross(host, true), "{host}");
        }
    }
}
