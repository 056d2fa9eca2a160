//! What an operator decides of the service.

use std::{fmt, time::Duration};

/// How long a lock is held where the caller does not say, as in the services
/// that this one replaces.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The longest ttl unless told otherwise: the library's own.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// The longest wait unless told otherwise: what proxies on the way wait for an
/// answer, as a rule.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How many requests may wait for a lock at once unless told otherwise. Each
/// has a connection, and of those a process has 1024 by default on Linux.
const MAX_WAITERS: usize = 512;

/// The settings of a [`Service`](super::Service).
///
/// | setting | default |
/// |---|---|
/// | [`ttl`](Self::ttl) | 30 s |
/// | [`max_ttl`](Self::max_ttl) | 1 h |
/// | [`max_wait`](Self::max_wait) | 60 s |
/// | [`max_waiters`](Self::max_waiters) | 512 |
/// | [`bearer_token`](Self::bearer_token) | none: whoever reaches it may use it |
/// | [`allow_tokenless_unlock`](Self::allow_tokenless_unlock) | no |
#[derive(Clone)]
#[must_use = "settings do nothing by themselves"]
pub struct Settings {
    pub(super) ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) max_wait: Duration,
    pub(super) max_waiters: usize,
    pub(super) bearer_token: Option<String>,
    pub(super) tokenless_unlock: bool,
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            ttl: DEFAULT_TTL,
            max_ttl: MAX_TTL,
            max_wait: MAX_WAIT,
            max_waiters: MAX_WAITERS,
            bearer_token: None,
            tokenless_unlock: false,
        }
    }

    /// How long a lock is held where the request does not say.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The longest ttl that a request may ask for. The client's own maximum
    /// ([`Builder::max_ttl`](crate::Builder::max_ttl)) should be no less.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// The longest time that a request may ask to wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How many requests may wait for a lock at once, in this instance. More
    /// are refused with 429.
    pub fn max_waiters(mut self, most: usize) -> Self {
        self.max_waiters = most;
        self
    }

    /// What callers must send as `Authorization: Bearer …`.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.bearer_token = Some(token.into());
        self
    }

    /// Lets `POST /unlock` without a token release what this instance handed
    /// out last for that key. Unsafe: anyone can then unlock anything.
    pub fn allow_tokenless_unlock(mut self) -> Self {
        self.tokenless_unlock = true;
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("ttl", &self.ttl)
            .field("max_ttl", &self.max_ttl)
            .field("max_wait", &self.max_wait)
            .field("max_waiters", &self.max_waiters)
            .field("bearer_token", &self.bearer_token.as_ref().map(|_| "<redacted>"))
            .field("allow_tokenless_unlock", &self.tokenless_unlock)
            .finish()
    }
}
