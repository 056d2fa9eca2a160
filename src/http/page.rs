//! The live page: three files out of the binary. They say nothing of locks or
//! nodes, so they are served to anyone; what they show comes from
//! `/v1/events`, under the bearer token.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

use super::service::StateRef;

/// Scripts, styles and data from here alone, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// As RFC 9110 names it: asked again each time, so that page and program match.
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
