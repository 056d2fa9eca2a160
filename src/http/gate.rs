//! The gate that every request passes first: it refuses what is not allowed, and
//! measures the rest. It never logs a key, a token or a query, and of each request no
//! more than one line, at debug.

use axum::{
    extract::{MatchedPath, Request, State as Shared},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Level;

use super::{auth::is_cross_site, clock, legacy, refusal::Refusal, service::StateRef};

/// Which requests may pass, and in which form the others are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All requests may pass, with or without the bearer token, from any site.
    Open,
    /// The bearer token is wanted, if one is set, and other sites' pages are refused.
    Guarded,
    /// The same as [`Self::Guarded`], but refusals look like those of older services.
    Legacy,
}

pub(super) async fn gate(
    Shared((state, way)): Shared<(StateRef, Way)>,
    request: Request,
    next: Next,
) -> Response {
    if !tracing::enabled!(Level::DEBUG) {
        return pass(&state, way, request, next).await;
    }
    let since = clock::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = pass(&state, way, request, next).await;
    let took = clock::now().saturating_duration_since(since);
    let (route, status) = (route.as_ref().map(MatchedPath::as_str), response.status().as_u16());
    tracing::debug!(%method, route, status, ?took, "answered");
    response
}

async fn pass(state: &StateRef, way: Way, request: Request, next: Next) -> Response {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let is_open = way == Way::Open;
    let refusal = if !is_open && is_cross_site(method, uri, headers, state.bearer.is_wanted()) {
        Refusal::CrossSite
    } else if !is_open && !state.bearer.admits(headers) {
        Refusal::Unauthorized
    } else {
        return next.run(request).await;
    };
    match way {
        Way::Legacy => legacy::Refused::from(refusal).into_response(),
        Way::Open | Way::Guarded => refusal.into_response(),
    }
}
