//! The layer: which requests take a lock, which one, and for how long. It never asks
//! for a lock itself: [`LockService`] does.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use tower_layer::Layer;

use super::{LockService, Rejection};
use crate::Redlock;

/// The ttl by default: how long others wait at most for the lock of a process that has
/// died. The lock is renewed while its request is handled.
const TTL: Duration = Duration::from_secs(10);

/// How many requests of a layer may wait at once by default. Each has a connection,
/// and a process may have 1024 of those by default on Linux.
const MAX_QUEUED: usize = 512;

/// Holds a lock around the service behind it, for each request whose key the
/// given function names; see the [module](super).
///
/// The function sees the request before its body is read. It names the lock by any 1
/// to 1024 bytes, or returns `None` for a request that needs no lock. A request whose
/// key is not valid is answered 400.
///
/// | option | default |
/// |---|---|
/// | [`ttl`](Self::ttl) | 10 s, renewed while the request is handled |
/// | [`wait`](Self::wait) | none: a request whose lock is held is refused at once |
/// | [`fenced`](Self::fenced) | no: locks have no fencing numbers |
/// | [`max_queued`](Self::max_queued) | 512 |
/// | [`methods`](Self::methods) | all but `GET`, `HEAD`, `OPTIONS` and `TRACE` |
/// | [`busy_status`](Self::busy_status) | 409 |
/// | [`on_reject`](Self::on_reject) | a line of text |
/// | [`on_loss`](Self::on_loss) | the handler is dropped, and 503 answered |
/// | [`hold`](Self::hold) | until the handler's response is there |
///
/// # Examples
///
/// ```
/// use redlock_quorum::{Redlock, tower::LockLayer};
/// use std::time::Duration;
///
/// # fn layer(redlock: Redlock) {
/// // Requests for one order take turns; requests for anything else need no lock.
/// let turns = LockLayer::new(redlock, |request: &http::Request<()>| {
///     let order = request.uri().path().strip_prefix("/orders/")?;
///     Some(format!("order:{order}"))
/// })
/// .wait(Duration::from_secs(2));
/// # drop(turns); }
/// ```
#[must_use = "a layer does nothing until a service is put behind it"]
pub struct LockLayer<F> {
    pub(super) options: Options,
    key: Arc<F>,
}

/// What becomes of a request whose lock is lost while it is handled: a majority
/// of the nodes has forgotten it, or could not be reached for a whole ttl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnLoss {
    /// The handler's future is dropped where it is, and 503 is answered. Tasks that
    /// it has spawned go on: they can watch
    /// [`Held::lost_token`](crate::Held::lost_token).
    Cancel,
    /// The handler goes on, and its response is sent. The handler can ask
    /// [`Held`](crate::Held) whether it still has the lock.
    Finish,
}

/// How long the lock of a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// The lock is held until the handler has returned its response: a client that
    /// reads slowly keeps nobody waiting.
    UntilResponse,
    /// The lock is held until the response's body has ended, or is dropped: for
    /// handlers that work on while they stream. If the lock is lost before that,
    /// under [`OnLoss::Cancel`], the body ends with an error, which the client sees
    /// as a response that is cut short.
    UntilBodyEnd,
}

/// The methods whose requests take a lock.
#[derive(Clone)]
pub(super) enum Methods {
    All,
    /// The methods that may change something.
    Unsafe,
    These(Arc<[Method]>),
}

impl Methods {
    pub(super) fn contain(&self, method: &Method) -> bool {
        match self {
            Self::All => true,
            Self::Unsafe => !method.is_safe(),
            Self::These(methods) => methods.contains(method),
        }
    }
}

type Respond = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

#[derive(Clone)]
pub(super) struct Options {
    pub(super) redlock: Redlock,
    pub(super) ttl: Duration,
    pub(super) wait: Duration,
    pub(super) fenced: bool,
    pub(super) max_queued: usize,
    /// How many requests wait now, in all services of the layer.
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) methods: Methods,
    pub(super) busy_status: StatusCode,
    pub(super) on_reject: Arc<Respond>,
    pub(super) on_loss: OnLoss,
    pub(super) hold: Hold,
}

