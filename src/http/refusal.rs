//! Why a request was not done, before it takes the form that its path answers
//! in: see [`legacy`](super::legacy) and [`problem`](super::problem).
//!
//! Contention and trouble never look alike: anything that the nodes could not decide
//! is [`Refusal::Unavailable`].

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderValue, Method, StatusCode};

use crate::{Error, ErrorKind, NodeReport};

/// Why a request was not done.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// Another holds the lock, even after the wait.
    Held(Error),
    /// There was no quorum, for whatever reason.
    Unavailable(Error),
    /// The service ends.
    Closing,
    /// Too many requests wait already.
    TooMany(Cow<'static, str>),
    /// Too many viewers look at the page already.
    TooManyViewers,
    /// The lock is not the caller's, or is gone.
    NotYours,
    TokenRequired,
    Unauthorized,
    CrossSite,
    NotFound,
    MethodNotAllowed(Method),
    /// The request can't be understood or done.
    Invalid(StatusCode, Cow<'static, str>),
}

impl Refusal {
    /// A request that can't be read.
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(StatusCode::BAD_REQUEST, message.into())
    }

    /// A request that can be read, but asks for something impossible.
    pub(super) fn unprocessable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(StatusCode::UNPROCESSABLE_ENTITY, message.into())
    }

    /// The refusal for an error of the library.
    pub(super) fn of(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Contended | ErrorKind::Timeout => Self::Held(error),
            ErrorKind::InvalidConfig => Self::unprocessable(error.to_string()),
            ErrorKind::Busy => Self::TooMany(error.to_string().into()),
            ErrorKind::Lost => Self::NotYours,
            // Nobody is known to hold the lock.
            _ => Self::Unavailable(error),
        }
    }

    /// The status by the rules of HTTP.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Held(_) | Self::NotYours => StatusCode::CONFLICT,
            Self::Unavailable(_) | Self::Closing | Self::TooManyViewers => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TokenRequired => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid(status, _) => *status,
        }
    }

    /// What the holder calls itself that is in the way.
    pub(super) fn owner(&self) -> Option<&str> {
        if let Self::Held(error) = self { error.owner() } else { None }
    }

    /// What went wrong, and what to change.
    pub(super) fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::Held(error) | Self::Unavailable(error) => error.to_string().into(),
            Self::Closing => "this instance is shutting down: ask another".into(),
            Self::TooManyViewers => {
                "as many as may read the page's events at once do so: close one".into()
            }
            Self::NotYours => "the lock is not held with this token: it has ended, was released, \
                               or the token is another lock's"
                .into(),
            Self::TokenRequired => {
                "send the token that the lock was taken with, as `Lock-Token`".into()
            }
            Self::Unauthorized => {
                "send the service's bearer token, as `Authorization: Bearer ...`".into()
            }
            Self::CrossSite => "this comes from a web page of another site, or of one under a \
                                name other than localhost while no bearer token is wanted: \
                                ask without a browser, or give the service a bearer token"
                .into(),
            Self::NotFound => "there is nothing here: see /openapi.json. A key is one segment \
                               of the path, with its slashes written as %2F"
                .into(),
            Self::MethodNotAllowed(method) => {
                format!("{method} is not possible here: see the header Allow").into()
            }
            Self::TooMany(message) | Self::Invalid(_, message) => Cow::Borrowed(message),
        }
    }

    /// What each node said, if nodes were asked.
    pub(super) fn nodes(&self) -> &[NodeReport] {
        match self {
            Self::Held(error) | Self::Unavailable(error) => error.nodes(),
            _ => &[],
        }
    }

    /// After how long another try may succeed, if that is known.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Held(error) => error.retry_after(),
            _ => None,
        }
    }

    /// The header `Retry-After`, for refusals that time may cure: whole seconds, and
    /// at least one, since zero would mean "at once". None for a key that never expires, or lives
    /// beyond `max_ttl`.
    pub(super) fn retry_after_header(&self) -> Option<HeaderValue> {
        match self {
            Self::Held(error) if error.has_no_end() => None,
            Self::Held(_)
            | Self::Unavailable(_)
            | Self::Closing
            | Self::TooMany(_)
            | Self::TooManyViewers => {
                let after = self.retry_after().unwrap_or_default();
                let up = u64::from(after.subsec_nanos() > 0);
                Some(after.as_secs().saturating_add(up).max(1).into())
            }
            _ => None,
        }
    }
}
