//! The locks that this instance has handed out: for its page, and for callers that
//! unlock without a token where that is allowed. No other instance knows of them, and
//! they never decide anything that must be right: the servers know who holds a lock.
//! A token leaves this module only for such an unlock.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::clock;
use crate::Token;

/// The most locks that are remembered, at a few hundred bytes each: locks that nobody
/// releases stay for their ttl, and must not fill the memory until then. Any further
/// lock is not on the page, and can't be unlocked without its token.
const MOST: usize = 65_536;

/// Ended locks are swept out each time that so many locks have been noted, or as many
/// as the last sweep has left, if that is more: then each note pays for one lock that
/// a sweep looks at.
const SWEEP_AFTER: usize = 1024;

/// The locks that were handed out and have neither ended nor been released here.
#[derive(Debug)]
pub(super) struct Handed {
    locks: Mutex<Locks>,
}

#[derive(Debug)]
struct Locks {
    by_key: HashMap<Vec<u8>, Lock>,
    until_sweep: usize,
}

#[derive(Debug)]
struct Lock {
    token: Token,
    owner: Option<Box<str>>,
    /// Its fencing number.
    fence: Option<u64>,
    until: Instant,
}

/// One lock, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) owner: Option<String>,
    pub(super) remaining: Duration,
}

impl Handed {
    pub(super) fn new() -> Self {
        let by_key = HashMap::new();
        Self { locks: Mutex::new(Locks { by_key, until_sweep: SWEEP_AFTER }) }
    }

    /// Notes a lock that is held for `remaining` from now. It replaces an earlier one
    /// of that key.
    pub(super) fn note(
        &self,
        key: Vec<u8>,
        token: Token,
        remaining: Duration,
        owner: Option<&str>,
        fence: Option<u64>,
    ) {
        let now = clock::now();
        let (owner, until) = (owner.map(Box::from), after(now, remaining));
        let lock = Lock { token, owner, fence, until };
        let mut locks = self.locks();
        locks.sweep(now);
        if locks.by_key.len() < MOST || locks.by_key.contains_key(&key) {
            locks.by_key.insert(key, lock);
        }
    }

    /// How long a lock is still held, if it was handed out here with that token.
    pub(super) fn left(&self, key: &[u8], token: &Token) -> Option<Duration> {
        let locks = self.locks();
        let lock = locks.by_key.get(key).filter(|lock| lock.token == *token)?;
        Some(lock.until.saturating_duration_since(clock::now()))
    }

    /// The fencing number of a lock, if it was handed out here with that token.
    pub(super) fn fence(&self, key: &[u8], token: &Token) -> Option<u64> {
        self.locks().by_key.get(key).filter(|lock| lock.token == *token)?.fence
    }

    /// Forgets a lock, if it was handed out here with that token, and says how long it
    /// would still have been held.
    pub(super) fn forget(&self, key: &[u8], token: &Token) -> Option<Duration> {
        let mut locks = self.locks();
        let lock = locks.by_key.get(key).filter(|lock| lock.token == *token)?;
        let until = lock.until;
        locks.by_key.remove(key);
        drop(locks);
        Some(until.saturating_duration_since(clock::now()))
    }

    /// Notes that a lock is held for `remaining` from now, if it was handed out here
    /// with that token.
    pub(super) fn prolong(&self, key: &[u8], token: &Token, remaining: Duration) {
        let until = after(clock::now(), remaining);
        if let Some(lock) = self.locks().by_key.get_mut(key).filter(|lock| lock.token == *token) {
            // An extension never makes a lock end sooner.
            lock.until = lock.until.max(until);
        }
    }

    /// The token that was handed out for `key`, if its time has not passed.
    pub(super) fn token(&self, key: &[u8]) -> Option<Token> {
        let now = clock::now();
        self.locks().by_key.get(key).filter(|lock| lock.until > now).map(|lock| lock.token.clone())
    }

