//! `POST /lock` and `POST /unlock`, in the form of the services that this one
//! replaces: their callers go on working, byte for byte. Fields that those services
//! did not have (a token, more codes) always come after theirs.

use std::borrow::Cow;

use axum::{
    extract::{Request, State as Shared},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answers::{JSON, NodeSaid, answer, json, millis, text},
    fields::{self, body},
    locking,
    problem::with_headers,
    refusal::Refusal,
    service::StateRef,
};
use crate::Token;

pub(super) fn routes() -> OpenApiRouter<StateRef> {
    OpenApiRouter::new().routes(routes!(lock)).routes(routes!(unlock))
}

body! {
    /// What to lock, and how.
    struct LockBody, IS_FORM: true,
    /// The name of the lock: 1 to 1024 bytes. In a form, any bytes,
    /// percent-encoded.
    #[schema(
        value_type = String, required, min_length = 1, max_length = 1024, example = "orders:42"
    )]
    key: String = Vec::from,
    /// How long the lock is held, in milliseconds; 30 s by default.
    #[schema(minimum = 10, example = 30_000)]
    ttl_ms: u64 = u64::into,
    /// How long to wait while another holds the lock, in milliseconds; by default
    /// not at all.
    #[schema(example = 0)]
    wait_ms: u64 = u64::into,
    /// What the caller calls itself: up to 232 bytes of printable ASCII, without a blank at
    /// either end. Whoever is refused or looks is told it; it is shown on the page, and logged
    /// at debug. An empty one is none.
    #[schema(max_length = 232, example = "worker-7")]
    owner: String = String::into,
    /// Whether the lock is to have a fencing number, which the resource compares: `fence` in
    /// the answer.
    #[schema(example = false)]
    fenced: bool = bool::into,
}

body! {
    /// What to unlock.
    struct UnlockBody, IS_FORM: true,
    /// The name of the lock.
    #[schema(
        value_type = String, required, min_length = 1, max_length = 1024, example = "orders:42"
    )]
    key: String = Vec::from,
    /// The token that `/lock` gave. It may be sent as the header `Lock-Token` instead.
    #[schema(max_length = 256, example = "u3Vd0bq1sS5~dXa2yT7GkQw")]
    token: String = Vec::from,
    /// The fencing number that `/lock` gave, if it did: what may still arrive for the lock is
    /// refused then. It may be sent as the header `Lock-Fence` instead.
    #[schema(example = 1_796_031_812_345_678_u64)]
    fence: u64 = u64::into,
}

/// The lock was acquired.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "code": 0, "message": "get lock success", "token": "u3Vd0bq1sS5~dXa2yT7GkQw",
    "validity_ms": 29_688, "votes": 2,
}))]
struct Locked<'a> {
    /// Zero.
    code: u8,
    message: &'static str,
    /// The token that `/unlock` wants. It is a secret: whoever has it can unlock.
    #[schema(value_type = String)]
    token: Cow<'a, str>,
    /// How long the lock is held, from this answer on.
    validity_ms: u64,
    /// How many nodes had granted it by then.
    votes: usize,
    /// Its fencing number, if it was asked for with `fenced`: larger than that of every holder
    /// before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_796_031_812_345_678_u64)]
    fence: Option<u64>,
}

/// Whether the request was done, or why it was not.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "code": 1, "message": "get lock failed", "retry_after_ms": 12_034 }))]
struct Outcome<'a> {
    /// 0: done. 1: the lock can't be had now. 2: the lock is not held with this token,
    /// or is gone. 3: the token is missing. 4: too few nodes answer. 5: the request
    /// is not valid. 6: too many requests wait. 7: the bearer token is missing or
    /// wrong. 8: a web page of another site may not do this.
    code: u8,
    #[schema(value_type = String)]
    message: Cow<'a, str>,
    /// After how long another try may succeed, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// What the holder calls itself that is in the way, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "worker-7")]
    owner: Option<&'a str>,
    /// What each node said, if too few answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<NodeSaid>>)]
    nodes: Vec<NodeSaid<'a>>,
    /// With code 1: who or what is in the way, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    detail: Option<Cow<'a, str>>,
}

