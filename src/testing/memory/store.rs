//! What an in-memory node knows: keys, expiries, and the lock's two scripts.
//! Pure: no I/O, no clock and no chance in here, so that a simulation can use
//! it as it is. It never answers for a command it does not carry out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::command::{self, Command, Lifetime, Refusal, Script};
use crate::testing::Reply;

const MAX_KEYS: usize = 100_000;

/// One node's data. Times are distances from any one moment, the same for all
/// calls; they must not go back.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    run_id: String,
    started: Duration,
    entries: HashMap<Vec<u8>, Entry>,
    scripts: HashSet<Script>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Duration>,
}

impl Store {
    /// An empty store, as after a server's start.
    pub(crate) fn new(now: Duration, run_id: String) -> Self {
        Self { run_id, started: now, entries: HashMap::new(), scripts: HashSet::new() }
    }

    /// Carries out one command at the time `now`.
    pub(crate) fn execute<S: AsRef<[u8]>>(&mut self, now: Duration, args: &[S]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        command::parse(&args)
            .and_then(|command| self.apply(now, command))
            .unwrap_or_else(|Refusal(text)| Reply::Error(text))
    }

    /// The value at `key`, if it lives.
    #[cfg(redlock_sim)]
    pub(crate) fn value(&self, now: Duration, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).filter(|entry| !entry.is_over(now)).map(|entry| &*entry.value)
    }

    /// Keys and values that live.
    #[cfg(redlock_sim)]
    pub(crate) fn living(&self, now: Duration) -> impl Iterator<Item = (&[u8], &[u8])> {
        let living = self.entries.iter().filter(move |(_, entry)| !entry.is_over(now));
        living.map(|(key, entry)| (&**key, &*entry.value))
    }

    fn apply(&mut self, now: Duration, command: Command<'_>) -> Result<Reply, Refusal> {
        Ok(match command {
            Command::Ping(None) => Reply::Status("PONG".to_owned()),
            Command::Ping(Some(text)) => Reply::Bulk(text.to_vec()),
            Command::Accepted => Reply::ok(),
            Command::Info => Reply::Bulk(self.info(now).into_bytes()),
            Command::Get(key) => {
                self.live(now, key).map_or(Reply::Nil, |entry| Reply::Bulk(entry.value.clone()))
            }
            Command::Set { key, value, only_new, lifetime } => {
                self.set(now, key, value, only_new, lifetime)?
            }
            Command::Del(keys) => self.count(keys, |store, key| store.remove(now, key)),
            Command::Exists(keys) => self.count(keys, |store, key| store.live(now, key).is_some()),
            Command::Pttl(key) => Reply::Int(self.pttl(now, key)),
            Command::Pexpire(key, lifetime) => Reply::Int(self.pexpire(now, key, lifetime).into()),
            Command::Flush => {
                self.entries.clear();
                Reply::ok()
            }
            Command::Size => {
                self.sweep(now);
                Reply::Int(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
            }
            Command::Keys => {
                self.sweep(now);
                Reply::Array(self.entries.keys().cloned().map(Reply::Bulk).collect())
            }
            Command::Load(script) => {
                self.scripts.insert(script);
                Reply::Bulk(script.hash().as_bytes().to_vec())
            }
            Command::Unload => {
                self.scripts.clear();
                Reply::ok()
            }
            Command::Eval(script, call) => {
                self.scripts.insert(script);
                Reply::Int(self.run(now, script, &call)?)
            }
            Command::EvalHash(Some(script), call) if self.scripts.contains(&script) => {
                Reply::Int(self.run(now, script, &call)?)
            }
            Command::EvalHash(..) => Reply::error("NOSCRIPT No matching script. Please use EVAL."),
        })
    }

    fn run(
        &mut self,
        now: Duration,
        script: Script,
        call: &command::Call<'_>,
    ) -> Result<i64, Refusal> {
        let (key, token) = (call.key, call.token);
        match self.live(now, key) {
            None => return Ok(0),
            Some(entry) if entry.value != token => return Ok(-1),
            Some(_) => {}
        }
        match script {
            Script::Release => Ok(self.remove(now, key).into()),
            Script::Extend => {
                let lifetime = call.lifetime()?;
                if self.pttl(now, key) < lifetime.millis() {
                    self.pexpire(now, key, lifetime);
                }
                Ok(1)
            }
        }
    }

    fn set(
        &mut self,
        now: Duration,
        key: &[u8],
        value: &[u8],
        only_new: bool,
        lifetime: Option<Lifetime>,
    ) -> Result<Reply, Refusal> {
        let there = self.live(now, key).is_some();
        if there && only_new {
            return Ok(Reply::Nil);
        }
        if !there && self.entries.len() >= MAX_KEYS {
            self.sweep(now);
        }
        if !there && self.entries.len() >= MAX_KEYS {
            return Err(Refusal(
                "OOM command not allowed when used memory > 'maxmemory'.".to_owned(),
            ));
        }
        let entry = Entry {
            value: value.to_vec(),
            expires: lifetime.and_then(|lifetime| lifetime.after(now)),
        };
        self.entries.insert(key.to_vec(), entry);
        Ok(Reply::ok())
    }

    fn pttl(&mut self, now: Duration, key: &[u8]) -> i64 {
        match self.live(now, key) {
            None => -2,
            Some(Entry { expires: None, .. }) => -1,
            Some(Entry { expires: Some(at), .. }) => millis(at.saturating_sub(now)),
        }
    }

    fn pexpire(&mut self, now: Duration, key: &[u8], lifetime: Lifetime) -> bool {
        let Some(entry) = self.live(now, key) else {
            return false;
        };
        match lifetime.after(now) {
            Some(at) => entry.expires = Some(at),
            None => {
                self.entries.remove(key);
            }
        }
        true
    }

    fn remove(&mut self, now: Duration, key: &[u8]) -> bool {
        let there = self.live(now, key).is_some();
        self.entries.remove(key);
        there
    }

    fn live(&mut self, now: Duration, key: &[u8]) -> Option<&mut Entry> {
        if self.entries.get(key).is_some_and(|entry| entry.is_over(now)) {
            self.entries.remove(key);
        }
        self.entries.get_mut(key)
    }

    fn sweep(&mut self, now: Duration) {
        self.entries.retain(|_, entry| !entry.is_over(now));
    }

    fn count(&mut self, keys: &[&[u8]], mut hit: impl FnMut(&mut Self, &[u8]) -> bool) -> Reply {
        let hits = keys.iter().filter(|key| hit(self, key)).count();
        Reply::Int(i64::try_from(hits).unwrap_or(i64::MAX))
    }

    fn info(&self, now: Duration) -> String {
        let uptime = now.saturating_sub(self.started).as_secs();
        format!(
            "# Server\r\nserver_name:redlock-quorum in-memory node\r\nredis_version:7.0.0\r\n\
             redis_mode:standalone\r\nrun_id:{}\r\nuptime_in_seconds:{uptime}\r\n\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:0\r\n",
            self.run_id
        )
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
