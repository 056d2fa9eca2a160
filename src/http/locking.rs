//! The work behind the endpoints of either form: it acquires, releases and extends by
//! the library's public calls, and counts what came of that.
//!
//! A lock outlives the request that acquired it; its token is all that a client
//! needs. Until it is handed out, dropping the request releases it.

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
    /// Its fencing number, if it was asked for one.
    pub(super) fence: Option<u64>,
}

/// Takes the lock `key` as `fields` ask for it.
pub(super) async fn acquire(state: &State, key: &[u8], fields: &Fields) -> Result<Lease, Refusal> {
    let settings = &state.settings;
    let (ttl, wait) = (fields.ttl(settings)?, fields.wait(settings)?);
    let owner = fields.owner();
    let acquiring = state.metrics.acquiring();
    let acquire = state.redlock.lock(key).ttl(ttl).wait(wait);
    let acquire = if fields.fenced == Some(true) { acquire.fenced() } else { acquire };
    let acquire = if let Some(owner) = owner { acquire.owner(owner) } else { acquire };
    let answer = if wait.is_zero() {
        acquire.await.map_err(Refusal::of)
    } else {
        waiting(state, acquire).await
    };
    acquiring.ended(outcome(&answer));
    answer.map(|guard| hand_out(state, guard, owner))
}

/// How an acquire is counted. A request whose key is not valid is not counted.
fn outcome(answer: &Result<LockGuard, Refusal>) -> Option<Acquired> {
    Some(match answer {
        Ok(_) => Acquired::Granted,
        Err(Refusal::Held(error)) if error.kind() == ErrorKind::Timeout => Acquired::TimedOut,
        Err(Refusal::Held(_)) => Acquired::Busy,
        Err(Refusal::TooMany(_)) => Acquired::TooMany,
        Err(Refusal::Closing) => Acquired::Cancelled,
        Err(Refusal::Unavailable(_)) => Acquired::NoQuorum,
        Err(_) => return None,
    })
}

/// Waits for a lock until the service ends, if not too many wait already.
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

/// Makes the lock the client's: from here on, nothing here releases it.
fn hand_out(state: &State, guard: LockGuard, owner: Option<&str>) -> Lease {
    let (validity, votes) = (guard.remaining(), guard.votes());
    let LockParts { key, token, fencing_number: fence, .. } = guard.into_parts();
    tracing::debug!(key = %key.escape_ascii(), owner, ?validity, fence, "handed out");
    state.handed.note(key, token.clone(), validity, owner, fence);
    Lease { token, validity, votes, fence }
}

/// Releases the lock, if `token` is its token. The library goes on trying on nodes
/// that do not answer until the lock has ended, as far as this instance knows, and at
/// least for as long as a lock is held by default. `fence` is its fencing number, if the caller
/// says it.
pub(super) async fn release(
    state: &State,
    key: Vec<u8>,
    token: Token,
    fence: Option<u64>,
) -> Result<(), Refusal> {
    // Another instance may have extended the lock, or handed it out.
    let left = state.handed.left(&key, &token).unwrap_or_default().max(state.settings.ttl);
    let valid_until = after(clock::wall(), left);
    let releasing = state.metrics.releasing();
    let fencing_number = known_fence(state, &key, &token, fence)?;
    let (key_of_it, token_of_it) = (key.clone(), token.clone());
    let parts = LockParts { key: key_of_it, token: token_of_it, valid_until, fencing_number };
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

/// Extends the lock to `ttl` from now, if `token` is its token. Whatever becomes of
/// this request, the lock is not released.
pub(super) async fn extend(
    state: &State,
    key: &[u8],
    token: Token,
    fence: Option<u64>,
    ttl: Duration,
) -> Result<Lease, Refusal> {
    let extending = state.metrics.extending();
    let resumed = match known_fence(state, key, &token, fence)? {
        Some(fence) => state.redlock.resume_fenced(key, token, fence, ttl).await,
        None => state.redlock.resume(key, token, ttl).await,
    };
    let (outcome, answer) = match resumed {
        Ok(guard) => (Some(Done::Ok), Ok(extended(state, guard))),
        // Unless it is lost, the lock is held for as long as before.
        Err(error) => failed(error),
    };
    extending.ended(outcome);
    answer
}

/// How far a fencing number may be ahead of the clock here: as far as nodes let one be.
const PLAUSIBLE: Duration = Duration::from_secs(3_600);

/// The fencing number of a lock, as the caller says it, or as it was handed out here. A caller can't
/// have nodes remember a number that no clock gives for long.
fn known_fence(
    state: &State,
    key: &[u8],
    token: &Token,
    said: Option<u64>,
) -> Result<Option<u64>, Refusal> {
    let known = state.handed.fence(key, token);
    let Some(said) = said else { return Ok(known) };
    if known.is_some_and(|known| known != said) {
        return Err(Refusal::malformed("the fence is another than that of this lock"));
    }
    let latest = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if known.is_none() && Duration::from_micros(said) > latest.saturating_add(PLAUSIBLE) {
        let message = "the fence is over an hour ahead of the clock here: leave it out";
        return Err(Refusal::unprocessable(message));
    }
    Ok(Some(said))
}

/// How a failed release or extension is counted and answered. One with a key that is
/// not valid, or that was never begun, is not counted.
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
    let LockParts { key, token, fencing_number: fence, .. } = guard.into_parts();
    state.handed.prolong(&key, &token, validity);
    Lease { token, validity, votes, fence }
}

fn after(now: SystemTime, span: Duration) -> SystemTime {
    now.checked_add(span).unwrap_or(now)
}