/// What both endpoints answer to callers that may not use them, and to a body that they
/// do not take.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is only for the document")]
enum NotServed {
    #[response(status = 401, description = "Code 7: the bearer token is missing or wrong")]
    Unauthorized(Outcome<'static>),
    #[response(status = 403, description = "Code 8: it comes from another site's web page")]
    CrossSite(Outcome<'static>),
    #[response(status = 413, description = "Code 5: the body is over 16 KiB")]
    TooLarge(Outcome<'static>),
    #[response(status = 415, description = "Code 5: the body is neither a form nor JSON")]
    UnknownType(Outcome<'static>),
    #[response(status = 422, description = "Code 5: a field is unknown or out of bounds")]
    Invalid(Outcome<'static>),
}

const RELEASED: &str = r#"{"code":0,"message":"release lock success"}"#;
const NOT_RELEASED: &str = r#"{"code":2,"message":"release lock failed"}"#;

/// A refusal in the form of the older services.
pub(super) struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let (code, message) = match &refusal {
            // The status does not mean that, but callers look for it.
            Refusal::NotYours => {
                return answer(StatusCode::INTERNAL_SERVER_ERROR, JSON, NOT_RELEASED);
            }
            Refusal::Held(_) => (1, "get lock failed".into()),
            Refusal::TokenRequired => (3, "token required".into()),
            Refusal::Unavailable(_) | Refusal::Closing | Refusal::TooManyViewers => {
                (4, "lock service unavailable".into())
            }
            Refusal::TooMany(_) => (6, worded("too many waiters", &refusal)),
            Refusal::Unauthorized => (7, worded("unauthorized", &refusal)),
            Refusal::CrossSite => (8, worded("forbidden", &refusal)),
            Refusal::NotFound | Refusal::MethodNotAllowed(_) | Refusal::Invalid(..) => {
                (5, worded("invalid request", &refusal))
            }
        };
        let nodes = if code == 4 { NodeSaid::all(refusal.nodes()) } else { Vec::new() };
        let retry_after_ms = refusal.retry_after().map(millis);
        let detail = (code == 1).then(|| refusal.detail());
        let body = Outcome { code, message, retry_after_ms, owner: refusal.owner(), nodes, detail };
        with_headers(json(refusal.status(), &body), &refusal)
    }
}

fn worded(what: &str, refusal: &Refusal) -> Cow<'static, str> {
    format!("{what}: {}", refusal.detail()).into()
}

pub(super) async fn method_not_allowed(method: Method) -> Refused {
    Refused(Refusal::MethodNotAllowed(method))
}

/// Takes a lock, if it is free or comes free in time
///
/// The lock ends by itself after `validity_ms`, or when it is unlocked.
#[utoipa::path(
    post, path = "/lock", operation_id = "lock", tag = "drop-in",
    request_body(content(
        (LockBody = "application/x-www-form-urlencoded"),
        (LockBody = "application/json"),
    )),
    responses(
        (status = 200, description = "The lock is held", body = Locked),
        (
            status = 400, body = Outcome,
            description = "Code 5: it can't be read, or the key is missing",
        ),
        NotServed,
        (
            status = 409, body = Outcome,
            description = "Code 1: another holds the lock, also after the wait, others ask for \
                           it at the same time, or something else is at its key",
            headers((
                "Retry-After" = u64,
                description = "Seconds, at least 1; not sent for a key that never expires, or lives beyond `max_ttl`"
            )),
        ),
        (
            status = 429, body = Outcome,
            description = "Code 6: too many requests wait already",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
        (
            status = 503, body = Outcome,
            description = "Code 4: too few nodes answer; nobody is known to hold the lock",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn lock(Shared(state): Shared<StateRef>, request: Request) -> Result<Response, Refused> {
    let mut fields = fields::read::<LockBody>(request).await?;
    let key = fields.key()?;
    let lease = locking::acquire(&state, &key, &fields).await?;
    Ok(json(
        StatusCode::OK,
        &Locked {
            code: 0,
            message: "get lock success",
            token: text(lease.token.as_bytes()),
            validity_ms: millis(lease.validity),
            votes: lease.votes.granted(),
            fence: lease.fence,
        },
    ))
}

/// Releases a lock
///
/// Any instance of the service can release it, not only the one that took it.
#[utoipa::path(
    post, path = "/unlock", operation_id = "unlock", tag = "drop-in",
    params(
        (
            "Lock-Token" = Option<String>, Header,
            description = "The token, unless it is in the body",
        ),
        (
            "Lock-Fence" = Option<u64>, Header,
            description = "The fencing number, unless it is in the body",
        ),
    ),
    request_body(content(
        (UnlockBody = "application/x-www-form-urlencoded"),
        (UnlockBody = "application/json"),
    )),
    responses(
        (
            status = 200, body = Outcome,
            description = "The lock was released",
            example = json!({ "code": 0, "message": "release lock success" }),
        ),
        (
            status = 400, body = Outcome,
            description = "Code 3: the token is missing. Code 5: it can't be read, or the key \
                           is missing",
            example = json!({ "code": 3, "message": "token required" }),
        ),
        NotServed,
        (
            status = 500, body = Outcome,
            description = "Code 2: the lock is not held with this token, or gone. No failure \
                           of the service, in spite of its number",
            example = json!({ "code": 2, "message": "release lock failed" }),
        ),
        (
            status = 503, body = Outcome,
            description = "Code 4: too few nodes answer to know; it goes on in the background",
            headers(("Retry-After" = u64, description = "Seconds, at least 1")),
        ),
    ),
)]
async fn unlock(Shared(state): Shared<StateRef>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let mut fields = fields::read::<UnlockBody>(request).await?;
    let key = fields.key()?;
    let token = match fields::token(&headers, fields.token.take())? {
        Some(token) => token,
        None => handed_out(&state, &key)?,
    };
    let fence = fields::fence(&headers, fields.fence)?;
    locking::release(&state, key, token, fence).await?;
    Ok(answer(StatusCode::OK, JSON, RELEASED))
}

/// The token of the lock that this instance handed out for `key`, if the settings let
/// callers unlock without it.
fn handed_out(state: &StateRef, key: &[u8]) -> Result<Token, Refusal> {
    if !state.settings.tokenless_unlock {
        return Err(Refusal::TokenRequired);
    }
    let token = state.handed.token(key).ok_or(Refusal::NotYours)?;
    tracing::info!("a lock is released without its token: unsafe, it may be another caller's");
    Ok(token)
}