impl<F> LockLayer<F> {
    /// A layer that takes locks by `redlock`, for each request the one that `key`
    /// names.
    pub fn new<B, K>(redlock: Redlock, key: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<K>,
        K: AsRef<[u8]>,
    {
        let options = Options {
            redlock,
            ttl: TTL,
            wait: Duration::ZERO,
            fenced: false,
            max_queued: MAX_QUEUED,
            queued: Arc::default(),
            methods: Methods::Unsafe,
            busy_status: StatusCode::CONFLICT,
            on_reject: Arc::new(Rejection::to_response),
            on_loss: OnLoss::Cancel,
            hold: Hold::UntilResponse,
        };
        Self { options, key: Arc::new(key) }
    }

    /// Sets how long the lock outlives a process that dies: from 10 ms to the client's
    /// maximum. The lock is renewed every third of that while the request is handled,
    /// however long that takes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Sets how long a request waits in line for its lock while another holds it. By
    /// default it does not wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.options.wait = wait;
        self
    }

    /// Gives each lock a fencing number, which the handler passes on to what it writes to:
    /// [`Acquire::fenced`](crate::Acquire::fenced) says what it is for. It is in the request's
    /// extensions:
    ///
    /// ```
    /// # use redlock_quorum::Held;
    /// fn number(request: &http::Request<()>) -> Option<u64> {
    ///     request.extensions().get::<Held>()?.fencing_number()
    /// }
    /// ```
    pub fn fenced(mut self) -> Self {
        self.options.fenced = true;
        self
    }

    /// Sets how many requests may wait at once, for all locks together; more are
    /// answered 429.
    pub fn max_queued(mut self, most: usize) -> Self {
        self.options.max_queued = most;
        self
    }

    /// Takes a lock for requests of these methods only.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.options.methods = Methods::These(methods.into_iter().collect());
        self
    }

    /// Takes a lock for requests of all methods.
    pub fn all_methods(mut self) -> Self {
        self.options.methods = Methods::All;
        self
    }

    /// Sets the status for a request whose lock is held by another: 409 by default; 423
    /// is also common.
    pub fn busy_status(mut self, status: StatusCode) -> Self {
        self.options.busy_status = status;
        self
    }

    /// Makes the whole response to a refused request, in place of
    /// [`Rejection::to_response`]. gRPC, for example, says in headers what failed:
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, tower::{LockLayer, Reason, Rejection}};
    /// # fn layer(redlock: Redlock) {
    /// # let key = |_: &http::Request<()>| Some("k");
    /// LockLayer::new(redlock, key).on_reject(|rejection: &Rejection| {
    ///     // ABORTED: try the whole operation again. UNAVAILABLE: try again later.
    ///     let code = if rejection.reason() == Reason::Busy { "10" } else { "14" };
    ///     let response = http::Response::builder()
    ///         .header("content-type", "application/grpc")
    ///         .header("grpc-status", code);
    ///     response.body(Default::default()).unwrap_or_default()
    /// });
    /// # }
    /// ```
    pub fn on_reject(
        mut self,
        respond: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.options.on_reject = Arc::new(respond);
        self
    }

    /// Sets what becomes of a request whose lock is lost.
    pub fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.options.on_loss = on_loss;
        self
    }

    /// Sets how long the lock of a request is held.
    pub fn hold(mut self, hold: Hold) -> Self {
        self.options.hold = hold;
        self
    }
}

impl<F> Clone for LockLayer<F> {
    fn clone(&self) -> Self {
        Self { options: self.options.clone(), key: Arc::clone(&self.key) }
    }
}

impl<S, F> Layer<S> for LockLayer<F> {
    type Service = LockService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        LockService::new(inner, Arc::new(self.options.clone()), Arc::clone(&self.key))
    }
}

impl<F> fmt::Debug for LockLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt_as("LockLayer", f)
    }
}

impl Options {
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .field("fenced", &self.fenced)
            .field("max_queued", &self.max_queued)
            .field("busy_status", &self.busy_status)
            .field("on_loss", &self.on_loss)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}
