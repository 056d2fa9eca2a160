//! Refusals as `application/problem+json` (RFC 9457), for all paths but those
//! that answer as the older services do.

use std::borrow::Cow;

use axum::{
    http::{
        HeaderValue, Method, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::{
    answers::{NodeSaid, answer, millis},
    refusal::Refusal,
};
use crate::ErrorKind;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not done, in the form of RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:redlock-quorum:contended",
    "title": "the lock can't be had now",
    "status": 409,
    "detail": "lock `orders:42` is held by another",
    "kind": "contended",
    "retry_after_ms": 12_034,
    "nodes": [
        { "node": "10.0.0.1:6379", "answer": "refused", "remaining_ms": 12_034 },
        { "node": "10.0.0.2:6379", "answer": "refused", "remaining_ms": 12_031 },
        { "node": "10.0.0.3:6379", "answer": "not_awaited" },
    ],
}))]
pub(super) struct Problem<'a> {
    /// `urn:redlock-quorum:` followed by the kind.
    r#type: String,
    /// A title that is the same for all problems of that kind.
    title: &'static str,
    status: u16,
    /// What went wrong this time, and what to change.
    #[schema(value_type = String)]
    detail: Cow<'a, str>,
    /// The kind, to branch on. One of `contended`, `timed_out`, `lost`, `no_quorum`,
    /// `expired`, `closed`, `too_many_waiters`, `too_many_viewers`,
    /// `token_required`, `unauthorized`, `cross_site`, `not_found`, `method_not_allowed`,
    /// `too_large`, `unsupported_media_type`, `invalid`; more may come.
    kind: &'static str,
    /// After how long another try may succeed, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// What the holder calls itself that is in the way, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "worker-7")]
    owner: Option<&'a str>,
    /// What each node said, if nodes were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<NodeSaid>>)]
    nodes: Vec<NodeSaid<'a>>,
}

/// What a guarded route answers to callers that may not use it.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is only for the document")]
pub(super) enum NotAllowed {
    #[response(
        status = 401,
        description = "The bearer token is missing or wrong",
        content_type = "application/problem+json"
    )]
    Unauthorized(Problem<'static>),
    #[response(
        status = 403,
        description = "It comes from another site's web page",
        content_type = "application/problem+json"
    )]
    CrossSite(Problem<'static>),
}

/// What a route answers to a body that it does not take.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is only for the document")]
pub(super) enum BadBody {
    #[response(
        status = 413,
        description = "The body is over 16 KiB",
        content_type = "application/problem+json"
    )]
    TooLarge(Problem<'static>),
    #[response(
        status = 415,
        description = "The body is not JSON",
        content_type = "application/problem+json"
    )]
    NotJson(Problem<'static>),
    #[response(
        status = 422,
        description = "The key or a field is unknown or out of bounds",
        content_type = "application/problem+json"
    )]
    Invalid(Problem<'static>),
}

/// The kind of a problem, and its title.
fn kind(refusal: &Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::Held(error) if error.kind() == ErrorKind::Timeout => {
            ("timed_out", "the lock could not be had for as long as was waited")
        }
        Refusal::Held(_) => ("contended", "the lock can't be had now"),
        Refusal::Unavailable(error) => match error.kind() {
            ErrorKind::Expired => ("expired", "the nodes answered too late for this ttl"),
            ErrorKind::Closed => CLOSED,
            _ => ("no_quorum", "too few nodes gave an answer that counts"),
        },
        Refusal::Closing => CLOSED,
        Refusal::TooMany(_) => ("too_many_waiters", "too many requests wait already"),
        Refusal::TooManyViewers => ("too_many_viewers", "too many look at the page already"),
        Refusal::NotYours => ("lost", "the lock is not held with this token"),
        Refusal::TokenRequired => ("token_required", "the lock's token is missing"),
        Refusal::Unauthorized => ("unauthorized", "the bearer token is missing or wrong"),
        Refusal::CrossSite => ("cross_site", "a web page of another site may not do this"),
        Refusal::NotFound => ("not_found", "there is nothing at this path"),
        Refusal::MethodNotAllowed(_) => ("method_not_allowed", "this method is not possible here"),
        Refusal::Invalid(StatusCode::PAYLOAD_TOO_LARGE, _) => {
            ("too_large", "the body is too large")
        }
        Refusal::Invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => {
            ("unsupported_media_type", "the body is of a type that is not read here")
        }
        Refusal::Invalid(..) => ("invalid", "the request is not valid"),
    }
}

const CLOSED: (&str, &str) = ("closed", "this instance is shutting down");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (kind, title) = kind(&self);
        let status = self.status();
        let problem = Problem {
            r#type: format!("urn:redlock-quorum:{kind}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            kind,
            retry_after_ms: self.retry_after().map(millis),
            owner: self.owner(),
            nodes: NodeSaid::all(self.nodes()),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        with_headers(answer(status, PROBLEM_JSON, body), &self)
    }
}

/// Adds the headers that a refusal has in either form.
pub(super) fn with_headers(mut response: Response, refusal: &Refusal) -> Response {
    let headers = response.headers_mut();
    if let Some(after) = refusal.retry_after_header() {
        headers.insert(RETRY_AFTER, after);
    }
    if matches!(refusal, Refusal::Unauthorized) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

pub(super) async fn not_found() -> Refusal {
    Refusal::NotFound
}

pub(super) async fn method_not_allowed(method: Method) -> Refusal {
    Refusal::MethodNotAllowed(method)
}
