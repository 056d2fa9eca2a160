//! Why a call failed, in words that say what to do next.
//!
//! One opaque [`Error`] serves every call: callers branch on [`Error::kind`], look
//! at what each node said in [`Error::nodes`], and print the rest. No text here
//! ever holds a token, a password or a URL.

use std::{error, fmt, sync::Arc, time::Duration};

use crate::{node_error::NodeError, spelled::Spelled};

/// Why a call of this library failed.
///
/// [`Error::kind`] says what to do next, [`Error::nodes`] what each node said.
/// `Display` says both in words; `Debug` puts the kind before them, so that a
/// `main` that returns this error ends with something to read.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    /// What is in the way is known never to go by itself, or later than any lock.
    has_no_end: bool,
    owner: Option<Box<str>>,
    nodes: Vec<NodeReport>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// The kinds of [`Error`]: one for each thing that a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another holds the lock, or several clients asked for it at once and none
    /// won. Do something else, or try again after [`Error::retry_after`].
    #[doc(alias("ResourceLockedError", "ErrTaken"))]
    Contended,
    /// Too few nodes gave an answer that counts; [`Error::nodes`] says which
    /// failed and why. This does not say that anyone holds the lock. Try again
    /// later; alert someone if it lasts.
    #[doc(alias = "ExecutionError")]
    NoQuorum,
    /// The time was over, or too short: the nodes granted so late that no validity
    /// was left, the parts to adopt were out of date, or [`LockGuard::ensure`]
    /// asked for more time than is left. Use a longer ttl, or find out what is slow.
    /// An acquire that fails like this holds nothing.
    ///
    /// [`LockGuard::ensure`]: crate::LockGuard::ensure
    Expired,
    /// The lock is no longer ours: its deadline has passed, or its key is gone or
    /// has another's value. Stop the work that it protects; nothing makes its guard
    /// held again.
    #[doc(alias("LockNotOwnedError", "ErrExtendFailed"))]
    Lost,
    /// The time that the call was given is over: the wait for a lock that another
    /// held, or the wait of a shutdown. Wait longer, or give up.
    Timeout,
    /// An argument can't work; nothing was sent. The text says what to change.
    InvalidConfig,
    /// Too many requests of this client, or too many of its tasks for this lock, are
    /// waiting already. Slow down, or spread the load over several clients.
    Busy,
    /// The client was shut down, or the runtime that its driver ran on has
    /// ended. Build a new client.
    Closed,
}

/// What one node said in a call that failed. `Display` puts it on one line.
#[derive(Clone, Debug)]
pub struct NodeReport {
    address: Arc<str>,
    answer: NodeAnswer,
}

