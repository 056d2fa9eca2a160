//! `/v1/locks/{key}`: the handlers that take, extend, release and look at a lock. A
//! token is never in the path: it goes in a header.

use std::time::Duration;

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answers::{LOCK_FENCE, LOCK_TOKEN, NodeSaid, json, millis, text, token_header},
    fields,
    key::PathKey,
    lock_bodies::{ExtendBody, Extended, Seen, TakeBody, Taken},
    locking,
    problem::{BadBody, NotAllowed, Problem},
    refusal::Refusal,
    service::StateRef,
};
use crate::Token;

pub(super) fn routes() -> OpenApiRouter<StateRef> {
    OpenApiRouter::new().routes(routes!(take, extend, release, look))
}

/// Takes a lock, if it is free or comes free in time
///
/// The key is one segment of the path, percent-encoded, a slash as `%2F`: 1 to
/// 1024 bytes of any sort. Most clients can't send a key that is one dot or two,
/// since that means another path; `/lock` takes it. The body may be left out.
#[utoipa::path(
    post, path = "/v1/locks/{key}", operation_id = "takeLock", tag = "locks",
    params((
        "key" = String, Path, example = "orders:42",
        description = "The name of the lock: any 1 to 1024 bytes, percent-encoded",
    )),
    request_body = Option<TakeBody>,
    responses(
        (status = 200, description = "The lock is held", body = Taken,
            headers(
                ("Lock-Token" = String, description = "The token, as in the body"),
                ("Lock-Fence" = Option<u64>, description = "The fencing number, as in the body"),
            )),
        (
            status = 400, body = Problem,
            description = "It can't be read",
            content_type = "application/problem+json",
        ),
        NotAllowed,
        (
            status = 409, body = Problem,
            description = "Another holds the lock, also after the wait, others ask for it at \
                           the same time, or something else is at its key",
            content_type = "application/problem+json",
            headers((
                "Retry-After" = u64,
                description = "Seconds, at least 1; not sent for a key that never expires, or lives beyond `max_ttl`"
            )),
        ),
        BadBody,
        (
            status = 429, body = Problem,
            description = "Too many requests wait already",
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
        (
            status = 503, body = Problem,
            description = "Too few nodes answer; nobody is known to hold the lock",
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn take(
    Shared(state): Shared<StateRef>,
    PathKey(key): PathKey,
    request: Request,
) -> Result<Response, Refusal> {
    let fields = fields::read::<TakeBody>(request).await?;
    let lease = locking::acquire(&state, &key, &fields).await?;
    let body = Taken {
        key: text(&key),
        token: text(lease.token.as_bytes()),
        validity_ms: millis(lease.validity),
        votes: lease.votes.granted(),
        fence: lease.fence,
        nodes: NodeSaid::voted(&lease.votes),
    };
    let mut response = json(StatusCode::OK, &body);
    if let Some(token) = token_header(&lease.token) {
        response.headers_mut().insert(LOCK_TOKEN, token);
    }
    if let Some(fence) = lease.fence {
        response.headers_mut().insert(LOCK_FENCE, fence.into());
    }
    Ok(response)
}

/// Extends a lock
///
/// The lock is then held for `ttl_ms` from now. After 503 it is held for as long
/// as before: try again.
#[utoipa::path(
    put, path = "/v1/locks/{key}", operation_id = "extendLock", tag = "locks",
    params(
        (
            "key" = String, Path, example = "orders:42",
            description = "The name of the lock, percent-encoded",
        ),
        ("Lock-Token" = String, Header, description = "The lock's token"),
        (
            "Lock-Fence" = Option<u64>, Header,
            description = "The lock's fencing number, unless it is in the body",
        ),
    ),
    request_body = Option<ExtendBody>,
    responses(
        (status = 200, description = "The lock is held", body = Extended),
        (
            status = 400, body = Problem,
            description = "It can't be read, or the token is missing",
            content_type = "application/problem+json",
        ),
        NotAllowed,
        (
            status = 409, body = Problem,
            description = "The lock is not held with this token: stop the work",
            content_type = "application/problem+json",
        ),
        BadBody,
        (
            status = 503, body = Problem,
            description = "Too few nodes answer; not extended, and still held as before",
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn extend(
    Shared(state): Shared<StateRef>,
    PathKey(key): PathKey,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let token = required(&headers)?;
    let fields = fields::read::<ExtendBody>(request).await?;
    let ttl = fields.ttl(&state.settings)?;
    let fence = fields::fence(&headers, fields.fence)?;
    let lease = locking::extend(&state, &key, token, fence, ttl).await?;
    let body = Extended {
        key: text(&key),
        validity_ms: millis(lease.validity),
        votes: lease.votes.granted(),
        fence: lease.fence,
        nodes: NodeSaid::voted(&lease.votes),
    };
    Ok(json(StatusCode::OK, &body))
}

/// Releases a lock
///
/// Any instance of the service can release it, not only the one that took it.
#[utoipa::path(
    delete, path = "/v1/locks/{key}", operation_id = "releaseLock", tag = "locks",
    params(
        (
            "key" = String, Path, example = "orders:42",
            description = "The name of the lock, percent-encoded",
        ),
        ("Lock-Token" = String, Header, description = "The lock's token"),
        (
            "Lock-Fence" = Option<u64>, Header,
            description = "The lock's fencing number, if it has one: what may still arrive for the \
                           lock is refused then",
        ),
    ),
    responses(
        (status = 204, description = "The lock was released"),
        (
            status = 400, body = Problem,
            description = "The key can't be read, or the token is missing",
            content_type = "application/problem+json",
        ),
        NotAllowed,
        (
            status = 409, body = Problem,
            description = "The lock is not held with this token, or gone",
            content_type = "application/problem+json",
        ),
        (
            status = 422, body = Problem,
            description = "The key or the token is too long",
            content_type = "application/problem+json",
        ),
        (
            status = 503, body = Problem,
            description = "Too few nodes answer to know; it goes on in the background",
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn release(
    Shared(state): Shared<StateRef>,
    PathKey(key): PathKey,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let (token, fence) = (required(&headers)?, fields::fence(&headers, None)?);
    locking::release(&state, key, token, fence).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks at a lock
///
/// This is for people and for monitoring: what was seen may have changed before it
/// is read, so nothing may be decided by it that a lock should decide.
#[utoipa::path(
    get, path = "/v1/locks/{key}", operation_id = "lookAtLock", tag = "locks",
    params((
        "key" = String, Path, example = "orders:42",
        description = "The name of the lock, percent-encoded",
    )),
    responses(
        (status = 200, description = "How it stood", body = Seen),
        (
            status = 400, body = Problem,
            description = "The key can't be read",
            content_type = "application/problem+json",
        ),
        NotAllowed,
        (
            status = 422, body = Problem,
            description = "The key is too long",
            content_type = "application/problem+json",
        ),
        (
            status = 503, body = Problem,
            description = "Too few nodes answer to tell",
            content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn look(Shared(state): Shared<StateRef>, PathKey(key): PathKey) -> Result<Response, Refusal> {
    let found = state.redlock.inspect(&key).await.map_err(Refusal::of)?;
    let body = Seen {
        key: text(&key),
        held: found.is_held(),
        state: found.state().as_str(),
        votes: found.votes(),
        needed: found.needed(),
        remaining_ms: Some(found.remaining()).filter(|left| *left < Duration::MAX).map(millis),
        owner: found.owner(),
        nodes: NodeSaid::seen(&found),
    };
    Ok(([(CACHE_CONTROL, "no-store")], json(StatusCode::OK, &body)).into_response())
}

fn required(headers: &HeaderMap) -> Result<Token, Refusal> {
    fields::token(headers, None)?.ok_or(Refusal::TokenRequired)
}
