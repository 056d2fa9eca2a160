//! What an in-memory node knows: keys, expiries, the lock's two scripts, and
//! who listens to what.
//! Pure: no I/O, no clock and no chance in here, so that a simulation can use
//! it as it is. It never answers for a command it does not carry out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::channels::{Channels, ConnId};
use super::command::{self, Call, Command, Lifetime, Native, Refusal, Script};
use crate::testing::Reply;

const MAX_KEYS: usize = 100_000;
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// What a node takes itself for: what it says when it is greeted, and whether
/// it compares and deletes without a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(redlock_sim), expect(unreachable_pub, reason = "the simulator's to choose"))]
#[cfg_attr(not(any(test, redlock_sim)), expect(dead_code, reason = "as above"))]
pub enum Flavor {
    /// A Valkey that has `DELIFEQ`.
    #[default]
    Valkey,
    /// A Redis that has `DELEX`.
    Redis,
    /// An older server, which has neither.
    Old,
    /// As [`Self::Valkey`], and lets nobody use it.
    Forbidding,
}

impl Flavor {
    fn name_and_version(self) -> (&'static str, &'static str) {
        match self {
            Self::Valkey | Self::Forbidding => ("valkey", "9.0.0"),
            Self::Redis => ("redis", "8.4.0"),
            Self::Old => ("redis", "7.0.0"),
        }
    }

    fn has(self, command: Native) -> bool {
        match command {
            Native::DelIfEq => matches!(self, Self::Valkey | Self::Forbidding),
            Native::DelEx => self == Self::Redis,
        }
    }
}

/// One node's data. Times are distances from any one moment, the same for all
/// calls; they must not go back.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    flavor: Flavor,
    run_id: String,
    started: Duration,
    entries: HashMap<Vec<u8>, Entry>,
    scripts: HashSet<Script>,
    channels: Channels,
    messages: Vec<(ConnId, Reply)>,
    full: bool,
    mute: bool,
}

/// What is to be sent after one command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// To whoever sent it: one reply, or one for each channel it named.
    pub(crate) replies: Vec<Reply>,
    /// To others.
    pub(crate) messages: Vec<(ConnId, Reply)>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Duration>,
}

impl Store {
    /// An empty store, as after a server's start.
    pub(crate) fn new(now: Duration, run_id: String) -> Self {
        Self {
            flavor: Flavor::default(),
            run_id,
            started: now,
            entries: HashMap::new(),
            scripts: HashSet::new(),
            channels: Channels::default(),
            messages: Vec::new(),
            full: false,
            mute: false,
        }
    }

    /// Carries out one command of a connection at the time `now`.
    pub(crate) fn execute<S: AsRef<[u8]>>(
        &mut self,
        conn: ConnId,
        now: Duration,
        args: &[S],
    ) -> Outcome {
        let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        let replies = command::parse(&args)
            .and_then(|command| {
                if self.is_subscribed(conn) && !command.goes_with_subscriptions() {
                    return Err(command::out_of_context(&args));
                }
                if matches!(command, Command::DelIfEq { name, .. } if !self.flavor.has(name)) {
                    return Err(command::unknown(&args));
                }
                self.apply(conn, now, command)
            })
            .unwrap_or_else(|Refusal(text)| vec![Reply::Error(text)]);
        Outcome { replies, messages: std::mem::take(&mut self.messages) }
    }

    pub(crate) fn is_subscribed(&self, conn: ConnId) -> bool {
        self.channels.is_subscribed(conn)
    }

    /// The connection is over: it listens to nothing any more.
    pub(crate) fn hang_up(&mut self, conn: ConnId) {
        self.channels.hang_up(conn);
    }

    /// Takes itself for another kind of server from now on.
    #[cfg(any(test, redlock_sim))]
    pub(crate) fn set_flavor(&mut self, flavor: Flavor) {
        self.flavor = flavor;
    }

    /// Forgets what lives no longer than the process.
    #[cfg(redlock_sim)]
    pub(crate) fn restart(&mut self) {
        self.forget_scripts();
        self.channels = Channels::default();
    }

    #[cfg(redlock_sim)]
    pub(crate) fn forget_scripts(&mut self) {
        self.scripts.clear();
    }

