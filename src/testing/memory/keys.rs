//! The keys of an in-memory node, with their values and their ends. A key is never seen
//! after its end; as on a server, the first look after that deletes it.

use std::{collections::HashMap, time::Duration};

use super::command::{Lifetime, Refusal};

const MOST: usize = 100_000;

/// All keys. The times are those of the [`Store`](super::store::Store).
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    entries: HashMap<Vec<u8>, Entry>,
    /// Whether there is no memory left for a value.
    pub(super) full: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Duration>,
}

impl Keys {
    /// Sets a key, for ever without a lifetime.
    pub(super) fn set(
        &mut self,
        now: Duration,
        key: &[u8],
        value: &[u8],
        lifetime: Option<Lifetime>,
    ) -> Result<(), Refusal> {
        if self.full || !self.has_room(now, key) {
            let text = "OOM command not allowed when used memory > 'maxmemory'.";
            return Err(Refusal(text.to_owned()));
        }
        let expires = lifetime.and_then(|lifetime| lifetime.after(now));
        self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), expires });
        Ok(())
    }

    fn has_room(&mut self, now: Duration, key: &[u8]) -> bool {
        if self.entries.len() < MOST || self.has(now, key) {
            return true;
        }
        self.sweep(now).len() < MOST
    }

    pub(super) fn get(&mut self, now: Duration, key: &[u8]) -> Option<&[u8]> {
        self.live(now, key).map(|entry| &*entry.value)
    }

    pub(super) fn has(&mut self, now: Duration, key: &[u8]) -> bool {
        self.live(now, key).is_some()
    }

    /// Removes a key, and says whether it was there.
    pub(super) fn remove(&mut self, now: Duration, key: &[u8]) -> bool {
        self.entries.remove(key).is_some_and(|entry| !entry.is_over(now))
    }

    /// How long a key still lives, in the numbers that `PTTL` answers.
    pub(super) fn pttl(&mut self, now: Duration, key: &[u8]) -> i64 {
        match self.live(now, key) {
            None => -2,
            Some(Entry { expires: None, .. }) => -1,
            Some(Entry { expires: Some(at), .. }) => millis(at.saturating_sub(now)),
        }
    }

    /// Sets how long a key still lives, and says whether it was there.
    pub(super) fn pexpire(&mut self, now: Duration, key: &[u8], lifetime: Lifetime) -> bool {
        let Some(entry) = self.live(now, key) else {
            return false;
        };
        match lifetime.after(now) {
            Some(at) => entry.expires = Some(at),
            None => drop(self.entries.remove(key)),
        }
        true
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Deletes all keys that have ended, and gives the others.
    pub(super) fn sweep(&mut self, now: Duration) -> impl ExactSizeIterator<Item = &Vec<u8>> {
        self.entries.retain(|_, entry| !entry.is_over(now));
        self.entries.keys()
    }

    /// The value at `key`, without a look that would delete it.
    #[cfg(redlock_sim)]
    pub(super) fn peek(&self, now: Duration, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).filter(|entry| !entry.is_over(now)).map(|entry| &*entry.value)
    }

    /// All keys that live, with their values.
    #[cfg(redlock_sim)]
    pub(super) fn living(&self, now: Duration) -> impl Iterator<Item = (&[u8], &[u8])> {
        let living = self.entries.iter().filter(move |(_, entry)| !entry.is_over(now));
        living.map(|(key, entry)| (&**key, &*entry.value))
    }

    fn live(&mut self, now: Duration, key: &[u8]) -> Option<&mut Entry> {
        if self.entries.get(key).is_some_and(|entry| entry.is_over(now)) {
            self.entries.remove(key);
        }
        self.entries.get_mut(key)
    }
}

impl Entry {
    fn is_over(&self, now: Duration) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
