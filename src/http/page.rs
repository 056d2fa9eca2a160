//! The live page: three files out of the binary. They never say anything of locks or
//! nodes, so they are served to anyone; what the page shows comes from `/v1/events`,
//! under the bearer token.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

use super::service::StateRef;

/// The policy allows scripts, styles and data from this service alone, nothing inline,
/// and no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// `no-cache` lets a browser keep the files but makes it ask each time (RFC 9110), so
/// that the page always matches the program.
const CACHING: &str = "no-cache";

pub(super) fn routes() -> Router<StateRef> {
    Router::new()
        .route("/", get(async || file("text/html", include_str!("page/index.html"))))
        .route("/page.css", get(async || file("text/css", include_str!("page/style.css"))))
        .route("/page.js", get(async || file("text/javascript", include_str!("page/script.js"))))
}

fn file(kind: &str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, String); 5] = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CACHE_CONTROL, CACHING.to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, text)
}
