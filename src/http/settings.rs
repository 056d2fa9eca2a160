//! The settings of the service, which its operator decides. A bearer token is never
//! shown.

use std::{error, fmt, time::Duration};

use crate::spelled::Exact;

/// How long a lock is held if the caller does not say: the same as in the services
/// that this one replaces.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The longest ttl by default: the library's own.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// The longest wait by default: proxies on the way usually wait that long for an
/// answer.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How many requests may wait for a lock at once by default. Each has a connection,
/// and a process may have 1024 of those by default on Linux.
const MAX_WAITERS: usize = 512;

/// The shortest ttl: the library's own.
pub(super) const MIN_TTL: Duration = Duration::from_millis(10);

/// The longest bearer token: real ones are shorter, and a longer one is a file that
/// was given by mistake.
pub(super) const MAX_BEARER_BYTES: usize = 512;

/// The settings of a [`Service`](super::Service).
///
/// | setting | default |
/// |---|---|
/// | [`ttl`](Self::ttl) | 30 s |
/// | [`max_ttl`](Self::max_ttl) | 1 h |
/// | [`max_wait`](Self::max_wait) | 60 s |
/// | [`max_waiters`](Self::max_waiters) | 512 |
/// | [`bearer_token`](Self::bearer_token) | none: anyone who reaches the service may use it |
/// | [`allow_tokenless_unlock`](Self::allow_tokenless_unlock) | no |
///
/// # Examples
///
/// ```
/// use redlock_quorum::http::Settings;
/// use std::time::Duration;
///
/// let settings = Settings::new()
///     .ttl(Duration::from_secs(10))
///     .max_wait(Duration::from_secs(5))
///     .bearer_token("a-secret-of-this-service");
/// # drop(settings);
/// ```
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

    /// Sets how long a lock is held if the request does not say.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the longest ttl that a request may ask for. The client's own maximum
    /// ([`Builder::max_ttl`](crate::Builder::max_ttl)) should be no less.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// Sets the longest time that a request may ask to wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets how many requests may wait for a lock at once, in this instance. More are
    /// refused with 429.
    pub fn max_waiters(mut self, most: usize) -> Self {
        self.max_waiters = most;
        self
    }

    /// Sets the token that callers must send as `Authorization: Bearer …`.
    pub fn bearer_token(mut self, token: impl Into<String>) -> Self {
        self.bearer_token = Some(token.into());
        self
    }

    /// Lets `POST /unlock` without a token release the lock that this instance handed
    /// out last for that key. This is unsafe: anyone can then unlock anything.
    pub fn allow_tokenless_unlock(mut self) -> Self {
        self.tokenless_unlock = true;
        self
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let Self { ttl, max_ttl, bearer_token, .. } = self;
        if *max_ttl < MIN_TTL {
            let (max_ttl, least) = (Exact(*max_ttl), Exact(MIN_TTL));
            let message = format!("max_ttl is {max_ttl}: it must be at least {least}");
            return Err(SettingsError(message));
        }
        if !(MIN_TTL..=*max_ttl).contains(ttl) {
            let (ttl, least, most) = (Exact(*ttl), Exact(MIN_TTL), Exact(*max_ttl));
            let message =
                format!("the ttl is {ttl}: it must be from {least} to the max_ttl of {most}");
            return Err(SettingsError(message));
        }
        let Some(token) = bearer_token else { return Ok(()) };
        // A header carries these as they are; others are likely mistakes of quoting.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "the bearer token must be visible ASCII characters without spaces";
            return Err(SettingsError(message.into()));
        }
        if !(1..=MAX_BEARER_BYTES).contains(&token.len()) {
            let message = format!(
                "the bearer token has {} characters: it must have from 1 to {MAX_BEARER_BYTES}",
                token.len()
            );
            return Err(SettingsError(message));
        }
        Ok(())
    }
}

/// Settings that can't work. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for SettingsError {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_with_what_to_change() {
        let ms = Duration::from_millis;
        let new = Settings::new;
        for (settings, word) in [
            (new().ttl(ms(9)), "from 10ms"),
            (new().max_ttl(ms(20_000)), "max_ttl of 20s"),
            (new().max_ttl(ms(9)), "at least 10ms"),
            (new().bearer_token(""), "from 1 to 512"),
            (new().bearer_token("x".repeat(513)), "from 1 to 512"),
            (new().bearer_token("s3cret\n"), "visible ASCII"),
        ] {
            let message = settings.check().unwrap_err().to_string();
            assert!(message.contains(word) && !message.contains("s3cret"), "{message}");
        }
        for settings in [new(), new().bearer_token("x".repeat(512)), new().ttl(MAX_TTL)] {
            assert_eq!(settings.check(), Ok(()));
        }
    }

    #[test]
    fn the_bearer_token_is_not_shown() {
        assert!(!format!("{:?}", Settings::new().bearer_token("s3cret")).contains("s3cret"));
    }
}
