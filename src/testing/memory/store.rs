//! What an in-memory node knows: its keys and the channels; `scripts` has what the lock's scripts do.
//! It is pure: no I/O, no clock and no chance in here, so that a simulation can use
//! it as it is. It never answers for a command it does not carry out.

mod scripts;

use std::{collections::HashSet, time::Duration};

use super::{
    channels::{Channels, ConnId},
    command::{self, Command, Lifetime, Refusal},
    flavor::Flavor,
    keys::Keys,
    script::Script,
};
use crate::testing::Reply;

/// One node's data. Times are distances from any one moment, the same for all calls. A
/// time before an earlier call's is that of a server whose clock has been set back.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    flavor: Flavor,
    run_id: String,
    /// What its wall clock said at the moment from which times are counted, since 1970.
    wall: Duration,
    /// What it says of itself: `master` or `replica`.
    role: &'static str,
    started: Duration,
    keys: Keys,
    scripts: HashSet<Script>,
    channels: Channels,
    messages: Vec<(ConnId, Reply)>,
    /// Whether nobody may publish or subscribe.
    mute: bool,
}

/// The replies and messages to send after one command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The replies to its sender: one, or one for each channel it named.
    pub(crate) replies: Vec<Reply>,
    /// The messages to other connections.
    pub(crate) messages: Vec<(ConnId, Reply)>,
}

impl Store {
    /// An empty store, as after a server's start.
    pub(crate) fn new(now: Duration, wall: Duration, run_id: String) -> Self {
        Self {
            flavor: Flavor::default(),
            run_id,
            wall,
            role: "master",
            started: now,
            keys: Keys::default(),
            scripts: HashSet::new(),
            channels: Channels::default(),
            messages: Vec::new(),
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

    /// Makes the node take itself for another kind of server from now on.
    #[cfg(any(test, redlock_sim))]
    pub(crate) fn set_flavor(&mut self, flavor: Flavor) {
        self.flavor = flavor;
    }

    /// Forgets all that lives no longer than the process.
    #[cfg(redlock_sim)]
    pub(crate) fn restart(&mut self) {
        self.forget_scripts();
        self.channels = Channels::default();
    }

    /// From now on the node is another process, which calls itself by `run_id`.
    #[cfg(redlock_sim)]
    pub(crate) fn set_run_id(&mut self, run_id: String) {
        self.run_id = run_id;
    }

    /// All keys are from now on what the other store has, as after a full synchronisation.
    #[cfg(redlock_sim)]
    pub(crate) fn take_keys_of(&mut self, other: &Self) {
        self.keys.clone_from(&other.keys);
    }

    /// Makes the node say from now on that it is a replica, or that it is none. What it
    /// carries out is the same.
    #[cfg(redlock_sim)]
    pub(crate) fn set_replica(&mut self, is_replica: bool) {
        self.role = if is_replica { "replica" } else { "master" };
    }

    #[cfg(redlock_sim)]
    pub(crate) fn forget_scripts(&mut self) {
        self.scripts.clear();
    }

    /// Sets whether the node has no memory left, and whether it lets nobody publish
    /// or subscribe.
    #[cfg(any(test, redlock_sim))]
    pub(crate) fn restrict(&mut self, full: bool, mute: bool) {
        (self.keys.full, self.mute) = (full, mute);
    }

    /// The value at `key`, if it lives.
    #[cfg(redlock_sim)]
    pub(crate) fn value(&self, now: Duration, key: &[u8]) -> Option<&[u8]> {
        self.keys.peek(now, key)
    }

    /// Keys and values that live.
    #[cfg(redlock_sim)]
    pub(crate) fn living(&self, now: Duration) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.keys.living(now)
    }

    fn apply(
        &mut self,
        conn: ConnId,
        now: Duration,
        command: Command<'_>,
    ) -> Result<Vec<Reply>, Refusal> {
        Ok(vec![match command {
            Command::Subscribe(_) if self.mute => return Err(no_permission("subscribe")),
            Command::Subscribe(channels) => return Ok(self.channels.subscribe(conn, channels)),
            Command::Unsubscribe(channels) => return Ok(self.channels.unsubscribe(conn, channels)),
            Command::Publish { channel, payload } => Reply::Int(self.publish(channel, payload)?),
            Command::Ping(text) => self.ping(conn, text),
            Command::Accepted => Reply::ok(),
            Command::Info => Reply::bulk(self.info(now)),
            Command::Hello => self.hello(conn),
            Command::Get(key) => self.keys.get(now, key).map_or(Reply::Nil, Reply::bulk),
            Command::GetRange(key, end) => {
                let value = self.keys.get(now, key).unwrap_or_default();
                Reply::bulk(value.get(..=end).unwrap_or(value))
            }
            Command::Set { key, value, only_new, lifetime } => {
                self.set(now, key, value, only_new, lifetime)?
            }
            Command::Del(keys) => count(keys, |key| self.keys.remove(now, key)),
            Command::DelIfEq { key, value, .. } => {
                Reply::Int(self.del_if_eq(now, key, value)?.into())
            }
            Command::Exists(keys) => count(keys, |key| self.keys.has(now, key)),
            Command::Pttl(key) => Reply::Int(self.keys.pttl(now, key)),
            Command::Pexpire(key, lifetime) => {
                Reply::Int(self.keys.pexpire(now, key, lifetime).into())
            }
            Command::Flush => {
                self.keys.clear();
                Reply::ok()
            }
            Command::Size => Reply::count(self.keys.sweep(now).len()),
            Command::Keys => Reply::Array(self.keys.sweep(now).map(Reply::bulk).collect()),
            Command::Load(script) => {
                self.scripts.insert(script);
                Reply::bulk(script.hash())
            }
            Command::Unload => {
                self.scripts.clear();
                Reply::ok()
            }
            Command::Eval(script, call) => {
                self.scripts.insert(script);
                self.run(now, script, &call)?
            }
            Command::EvalHash(Some(script), call) if self.scripts.contains(&script) => {
                self.run(now, script, &call)?
            }
            Command::EvalHash(..) => Reply::error("NOSCRIPT No matching script. Please use EVAL."),
        }])
    }

    fn ping(&self, conn: ConnId, text: Option<&[u8]>) -> Reply {
        match text {
            text if self.is_subscribed(conn) => {
                Reply::Array(vec![Reply::bulk("pong"), Reply::bulk(text.unwrap_or_default())])
            }
            Some(text) => Reply::bulk(text),
            None => Reply::Status("PONG".to_owned()),
        }
    }

    /// Publishes a message, and says how many connections it reaches.
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
        // A full node refuses before it looks.
        if only_new && !self.keys.full && self.keys.has(now, key) {
            return Ok(Reply::Nil);
        }
        self.keys.set(now, key, value, lifetime)?;
        Ok(Reply::ok())
    }

