//! The sampler, which collects once a second what the page shows (counters, nodes and
//! locks), and the stream that carries it. Neither holds the service, so neither keeps
//! a client alive. No token ever gets here.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State as Shared,
    http::{HeaderName, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Fuse, FusedFuture as _},
    stream,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock,
    refusal::Refusal,
    service::{State, StateRef},
    snapshot::{Nodes, Past, Snapshot},
};
use crate::{Error, ErrorKind, inspect::Health};

const SECOND: Duration = Duration::from_secs(1);

/// The path of the stream.
pub(super) const EVENTS: &str = "/v1/events";

/// How many viewers there may be at once. Each has a connection, and a process may
/// have 1024 of those by default on Linux.
const VIEWERS: usize = 64;

/// What the sampler and the streams of one service share.
pub(super) struct Watch {
    common: Arc<Common>,
    sampler: Mutex<Option<JoinHandle<()>>>,
    /// Ends the sampler and the streams with the service.
    _end: DropGuard,
}

struct Common {
    /// The newest snapshot, as JSON: a slow reader never gets an older one.
    newest: watch::Sender<Arc<str>>,
    /// Tells the sampler that a viewer came, which wants to see what is true now.
    came: Notify,
    seats: Arc<Semaphore>,
    ended: CancellationToken,
    started: Instant,
}

impl Watch {
    /// A watch that ends when `closing` is cancelled, or when it is dropped.
    pub(super) fn new(closing: &CancellationToken) -> Self {
        let ended = closing.child_token();
        let common = Common {
            newest: watch::Sender::new(Arc::from("")),
            came: Notify::new(),
            seats: Arc::new(Semaphore::new(VIEWERS)),
            ended: ended.clone(),
            started: clock::now(),
        };
        Self { common: Arc::new(common), sampler: Mutex::new(None), _end: ended.drop_guard() }
    }
}

/// Starts the sampler, if it does not run. This is called when the routes are made, so
/// that the charts have a past when the first viewer comes, and when a viewer comes,
/// since there may have been no runtime before.
pub(super) fn begin(state: &Arc<State>) {
    let Ok(runtime) = Handle::try_current() else { return };
    let mut sampler = state.watch.sampler.lock().unwrap_or_else(PoisonError::into_inner);
    if sampler.as_ref().is_none_or(JoinHandle::is_finished) {
        *sampler = Some(runtime.spawn(Sampler::new(state).run()));
    }
}

/// The task that looks each second.
struct Sampler {
    state: Weak<State>,
    common: Arc<Common>,
    past: Past,
    nodes: Nodes,
    /// The look at the nodes that is under way; terminated while none is.
    look: Fuse<BoxFuture<'static, Result<Health, Error>>>,
}

impl Sampler {
    fn new(state: &Arc<State>) -> Self {
        Self {
            state: Arc::downgrade(state),
            common: Arc::clone(&state.watch.common),
            past: Past::since(state.metrics.totals()),
            nodes: Nodes::default(),
            look: Fuse::terminated(),
        }
    }

    async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let mut second = interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = common.ended.cancelled() => return,
                _ = second.tick() => self.tick(),
                () = common.came.notified() => self.look(),
                health = &mut self.look => self.seen(health),
            }
        }
    }

    /// Always counts, but looks at the nodes only while somebody looks at the page.
    fn tick(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        self.past.push(state.metrics.totals());
        if self.common.newest.receiver_count() == 0 {
            self.nodes.forget();
            return;
        }
        // A node that hangs delays what is said of nodes, and nothing else.
        if !self.look.is_terminated() {
            self.publish(&state);
        }
        drop(state);
        self.look();
    }

    fn look(&mut self) {
        let Some(state) = self.state.upgrade() else { return };
        if self.look.is_terminated() {
            let redlock = state.redlock.clone();
            self.look = async move { redlock.health().await }.boxed().fuse();
        }
    }

    fn seen(&mut self, health: Result<Health, Error>) {
        let health = match health {
            Ok(health) => health,
            // The client was shut down: there is nothing left to see.
            Err(error) if error.kind() == ErrorKind::Closed => return self.common.ended.cancel(),
            // The client has too much to do: this second is not shown.
            Err(_) => return,
        };
        let Some(state) = self.state.upgrade() else { return };
        state.metrics.saw(&health);
        self.nodes.note(health, clock::now());
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let now = clock::now();
        let uptime = now.saturating_duration_since(self.common.started);
        let Some(nodes) = self.nodes.at(now) else { return };
        let snapshot = Snapshot::new(nodes, &state.handed, &self.past, uptime);
        match serde_json::to_string(&snapshot) {
            Ok(json) => drop(self.common.newest.send_replace(json.into())),
            Err(error) => tracing::error!(%error, "a snapshot for the page could not be written"),
        }
    }
}

pub(super) fn routes() -> Router<StateRef> {
    Router::new().route(EVENTS, get(events))
}

/// Sends a snapshot at once, and one each second, as server-sent events. They are for
/// the page alone and may change with it, so they are not documented.
async fn events(Shared(state): Shared<StateRef>) -> Response {
    let common = &state.watch.common;
    if common.ended.is_cancelled() {
        return Refusal::Closing.into_response();
    }
    let Ok(seat) = Arc::clone(&common.seats).try_acquire_owned() else {
        return Refusal::TooManyViewers.into_response();
    };
    begin(&state);
    let viewer =
        Viewer { newest: common.newest.subscribe(), ended: common.ended.clone(), _seat: seat };
    common.came.notify_one();
    let events = stream::unfold(viewer, Viewer::next);
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        // Proxies such as nginx would collect events before they pass them on.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

/// One reader of the stream.
struct Viewer {
    newest: watch::Receiver<Arc<str>>,
    ended: CancellationToken,
    _seat: OwnedSemaphorePermit,
}

impl Viewer {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let changed = self.ended.run_until_cancelled(self.newest.changed()).await;
        let Some(Ok(())) = changed else { return None };
        let json = Arc::clone(&self.newest.borrow_and_update());
        Some((Ok(Event::default().event("snapshot").data(json)), self))
    }
}
