//! `/openapi.json`: the document that clients are generated from. It is made from the
//! handlers themselves, with their routes, and never written by hand.

use std::sync::LazyLock;

use axum::{body::Bytes, http::StatusCode, response::Response};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    answers::{JSON, answer},
    legacy, locks, probes,
    service::StateRef,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "redlock",
        description = "A lock service over N independent Redis or Valkey masters. A lock is \
            held from the moment a majority has granted it, for its ttl, and its token extends \
            and releases it through any instance of the service.",
    ),
    tags(
        (name = "locks", description = "Take, extend, release and look at locks"),
        (name = "drop-in", description = "The same for callers of older services"),
        (name = "operations", description = "For orchestrators and Prometheus"),
    ),
    security((), ("bearer" = [])),
    modifiers(&Bearer),
)]
struct Document;

/// Adds how the bearer token is sent, which the operator may want.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
    }
}

/// The document, made once: it does not depend on any setting.
static JSON_TEXT: LazyLock<Bytes> = LazyLock::new(|| {
    let all = OpenApiRouter::<StateRef>::with_openapi(Document::openapi())
        .merge(legacy::routes())
        .merge(locks::routes())
        .merge(probes::routes())
        .merge(probes::metrics_route())
        .merge(routes());
    // A document that derives made can always be written.
    serde_json::to_vec(&all.into_openapi()).unwrap_or_default().into()
});

pub(super) fn routes() -> OpenApiRouter<StateRef> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "operations", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)),
)]
async fn openapi() -> Response {
    answer(StatusCode::OK, JSON, JSON_TEXT.clone())
}
