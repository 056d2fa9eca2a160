//! Why a request was not let through, and the response to it. The response never names
//! the key or the nodes.

use std::time::Duration;

use ::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;

use crate::{Error, ErrorKind};

/// When to try again if nothing better is known: the shortest time that the header can
/// say and that is not "at once".
const SOON: Duration = Duration::from_secs(1);

/// Why a request was not let through.
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: Reason,
    status: StatusCode,
    retry_after: Option<Duration>,
    error: Option<Error>,
}

/// Why a request was not let through, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Another request holds the lock, and went on holding it for as long as this one
    /// may wait. The status is 409, or what
    /// [`busy_status`](super::LockLayer::busy_status) says.
    Busy,
    /// Too many requests wait already. The status is 429.
    TooManyQueued,
    /// Too few nodes could be asked, which is no sign that anyone holds the lock. The
    /// status is 503.
    Unavailable,
    /// The lock can't be asked for: the key is empty or over 1024 bytes, or the
    /// layer's ttl is out of bounds. The status is 400.
    Invalid,
    /// The lock was lost while the request was handled: the handler was dropped, or
    /// was done only when the lock had already ended. How far it got is not known.
    /// The status is 503.
    Lost,
}

impl Rejection {
    pub(super) fn of(error: Error, busy: StatusCode) -> Self {
        let (reason, status) = match error.kind() {
            ErrorKind::Contended | ErrorKind::Timeout => (Reason::Busy, busy),
            ErrorKind::Busy => (Reason::TooManyQueued, StatusCode::TOO_MANY_REQUESTS),
            ErrorKind::InvalidConfig => (Reason::Invalid, StatusCode::BAD_REQUEST),
            _ => (Reason::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        };
        let is_cured_by_time = reason != Reason::Invalid && !error.has_no_end();
        let retry_after = is_cured_by_time.then(|| error.retry_after().unwrap_or(SOON));
        Self { reason, status, retry_after, error: Some(error) }
    }

    pub(super) fn too_many_queued() -> Self {
        let (reason, status) = (Reason::TooManyQueued, StatusCode::TOO_MANY_REQUESTS);
        Self { reason, status, retry_after: Some(SOON), error: None }
    }

    /// A lock that was lost. There is no time to try again: a client that sends the
    /// request again must know that it may be handled twice.
    pub(super) fn lost() -> Self {
        let (reason, status) = (Reason::Lost, StatusCode::SERVICE_UNAVAILABLE);
        Self { reason, status, retry_after: None, error: None }
    }

    /// The reason, in a word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The status that [`Self::to_response`] answers.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// How long to wait before it may help to try again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The library's error, with what each node said, if the library was asked. Its
    /// text names the key.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The response to the refused request, unless
    /// [`on_reject`](super::LockLayer::on_reject) makes another: the status,
    /// `Retry-After` in whole seconds, and a line of text that names neither the key
    /// nor the nodes.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let text: &'static str = match self.reason {
            Reason::Busy => "another request is being handled for this resource, try again later\n",
            Reason::TooManyQueued => "too many requests are waiting, try again later\n",
            Reason::Unavailable => "the lock service is unavailable, try again later\n",
            Reason::Invalid => "this request names nothing that can be locked\n",
            Reason::Lost => "the lock was lost while the request was handled, see how far it got\n",
        };
        let mut response = Response::new(Bytes::from_static(text.as_bytes()));
        *response.status_mut() = self.status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        if let Some(after) = self.retry_after {
            // Rounded up, since trying again before that time would not help.
            let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}
