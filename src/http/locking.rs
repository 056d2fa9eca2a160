//! What the endpoints do, in whatever form they are asked: acquire, release,
//! extend, by the library's public calls, and the counting of it.
//!
//! A lock that a client got is kept when its request is over; the token is all
//! that it needs. Until it got it, dropping the request lets go of the lock.

use std::time::{Duration, SystemTime};

use super::{
    clock,
    fields::Fields,
    metrics::{Acquired, Done},
    refusal::Refusal,
    service::State,
};
use crate::{Acquire, Error, ErrorKind, LockGuard, LockParts, Released, Token, Votes};

/// A lock that was taken or extended.
pub(super) struct Lease {
    pub(super) token: Token,
    pub(super) validity: Duration,
    pub(super) votes: Votes,
}

/// Takes the lock `key` as `fields` ask for it.
pub(super) async fn acquire(state: &State, key: &[u8], fields: &Fields) -> Result<Lease, Refusal> {
    let settings = &state.settings;
    let (ttl, wait) = (fields.ttl(settings)?, fields.wait(settings)?);
    let owner = fields.owner()?;
    let acquiring = state.metrics.acquiring();
    let acquire = state.redlock.lock(key).ttl(ttl).wait(wait);
    let answer = if wait.is_zero() {
        acquire.await.map_err(Refusal::of)
    } else {
        waiting(state, acquire).await
    };
    acquiring.ended(outcome(&answer));
    answer.map(|guard| hand_out(state, guard, owner))
}

/// What an acquire is counted as. A key that can't be one is no acquire.
fn outcome(answer: &Result<LockGuard, Refusal>) -> Option<Acquired> {
    Some(match answer {
        Ok(_) => Acquired::Had,
        Err(Refusal::Held(error)) if error.kind() == ErrorKind::Timeout => Acquired::TimedOut,
        Err(Refusal::Held(_)) => Acquired::Busy,
        Err(Refusal::TooMany(_)) => Acquired::TooMany,
        Err(Refusal::Closing) => Acquired::Cancelled,
        Err(Refusal::Unavailable(_)) => Acquired::NoQuorum,
        Err(_) => return None,
    })
}

/// Waits for a lock while there is a place for it and the service goes on.
async fn waiting(state: &State, acquire: Acquire) -> Result<LockGuard, Refusal> {
    let most = state.settings.max_waiters;
    let Some(_permit) = state.metrics.wait(most) else {
        let message = "too many requests wait for locks here: try again later, or elsewhere";
        return Err(Refusal::TooMany(message.into()));
    };
    tokio::select! {
        biased;
        answer = acquire => answer.map_err(Refusal::of),
        () = state.closing.cancelled() => Err(Refusal::Closing),
    }
}

/// From here on the lock is the client's.
fn hand_out(state: &State, guard: LockGuard, owner: Option<&str>) -> Lease {
    let (validity, votes) = (guard.remaining(), guard.votes());
    let LockParts { key, token, .. } = guard.into_parts();
    tracing::debug!(key = %key.escape_ascii(), owner, ?validity, "handed out");
    state.handed.note(key, token.clone(), validity, owner);
    Lease { token, validity, votes }
}

/// Releases the lock, if `token` is its token. On nodes that do not answer the
/// library goes on trying until the lock has ended, as far as this instance knows,
/// and at least for as long as a lock is held by default.
pub(super) async fn release(state: &State, key: Vec<u8>, token: Token) -> Result<(), Refusal> {
    // Another instance may have extended it, or handed it out.
    let left = state.handed.left(&key, &token).unwrap_or_default().max(state.settings.ttl);
    let valid_until = after(clock::wall(), left);
    let releasing = state.metrics.releasing();
    let parts = LockParts { key: key.clone(), token: token.clone(), valid_until };
    let released = state.redlock.release(parts).await;
    if released.is_ok() {
        state.handed.forget(&key, &token);
    }
    let (outcome, answer) = match released {
        Ok(Released::Released) => (Some(Done::Ok), Ok(())),
        Ok(Released::AlreadyExpired) => (Some(Done::Lost), Err(Refusal::NotYours)),
        Err(error) => failed(error),
    };
    releasing.ended(outcome);
    answer
}

/// Holds the lock for `ttl` from now, if `token` is its token. Whatever becomes of
/// this request, it is not released.
pub(super) async fn extend(
    state: &State,
    key: &[u8],
    token: Token,
    ttl: Duration,
) -> Result<Lease, Refusal> {
    let extending = state.metrics.extending();
    let (outcome, answer) = match state.redlock.resume(key, token, ttl).await {
        Ok(guard) => (Some(Done::Ok), Ok(extended(state, guard))),
        // But for a loss, it is held for as long as before.
        Err(error) => failed(error),
    };
    extending.ended(outcome);
    answer
}

/// What a failed release or extension is counted as, and answered. What can't be
/// a key, or was never begun, is none.
fn failed<T>(error: Error) -> (Option<Done>, Result<T, Refusal>) {
    let refusal = Refusal::of(error);
    let outcome = match refusal {
        Refusal::NotYours => Some(Done::Lost),
        Refusal::Unavailable(_) => Some(Done::NoQuorum),
        _ => None,
    };
    (outcome, Err(refusal))
}

fn extended(state: &State, guard: LockGuard) -> Lease {
    let (validity, votes) = (guard.remaining(), guard.votes());
    let LockParts { key, token, .. } = guard.into_parts();
    state.handed.prolong(&key, &token, validity);
    Lease { token, validity, votes }
}

fn after(now: SystemTime, span: Duration) -> SystemTime {
    now.checked_add(span).unwrap_or(now)
}