    fn del_if_eq(&mut self, now: Duration, key: &[u8], value: &[u8]) -> Result<bool, Refusal> {
        if self.flavor == Flavor::Forbidding {
            return Err(no_permission("delifeq"));
        }
        Ok(self.keys.get(now, key) == Some(value) && self.keys.remove(now, key))
    }

    fn hello(&self, conn: ConnId) -> Reply {
        let (name, version) = self.flavor.name_and_version();
        let said = [
            ("server", Reply::bulk(name)),
            ("version", Reply::bulk(version)),
            ("proto", Reply::Int(2)),
            ("id", Reply::Int(i64::try_from(conn).unwrap_or(i64::MAX))),
            ("mode", Reply::bulk("standalone")),
            ("role", Reply::bulk(self.role)),
            ("modules", Reply::Array(Vec::new())),
        ];
        Reply::Array(said.into_iter().flat_map(|(name, it)| [Reply::bulk(name), it]).collect())
    }

    fn info(&self, now: Duration) -> String {
        let uptime = now.saturating_sub(self.started).as_secs();
        let (name, version) = self.flavor.name_and_version();
        format!(
            "# Server\r\nserver_name:redlock-quorum in-memory node\r\n{name}_version:{version}\r\n\
             redis_mode:standalone\r\nrun_id:{}\r\nuptime_in_seconds:{uptime}\r\n\r\n\
             # Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n\
             # Replication\r\nrole:{}\r\nconnected_slaves:0\r\n",
            self.run_id, self.role
        )
    }
}

/// How many of `keys` are hit.
fn count(keys: &[&[u8]], mut hit: impl FnMut(&[u8]) -> bool) -> Reply {
    Reply::count(keys.iter().filter(|key| hit(key)).count())
}

fn no_permission(command: &str) -> Refusal {
    Refusal(format!("NOPERM this user has no permissions to run the '{command}' command"))
}
