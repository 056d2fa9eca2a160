//! The endpoints that orchestrators and Prometheus ask. They never show a key.

use axum::{
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answers::{answer, json, micros},
    problem::NotAllowed,
    service::StateRef,
};
use crate::inspect::{Health, NodeHealth};

/// The probes, which are open to all.
pub(super) fn routes() -> OpenApiRouter<StateRef> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// The metrics, for callers with the bearer token if one is set.
pub(super) fn metrics_route() -> OpenApiRouter<StateRef> {
    OpenApiRouter::new().routes(routes!(metrics))
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The format that Prometheus asks for, and understands even if it did not ask.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Whether locks can be taken here.
#[derive(Serialize, ToSchema)]
struct Ready<'a> {
    /// Whether a quorum answers, and the service is not about to end.
    ready: bool,
    /// Whether the service is about to end.
    closing: bool,
    /// How many nodes can vote.
    #[schema(example = 3)]
    able: usize,
    /// How many votes a lock needs.
    #[schema(example = 2)]
    needed: usize,
    /// How each node stands. It is left out if a bearer token is wanted and was not
    /// sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<NodeState>>)]
    nodes: Vec<NodeState<'a>>,
}

/// How one node stands.
#[derive(Serialize, ToSchema)]
struct NodeState<'a> {
    /// The node, as `host:port` or a socket's path.
    #[schema(example = "10.0.0.1:6379")]
    node: &'a str,
    /// Whether the node answered and can vote.
    able: bool,
    /// `master` or `replica`, if the node says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// The node's server and version, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "redis 7.4.1")]
    server: Option<&'a str>,
    /// How long the node's answer took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    /// Why the node did not answer, and what to change there.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What threatens the guarantee there, though the node votes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<String>>)]
    warnings: Vec<String>,
}

impl<'a> NodeState<'a> {
    fn of(node: &'a NodeHealth) -> Self {
        Self {
            node: node.address(),
            able: node.is_able(),
            role: node.role().map(|role| role.as_str()),
            server: node.server(),
            latency_us: node.latency().map(micros),
            error: node.error().map(ToString::to_string),
            warnings: node.warnings().iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether the process runs
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "operations", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
async fn healthz() -> Response {
    answer(StatusCode::OK, TEXT, "ok\n")
}

/// Whether locks can be taken here
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "A quorum of nodes answers", body = Ready),
        (
            status = 503, body = Ready,
            description = "Too few nodes answer, or the service is about to end",
        ),
    ),
)]
async fn readyz(Shared(state): Shared<StateRef>, headers: HeaderMap) -> Response {
    let health = state.redlock.health().await.ok();
    let closing = state.closing.is_cancelled();
    let ready = !closing && health.as_ref().is_some_and(Health::has_quorum);
    let nodes = health.as_ref().filter(|_| state.bearer.admits(&headers)).map(Health::nodes);
    let body = Ready {
        ready,
        closing,
        able: health.as_ref().map_or(0, Health::able),
        needed: health.as_ref().map_or(0, Health::needed),
        nodes: nodes.unwrap_or_default().iter().map(NodeState::of).collect(),
    };
    json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

/// All metrics, as OpenMetrics text
///
/// Asks every node how it is, and waits for that up to one node timeout.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses(
        (status = 200, description = "The metrics", body = String,
            content_type = "application/openmetrics-text"),
        NotAllowed,
    ),
)]
async fn metrics(Shared(state): Shared<StateRef>) -> Response {
    if let Ok(health) = state.redlock.health().await {
        state.metrics.saw(&health);
    }
    answer(StatusCode::OK, OPEN_METRICS, state.metrics.encode(state.handed.len()))
}
