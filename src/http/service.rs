//! One instance of the service: what its handlers share, and its routes.

use std::{fmt, sync::Arc};

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use tokio_util::sync::CancellationToken;

use super::{
    Settings,
    auth::Bearer,
    fields::MAX_BODY_BYTES,
    gate::{Way, gate},
    handed::Handed,
    legacy, locks,
    metrics::Metrics,
    openapi, page, probes, problem,
    settings::SettingsError,
    watch,
};
use crate::Redlock;

/// The lock service, ready to be served. A handle: cloning it is cheap.
#[derive(Clone)]
pub struct Service {
    state: Arc<State>,
}

/// As the handlers get it.
pub(super) type StateRef = Arc<State>;

/// What the handlers share.
pub(super) struct State {
    pub(super) redlock: Redlock,
    pub(super) settings: Settings,
    /// Cancelled when the service is to end.
    pub(super) closing: CancellationToken,
    pub(super) bearer: Bearer,
    pub(super) handed: Handed,
    pub(super) metrics: Metrics,
    pub(super) watch: watch::Watch,
}

impl Service {
    /// A service that takes its locks by `redlock`.
    ///
    /// # Errors
    ///
    /// Settings that can't work together; the text says what to change.
    pub fn new(redlock: Redlock, settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        if settings.tokenless_unlock {
            tracing::warn!(
                "locks can be released without their token: unsafe, anyone can unlock anything"
            );
        }
        let bearer = Bearer::new(settings.bearer_token.as_deref());
        let (handed, metrics) = (Handed::new(), Metrics::new());
        let closing = CancellationToken::new();
        let watch = watch::Watch::new(&closing);
        let state = State { redlock, settings, closing, bearer, handed, metrics, watch };
        Ok(Self { state: Arc::new(state) })
    }

    /// Its routes. They are absolute: to serve them under a prefix, nest them.
    ///
    /// Called in a runtime, it starts the task that counts for the page, which
    /// ends with the service; else the first who opens the page does.
    pub fn router(&self) -> Router {
        watch::begin(&self.state);
        let open = Router::from(probes::routes().merge(openapi::routes())).merge(page::routes());
        let guarded =
            Router::from(locks::routes().merge(probes::metrics_route())).merge(watch::routes());
        let legacy = Router::from(legacy::routes());
        let open = open.method_not_allowed_fallback(problem::method_not_allowed);
        let guarded = guarded.method_not_allowed_fallback(problem::method_not_allowed);
        let legacy = legacy.method_not_allowed_fallback(legacy::method_not_allowed);
        self.through(Way::Guarded, guarded.fallback(problem::not_found))
            .merge(self.through(Way::Open, open))
            .merge(self.through(Way::Legacy, legacy))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Arc::clone(&self.state))
    }

    /// These routes, behind the gate.
    fn through(&self, way: Way, routes: Router<StateRef>) -> Router<StateRef> {
        routes.layer(from_fn_with_state((Arc::clone(&self.state), way), gate))
    }

    /// Begins the end: who waits for a lock is answered 503, streams end, and
    /// `/readyz` says no more than that. Requests that can be answered still
    /// are.
    pub fn close(&self) {
        self.state.closing.cancel();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("settings", &self.state.settings).finish_non_exhaustive()
    }
}