    /// Whether it has no memory left, and whether it lets nobody publish or
    /// subscribe.
    #[cfg(any(test, redlock_sim))]
    pub(crate) fn restrict(&mut self, full: bool, mute: bool) {
        (self.full, self.mute) = (full, mute);
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

    fn apply(
        &mut self,
        conn: ConnId,
        now: Duration,
        command: Command<'_>,
    ) -> Result<Vec<Reply>, Refusal> {
        let reply = match command {
            Command::Subscribe(_) if self.mute => return Err(no_permission("subscribe")),
            Command::Subscribe(channels) => return Ok(self.channels.subscribe(conn, channels)),
            Command::Unsubscribe(channels) => return Ok(self.channels.unsubscribe(conn, channels)),
            Command::Publish { channel, payload } => Reply::Int(self.publish(channel, payload)?),
            Command::Ping(text) => self.ping(conn, text),
            Command::Accepted => Reply::ok(),
            Command::Info => Reply::Bulk(self.info(now).into_bytes()),
            Command::Hello => self.hello(conn),
            Command::Get(key) => {
                self.live(now, key).map_or(Reply::Nil, |entry| Reply::Bulk(entry.value.clone()))
            }
            Command::GetRange(key, end) => {
                let value = self.live(now, key).map(|entry| entry.value.iter().take(end + 1));
                Reply::Bulk(value.map(|value| value.copied().collect()).unwrap_or_default())
            }
            Command::Set { key, value, only_new, lifetime } => {
                self.set(now, key, value, only_new, lifetime)?
            }
            Command::Del(keys) => self.count(keys, |store, key| store.remove(now, key)),
            Command::DelIfEq { .. } if self.flavor == Flavor::Forbidding => {
                return Err(no_permission("delifeq"));
            }
            Command::DelIfEq { key, value, .. } => {
                let same = self.live(now, key).is_some_and(|entry| entry.value == value);
                Reply::Int((same && self.remove(now, key)).into())
            }
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
        };
        Ok(vec![reply])
    }

    fn ping(&self, conn: ConnId, text: Option<&[u8]>) -> Reply {
        let bulk = |text: &[u8]| Reply::Bulk(text.to_vec());
        match text {
            text if self.is_subscribed(conn) => {
                Reply::Array(vec![bulk(b"pong"), bulk(text.unwrap_or_default())])
            }
            Some(text) => bulk(text),
            None => Reply::Status("PONG".to_owned()),
        }
    }

    fn run(&mut self, now: Duration, script: Script, call: &Call<'_>) -> Result<i64, Refusal> {
        match (self.live(now, call.key), script) {
            (Some(entry), _) if entry.value != call.token => Ok(-1),
            (_, Script::Release) => Ok(self.release(now, call)),
            (Some(_), Script::Extend) => self.extend(now, call),
            (None, Script::Extend) => self.heal(now, call),
        }
    }

    fn release(&mut self, now: Duration, call: &Call<'_>) -> i64 {
        let there = self.remove(now, call.key);
        let channel = [b"redlock:", call.key].concat();
        let told = match call.payload() {
            Some(b"") => true,
            Some(payload) => self.publish(&channel, payload).is_ok(),
            // Short of an argument, which the script takes for a refusal.
            None => false,
        };
        match (there, told) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        }
    }

    fn extend(&mut self, now: Duration, call: &Call<'_>) -> Result<i64, Refusal> {
        let lifetime = call.lifetime()?;
        if self.pttl(now, call.key) < lifetime.millis() {
            self.pexpire(now, call.key, lifetime);
        }
        Ok(1)
    }

    fn heal(&mut self, now: Duration, call: &Call<'_>) -> Result<i64, Refusal> {
        let Some(lifetime) = call.healed() else {
            return Ok(0);
        };
        self.set(now, call.key, call.token, false, Some(lifetime?))?;
        Ok(2)
    }

    /// How many it reaches.
    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> Result<i64, Refusal> {
        if self.mute {
            return Err(no_permission("publish"));
        }
        let messages = self.channels.publish(channel, payload);
        let reached = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        self.messages.extend(messages);
        Ok(reached)
    }

    fn set(
        &mut self,
        now: Duration,
        key: &[u8],
        value: &[u8],
        only_new: bool,
        lifetime: Option<Lifetime>,
    ) -> Result<Reply, Refusal> {
        if self.full {
            return Err(Refusal(OUT_OF_MEMORY.to_owned()));
        }
        let there = self.live(now, key).is_some();
        if there && only_new {
            return Ok(Reply::Nil);
        }
        if !there && self.entries.len() >= MAX_KEYS {
            self.sweep(now);
        }
        if !there && self.entries.len() >= MAX_KEYS {
            return Err(Refusal(OUT_OF_MEMORY.to_owned()));
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

    fn hello(&self, conn: ConnId) -> Reply {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let (name, version) = self.flavor.name_and_version();
        let id = Reply::Int(i64::try_from(conn).unwrap_or(i64::MAX));
        let said = [("server", bulk(name)), ("version", bulk(version)), ("proto", Reply::Int(2))];
        let more = [("id", id), ("mode", bulk("standalone")), ("role", bulk("master"))];
        let modules = [("modules", Reply::Array(Vec::new()))];
        let said = said.into_iter().chain(more).chain(modules);
        Reply::Array(said.flat_map(|(name, value)| [bulk(name), value]).collect())
    }

    fn info(&self, now: Duration) -> String {
        let uptime = now.saturating_sub(self.started).as_secs();
        let (name, version) = self.flavor.name_and_version();
        format!(
            "# Server\r\nserver_name:redlock-quorum in-memory node\r\n{name}_version:{version}\r\n\
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

fn no_permission(command: &str) -> Refusal {
    Refusal(format!("NOPERM this user has no permissions to run the '{command}' command"))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