/// One node's answer in a call that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeAnswer {
    /// The node did what was asked.
    Granted,
    /// The node said no: another's value is at the key; or it has seen a fencing number that is
    /// not below that of the call.
    Refused {
        /// How long the key there still lives, if that is known.
        remaining: Option<Duration>,
    },
    /// The node was to extend a lock, and its key is gone there: it expired, was deleted, or
    /// has another's value by now.
    Gone,
    /// The node could not be asked, did not answer in time, or answered an error.
    Failed(NodeError),
    /// The node was only looked at, and does not have the key.
    Free,
    /// The node was only looked at, and has the key.
    Held {
        /// How long the key there still lives; [`Duration::MAX`] if it never expires.
        remaining: Duration,
    },
    /// The outcome was clear before the node answered.
    NotAwaited,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retry_after: None,
            has_no_end: false,
            owner: None,
            nodes: Vec::new(),
            source: None,
        }))
    }

    pub(crate) fn with_nodes(mut self, nodes: Vec<NodeReport>) -> Self {
        self.0.nodes = nodes;
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.0.retry_after = after;
        self
    }

    pub(crate) fn with_owner(mut self, owner: Option<&str>) -> Self {
        self.0.owner = owner.map(Box::from);
        self
    }

    /// What is in the way is known never to go by itself, or later than any lock.
    pub(crate) fn without_end(mut self) -> Self {
        self.0.has_no_end = true;
        self
    }

    #[cfg(any(feature = "http", feature = "tower"))]
    pub(crate) fn has_no_end(&self) -> bool {
        self.0.has_no_end
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Arc<dyn error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Somebody has called `shutdown`.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the lock client was shut down: build a new one")
    }

    /// The driver is gone, though a handle is left.
    pub(crate) fn no_driver() -> Self {
        Self::new(
            ErrorKind::Closed,
            "the lock client's driver has ended, with the runtime that it ran on: build a new \
             client, and give its driver a thread of its own if locks outlive the runtime",
        )
    }

    /// Returns what went wrong, by what to do about it.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// let Err(error) = redlock.try_lock("job").await else { return Ok(()) };
    /// match error.kind() {
    ///     ErrorKind::Contended | ErrorKind::Timeout => println!("another has it"),
    ///     ErrorKind::NoQuorum | ErrorKind::Busy => println!("try again later: {error}"),
    ///     _ => return Err(error.into()),
    /// }
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what each node said, in the order of the configuration; nothing if
    /// no node was asked.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # for node in &cluster.nodes()[..2] { node.kill().await?; }
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let error = redlock.try_lock("job").await.unwrap_err(); // two of three nodes are down
    /// for report in error.nodes() {
    ///     eprintln!("{report}"); // a:6379: no connection: ..
    /// }
    /// assert_eq!(error.nodes().len(), 3);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn nodes(&self) -> &[NodeReport] {
        &self.0.nodes
    }

    /// Returns after how long another try may succeed. If a key is in the way, that is its
    /// remaining life, as a node told it; a release may free the lock sooner. If only the
    /// votes were split between several that asked, it is two round trips, from 8 to 80 ms:
    /// back off if that repeats. If values stay, on too few of the nodes that answer to be
    /// known as a holder's, it is a node timeout. `None` if what keeps everyone out never expires or lives longer than `max_ttl`, if no node
    /// told, and for every kind but `Contended` and `Timeout`.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").ttl(Duration::from_secs(10)).await?;
    ///
    /// let refused = redlock.try_lock("job").await.unwrap_err();
    /// let after = refused.retry_after().ok_or("no node told")?;
    /// assert!(after <= Duration::from_secs(10));
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns what the holder calls itself that is in the way ([`Acquire::owner`]), if there
    /// is one that does.
    ///
    /// [`Acquire::owner`]: crate::Acquire::owner
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        // Under contention most nodes refuse, so only failures are worth a word;
        // these kinds are about the nodes, so each is told.
        let told =
            matches!(self.0.kind, ErrorKind::NoQuorum | ErrorKind::Expired | ErrorKind::Lost);
        let mut separator = " (";
        for report in self.0.nodes.iter().filter(|r| told || r.error().is_some()) {
            write!(f, "{separator}{report}")?;
            separator = "; ";
        }
        if separator == "; " { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

/// This is not derived: a derived source would be the [`Arc`] around the cause, and
/// never a node's error.
impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Some(source) = &self.0.source {
            return Some(&**source);
        }
        self.0.nodes.iter().find_map(|report| report.error().map(|e| e as _))
    }
}

impl NodeReport {
    pub(crate) fn new(address: Arc<str>, answer: NodeAnswer) -> Self {
        Self { address, answer }
    }

    /// The same of an extension: what refused it does not have the lock's key.
    pub(crate) fn of_an_extension(self) -> Self {
        match self.answer {
            NodeAnswer::Refused { .. } => Self { answer: NodeAnswer::Gone, ..self },
            _ => self,
        }
    }

    /// Returns the node's address, as `host:port` or a socket's path.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns what the node said.
    ///
    /// ```
    /// # use redlock_quorum::{NodeAnswer, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # for node in &cluster.nodes()[..2] { node.kill().await?; }
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let error = redlock.try_lock("job").await.unwrap_err(); // two of three nodes are down
    /// for report in error.nodes() {
    ///     if let NodeAnswer::Failed(why) = report.answer() {
    ///         eprintln!("{}: {why}", report.address());
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn answer(&self) -> &NodeAnswer {
        &self.answer
    }

    /// Returns why the node failed, if its answer is [`NodeAnswer::Failed`].
    ///
    /// ```
    /// # use redlock_quorum::{NodeReport, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # for node in &cluster.nodes()[..2] { node.kill().await?; }
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let error = redlock.try_lock("job").await.unwrap_err(); // two of three nodes are down
    /// let failed = error.nodes().iter().filter_map(NodeReport::error);
    /// assert_eq!(failed.count(), 2);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&NodeError> {
        match &self.answer {
            NodeAnswer::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for NodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.address)?;
        match &self.answer {
            NodeAnswer::Granted => f.write_str("granted"),
            NodeAnswer::Refused { remaining: None } => f.write_str("refused"),
            NodeAnswer::Refused { remaining: Some(left) } => {
                write!(f, "refused, {} left", Spelled(*left))
            }
            NodeAnswer::Gone => f.write_str("gone"),
            NodeAnswer::Failed(error) => fmt::Display::fmt(error, f),
            NodeAnswer::Free => f.write_str("free"),
            NodeAnswer::Held { remaining: Duration::MAX } => f.write_str("held, never expires"),
            NodeAnswer::Held { remaining } => write!(f, "held, {} left", Spelled(*remaining)),
            NodeAnswer::NotAwaited => f.write_str("not awaited"),
        }
    }
}