    /// Up to `most` of the locks, those with the most time left first.
    pub(super) fn list(&self, most: usize) -> Vec<Entry> {
        let now = clock::now();
        let mut locks = self.locks();
        locks.drop_ended(now);
        let mut all: Vec<_> = locks.by_key.iter().collect();
        if most < all.len() {
            all.select_nth_unstable_by_key(most, |(_, lock)| Reverse(lock.until));
            all.truncate(most);
        }
        let entry = |(key, lock): (&Vec<u8>, &Lock)| Entry {
            key: key.clone(),
            owner: lock.owner.as_deref().map(str::to_owned),
            remaining: lock.until.saturating_duration_since(now),
        };
        let mut list: Vec<_> = all.into_iter().map(entry).collect();
        drop(locks);
        list.sort_unstable_by(|a, b| (b.remaining, &a.key).cmp(&(a.remaining, &b.key)));
        list
    }

    /// How many locks there are. Some that have just ended may be among them.
    pub(super) fn len(&self) -> usize {
        self.locks().by_key.len()
    }

    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Locks {
    fn sweep(&mut self, now: Instant) {
        self.until_sweep = self.until_sweep.saturating_sub(1);
        if self.until_sweep == 0 {
            self.drop_ended(now);
            self.until_sweep = self.by_key.len().max(SWEEP_AFTER);
        }
    }

    fn drop_ended(&mut self, now: Instant) {
        self.by_key.retain(|_, lock| lock.until > now);
    }
}

fn after(now: Instant, span: Duration) -> Instant {
    now.checked_add(span).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn token(name: &str) -> Token {
        Token::from_bytes(name).unwrap()
    }

    fn keys(handed: &Handed, most: usize) -> Vec<Vec<u8>> {
        handed.list(most).into_iter().map(|entry| entry.key).collect()
    }

    #[test]
    fn only_the_right_token_forgets_and_prolongs() {
        let handed = Handed::new();
        handed.note(b"job".to_vec(), token("a"), LONG, Some("me"), None);
        assert_eq!(handed.forget(b"job", &token("b")), None);
        handed.prolong(b"job", &token("b"), LONG * 3);
        assert!(handed.list(9)[0].remaining <= LONG);
        handed.prolong(b"job", &token("a"), LONG * 3);
        assert!(handed.list(9)[0].remaining > LONG);
        assert_eq!(handed.list(9)[0].owner.as_deref(), Some("me"));
        assert!(handed.forget(b"job", &token("a")).is_some_and(|left| left > LONG));
        assert_eq!(handed.len(), 0);
    }

    #[test]
    fn a_later_lock_takes_the_place_of_the_earlier() {
        let handed = Handed::new();
        handed.note(b"job".to_vec(), token("a"), LONG, None, None);
        handed.note(b"job".to_vec(), token("b"), LONG, None, None);
        assert_eq!(handed.token(b"job"), Some(token("b")));
        assert_eq!(handed.forget(b"job", &token("a")), None);
        assert_eq!(handed.len(), 1);
    }

    #[test]
    fn what_has_ended_is_neither_listed_nor_given() {
        let handed = Handed::new();
        handed.note(b"gone".to_vec(), token("a"), Duration::ZERO, None, None);
        assert_eq!(handed.token(b"gone"), None);
        assert_eq!(handed.list(9), []);
        assert_eq!(handed.len(), 0, "swept");
    }

    #[test]
    fn those_with_the_most_time_left_come_first() {
        let handed = Handed::new();
        for n in 1..=5u8 {
            handed.note(vec![n], token("a"), LONG * u32::from(n), None, None);
        }
        assert_eq!(keys(&handed, 2), [[5], [4]]);
        assert_eq!(keys(&handed, 9).len(), 5);
    }

    #[test]
    fn it_grows_no_further_than_its_bound_and_sweeps_by_itself() {
        let handed = Handed::new();
        for n in 0..MOST {
            handed.note(n.to_le_bytes().to_vec(), token("a"), Duration::ZERO, None, None);
        }
        assert!(handed.len() <= SWEEP_AFTER, "{}", handed.len());
        for n in 0..=MOST {
            handed.note(n.to_le_bytes().to_vec(), token("a"), LONG, None, None);
        }
        assert_eq!(handed.len(), MOST);
    }
}
