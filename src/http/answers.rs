//! The parts that answers are made of, in the clean form and in the older one.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{NodeAnswer, NodeError, NodeReport, Token, Votes, inspect::Inspection};

/// What one node said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeSaid<'a> {
    /// The node, as `host:port` or a socket's path.
    #[schema(example = "10.0.0.1:6379")]
    node: &'a str,
    /// `granted`: the node did what was asked. `refused`: it holds another's value,
    /// or no longer holds this one. `failed`: it gave no answer, see `error`.
    /// `not_awaited`: the outcome was clear without it. If a lock was only looked
    /// at, `free` or `held` instead of the first two.
    #[schema(example = "granted")]
    answer: &'static str,
    /// How long the node's copy of the key still lives, if the node said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<u64>,
    /// Why the node failed, and what to change there.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How long the node's answer took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
}

impl<'a> NodeSaid<'a> {
    fn new(node: &'a str, answer: &'static str) -> Self {
        Self { node, answer, remaining_ms: None, error: None, latency_us: None }
    }

    fn failed(node: &'a str, error: &NodeError) -> Self {
        Self { error: Some(error.to_string()), ..Self::new(node, "failed") }
    }

    /// The nodes' answers in a call that failed.
    pub(super) fn all(reports: &'a [NodeReport]) -> Vec<Self> {
        let said = |report: &'a NodeReport| match report.answer() {
            NodeAnswer::Granted => Self::new(report.address(), "granted"),
            NodeAnswer::Refused { remaining } => Self {
                remaining_ms: remaining.map(millis),
                ..Self::new(report.address(), "refused")
            },
            NodeAnswer::Failed(error) => Self::failed(report.address(), error),
            NodeAnswer::Free => Self::new(report.address(), "free"),
            NodeAnswer::Held { remaining } => Self {
                remaining_ms: Some(millis(*remaining)),
                ..Self::new(report.address(), "held")
            },
            NodeAnswer::NotAwaited => Self::new(report.address(), "not_awaited"),
        };
        reports.iter().map(said).collect()
    }

    /// The nodes' answers when a lock was looked at.
    pub(super) fn seen(found: &'a Inspection) -> Vec<Self> {
        let said = |(node, found): (&'a str, Result<Option<Duration>, &NodeError>)| match found {
            Ok(None) => Self::new(node, "free"),
            Ok(left) => Self { remaining_ms: left.map(millis), ..Self::new(node, "held") },
            Err(error) => Self::failed(node, error),
        };
        found.nodes().map(said).collect()
    }

    /// The nodes' votes in a call that succeeded, which is usually before all of
    /// them have answered.
    pub(super) fn voted(votes: &'a Votes) -> Vec<Self> {
        let said = |(node, latency): (&'a str, Option<Duration>)| match latency.map(micros) {
            None => Self::new(node, "not_awaited"),
            latency_us => Self { latency_us, ..Self::new(node, "granted") },
        };
        votes.nodes().map(said).collect()
    }
}

/// Whole milliseconds, saturating.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds, saturating.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A key or token as text; bytes that are not UTF-8 are replaced.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) const LOCK_TOKEN: &str = "lock-token";

/// A token as a header's value. Tokens that the library made always fit; one that a
/// caller made up may not.
pub(super) fn token_header(token: &Token) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(token.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An answer with a body that is already written, of the content type `kind`.
pub(super) fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // All of these are plain structs, which can always be written.
    answer(status, JSON, serde_json::to_vec(body).unwrap_or_default())
}
