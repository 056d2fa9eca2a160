//! One instance of the service: its routes, and what their handlers share. It never
//! opens a socket: the program that embeds it does.

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

/// The lock service, ready to be served. It is a handle: cloning it is cheap.
#[derive(Clone)]
pub struct Service {
    state: Arc<State>,
}

/// The state as the handlers get it.
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
    /// [`SettingsError`] if the settings can't work together; its text says what to
    /// change.
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

    /// The routes of the service. They are absolute: to serve them under a prefix,
    /// nest them.
    ///
    /// If this is called in a tokio runtime, it starts the task that counts for the
    /// page, which ends with the service. Otherwise the first viewer of the page
    /// starts it.
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

    /// Puts these routes behind the gate.
    fn through(&self, way: Way, routes: Router<StateRef>) -> Router<StateRef> {
        routes.layer(from_fn_with_state((Arc::clone(&self.state), way), gate))
    }

    /// Begins the end of the service: requests that wait for a lock are answered 503,
    /// the page's streams end, and `/readyz` answers 503 from now on. Requests that
    /// need not wait are still served.
    pub fn close(&self) {
        self.state.closing.cancel();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("settings", &self.state.settings).finish_non_exhaustive()
    }
}
