//! The parts that answers are made of, in the clean form and in the older one.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    NodeAnswer, NodeError, NodeErrorKind, NodeReport, Token, Votes,
    inspect::{Inspection, NodeKey, What},
};

/// What one node said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeSaid<'a> {
    /// The node, as `host:port` or a socket's path.
    #[schema(example = "10.0.0.1:6379")]
    node: &'a str,
    /// `granted`: the node did what was asked. `refused`: it holds another's value.
    /// `gone`: it no longer holds this one. `failed`: it gave no answer, see `error`.
    /// `not_awaited`: the outcome was clear without it. If a lock was only looked
    /// at, instead of the first two: `free`, `held` for a value that may be a lock's, or
    /// `taken` for anything else.
    #[schema(example = "granted")]
    answer: &'static str,
    /// What is at the node's key if a lock was only looked at: `value`, `empty`, a
    /// string, `long`, a string too long for a token, or `other_type`, such as a hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "value")]
    what: Option<&'static str>,
    /// How long the node's copy of the key still lives, if the node said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<u64>,
    /// Whether the node's copy of the key is known never to expire.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    never_expires: bool,
    /// Why the node failed, or what is in the way there, and what to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How long the node's answer took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
}

impl<'a> NodeSaid<'a> {
    fn new(node: &'a str, answer: &'static str) -> Self {
        Self {
            node,
            answer,
            what: None,
            remaining_ms: None,
            never_expires: false,
            error: None,
            latency_us: None,
        }
    }

    fn failed(node: &'a str, error: &NodeError) -> Self {
        // What is at the key is no trouble of the node.
        let is_taken = error.kind() == NodeErrorKind::ForeignKey;
        let answer = if is_taken { "refused" } else { "failed" };
        Self { error: Some(error.to_string()), ..Self::new(node, answer) }
    }

    fn seen_at(node: &'a str, key: NodeKey) -> Self {
        let answer = if key.what() == What::Value { "held" } else { "taken" };
        Self {
            what: Some(key.what().as_str()),
            remaining_ms: key.remaining().map(millis),
            never_expires: key.remaining().is_none(),
            ..Self::new(node, answer)
        }
    }

    /// The nodes' answers in a call that failed.
    pub(super) fn all(reports: &'a [NodeReport]) -> Vec<Self> {
        let said = |report: &'a NodeReport| match report.answer() {
            NodeAnswer::Granted => Self::new(report.address(), "granted"),
            NodeAnswer::Refused { remaining } => Self {
                remaining_ms: remaining.map(millis),
                ..Self::new(report.address(), "refused")
            },
            NodeAnswer::Gone => Self::new(report.address(), "gone"),
            NodeAnswer::Failed(error) => Self::failed(report.address(), error),
            NodeAnswer::Free => Self::new(report.address(), "free"),
            NodeAnswer::Held { remaining } => Self {
                remaining_ms: Some(millis(*remaining)).filter(|_| *remaining < Duration::MAX),
                never_expires: *remaining == Duration::MAX,
                ..Self::new(report.address(), "held")
            },
            NodeAnswer::NotAwaited => Self::new(report.address(), "not_awaited"),
        };
        reports.iter().map(said).collect()
    }

    /// The nodes' answers when a lock was looked at.
    pub(super) fn seen(found: &'a Inspection) -> Vec<Self> {
        let said = |(node, found): (&'a str, Result<Option<NodeKey>, &NodeError>)| match found {
            Ok(None) => Self::new(node, "free"),
            Ok(Some(key)) => Self::seen_at(node, key),
            Err(error) => Self::failed(node, error),
        };
        found.keys().map(said).collect()
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

pub(super) const LOCK_FENCE: &str = "lock-fence";

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
