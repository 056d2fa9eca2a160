//! One instance of the service: what its handlers share, and its routes.

use std::{fmt, sync::Arc};

use axum::{Router, routing::get};
use tokio_util::sync::CancellationToken;

use super::{Settings, handed::Handed, metrics::Metrics, settings::SettingsError};
use crate::Redlock;

/// The lock service, ready to be served. A handle: cloning it is cheap.
#[derive(Clone)]
pub struct Service {
    state: Arc<State>,
}

/// What the handlers share.
pub(super) struct State {
    pub(super) redlock: Redlock,
    pub(super) settings: Settings,
    /// Cancelled when the service is to end.
    pub(super) closing: CancellationToken,
    pub(super) handed: Handed,
    pub(super) metrics: Metrics,
}

impl Service {
    /// A service that takes its locks by `redlock`.
    ///
    /// # Errors
    ///
    /// Settings that can't work together; the text says what to change.
    pub fn new(redlock: Redlock, settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let closing = CancellationToken::new();
        let (handed, metrics) = (Handed::new(), Metrics::new());
        Ok(Self { state: Arc::new(State { redlock, settings, closing, handed, metrics }) })
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new().route("/healthz", get(async || "ok\n")).with_state(Arc::clone(&self.state))
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
