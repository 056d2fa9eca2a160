//! Turns words into a command that can be carried out, or into the refusal that a server
//! would give. It never touches the data.

use std::fmt::Write as _;
use std::time::Duration;

use super::script::{Call, Script, call, keys};

/// The error that the server answers instead of doing anything.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

#[derive(Debug)]
pub(super) enum Command<'a> {
    Ping(Option<&'a [u8]>),
    /// A command that means nothing to this store and is answered with OK.
    Accepted,
    Info,
    Hello,
    Get(&'a [u8]),
    /// The bytes of a value from the first to that one.
    GetRange(&'a [u8], usize),
    Set {
        key: &'a [u8],
        value: &'a [u8],
        only_new: bool,
        lifetime: Option<Lifetime>,
    },
    Del(&'a [&'a [u8]]),
    /// The command that compares and deletes, under either of its names.
    DelIfEq {
        key: &'a [u8],
        value: &'a [u8],
        name: Native,
    },
    Exists(&'a [&'a [u8]]),
    Pttl(&'a [u8]),
    Pexpire(&'a [u8], Lifetime),
    Flush,
    Size,
    Keys,
    Load(Script),
    Unload,
    Subscribe(&'a [&'a [u8]]),
    Unsubscribe(&'a [&'a [u8]]),
    Publish {
        channel: &'a [u8],
        payload: &'a [u8],
    },
    Eval(Script, Call<'a>),
    EvalHash(Option<Script>, Call<'a>),
}

/// The names of the command that compares and deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// Valkey's `DELIFEQ`.
    DelIfEq,
    /// Redis's `DELEX`.
    DelEx,
}

/// A number of milliseconds that can be added to a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime(i64);

impl Lifetime {
    pub(super) fn parse(text: &[u8], command: &str) -> Result<Self, Refusal> {
        let millis = integer(text)?;
        // A server counts from 1970 and refuses what then overflows.
        if millis.unsigned_abs() > u64::MAX / 4 {
            return Err(refuse(format!("ERR invalid expire time in '{command}' command")));
        }
        Ok(Self(millis))
    }

    pub(super) fn to_set(text: &[u8]) -> Result<Self, Refusal> {
        match Self::parse(text, "set")? {
            Self(..=0) => Err(refuse("ERR invalid expire time in 'set' command")),
            lifetime => Ok(lifetime),
        }
    }

    pub(super) fn millis(self) -> i64 {
        self.0
    }

    /// When a lifetime that begins `now` ends; `None` if it is over already.
    pub(super) fn after(self, now: Duration) -> Option<Duration> {
        let millis = u64::try_from(self.0).ok().filter(|millis| *millis > 0)?;
        Some(now.saturating_add(Duration::from_millis(millis)))
    }
}

pub(super) fn parse<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, Refusal> {
    let Some((name, rest)) = args.split_first() else {
        return Err(refuse("ERR Protocol error: empty command"));
    };
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok(match (name.as_str(), rest) {
        ("ping", []) => Command::Ping(None),
        ("ping", [text]) => Command::Ping(Some(text)),
        ("auth", [_] | [_, _]) | ("client", [_, ..]) => Command::Accepted,
        ("select", [database]) => select(database)?,
        ("info", _) => Command::Info,
        ("hello", version) => hello(version)?,
        ("get", [key]) => Command::Get(key),
        ("getrange", [key, b"0", end]) => {
            let end = usize::try_from(integer(end)?).map_err(|_| {
                refuse("ERR in-memory node: GETRANGE is from 0 to a place counted from there")
            })?;
            Command::GetRange(key, end)
        }
        ("set", [key, value, options @ ..]) => set(key, value, options)?,
        ("del", keys @ [_, ..]) => Command::Del(keys),
        ("delifeq", [key, value]) => Command::DelIfEq { key, value, name: Native::DelIfEq },
        ("delex", [key, condition, value]) if condition.eq_ignore_ascii_case(b"ifeq") => {
            Command::DelIfEq { key, value, name: Native::DelEx }
        }
        ("exists", keys @ [_, ..]) => Command::Exists(keys),
        ("pttl", [key]) => Command::Pttl(key),
        ("pexpire", [key, lifetime]) => {
            Command::Pexpire(key, Lifetime::parse(lifetime, "pexpire")?)
        }
        ("flushall", [] | [_]) => Command::Flush,
        ("dbsize", []) => Command::Size,
        ("keys", [b"*"]) => Command::Keys,
        ("keys", [_]) => return Err(refuse("ERR in-memory node: KEYS takes * only")),
        ("script", [verb, rest @ ..]) => script(verb, rest)?,
        ("subscribe", channels @ [_, ..]) => Command::Subscribe(channels),
        ("unsubscribe", channels) => Command::Unsubscribe(channels),
        ("publish", [channel, payload]) => Command::Publish { channel, payload },
        ("eval", [text, count, rest @ ..]) => {
            let count = keys(count, rest)?;
            let script = Script::by_text(text)?;
            Command::Eval(script, call(Some(script), count, rest)?)
        }
        ("evalsha", [hash, count, rest @ ..]) => {
            let (count, script) = (keys(count, rest)?, Script::by_hash(hash));
            Command::EvalHash(script, call(script, count, rest)?)
        }
        (
            "ping" | "auth" | "client" | "select" | "get" | "set" | "del" | "delifeq" | "delex"
            | "exists" | "pttl" | "pexpire" | "flushall" | "dbsize" | "keys" | "script"
            | "subscribe" | "publish" | "eval" | "evalsha",
            _,
        ) => return Err(wrong_arity(&name)),
        _ => return Err(unknown(args)),
    })
}

impl Command<'_> {
    /// Whether a connection may send this command while it is subscribed.
    pub(super) fn goes_with_subscriptions(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Subscribe(_) | Self::Unsubscribe(_))
    }
}

/// The refusal for a subscribed connection that sends any other command.
pub(super) fn out_of_context(args: &[&[u8]]) -> Refusal {
    let mut words = args.iter().map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
    let mut name = words.next().unwrap_or_default();
    if matches!(&*name, "client" | "script") {
        name.extend(words.next().map(|verb| format!("|{verb}")));
    }
    refuse(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    ))
}

fn select<'a>(database: &[u8]) -> Result<Command<'a>, Refusal> {
    match integer(database)? {
        0 => Ok(Command::Accepted),
        _ => Err(refuse("ERR in-memory node: only database 0")),
    }
}

/// A greeting, which may ask for RESP2 alone: the node speaks nothing else.
fn hello<'a>(version: &[&[u8]]) -> Result<Command<'a>, Refusal> {
    match version {
        [] | [b"2"] => Ok(Command::Hello),
        [_] => Err(refuse("NOPROTO unsupported protocol version")),
        _ => Err(refuse("ERR in-memory node: HELLO takes a version only")),
    }
}

fn set<'a>(
    key: &'a [u8],
    value: &'a [u8],
    mut options: &[&'a [u8]],
) -> Result<Command<'a>, Refusal> {
    let (mut only_new, mut millis) = (false, None);
    loop {
        options = match options {
            [] => break,
            [word, rest @ ..] if word.eq_ignore_ascii_case(b"nx") => {
                only_new = true;
                rest
            }
            [word, number, rest @ ..] if word.eq_ignore_ascii_case(b"px") && millis.is_none() => {
                millis = Some(*number);
                rest
            }
            _ => return Err(refuse("ERR syntax error")),
        };
    }
    let lifetime = millis.map(Lifetime::to_set).transpose()?;
    Ok(Command::Set { key, value, only_new, lifetime })
}

fn script<'a>(verb: &[u8], rest: &[&[u8]]) -> Result<Command<'a>, Refusal> {
    let verb = String::from_utf8_lossy(verb).to_ascii_lowercase();
    match (verb.as_str(), rest) {
        ("load", [text]) => Ok(Command::Load(Script::by_text(text)?)),
        ("flush", _) => Ok(Command::Unload),
        ("load", _) => Err(wrong_arity("script|load")),
        _ => Err(refuse("ERR in-memory node: only SCRIPT LOAD and SCRIPT FLUSH")),
    }
}

pub(super) fn integer(text: &[u8]) -> Result<i64, Refusal> {
    std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.starts_with('+'))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| refuse("ERR value is not an integer or out of range"))
}

fn wrong_arity(name: &str) -> Refusal {
    refuse(format!("ERR wrong number of arguments for '{name}' command"))
}

/// The refusal of a command that a server does not have.
pub(super) fn unknown(args: &[&[u8]]) -> Refusal {
    let mut words = args.iter().map(|word| String::from_utf8_lossy(word));
    let name: String = words.next().unwrap_or_default().chars().take(128).collect();
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    for word in words.take_while(|word| word.len() < 128).take(8) {
        // Writing to a String cannot fail.
        let _ = write!(text, "'{word}' ");
    }
    refuse(text)
}

pub(super) fn refuse(text: impl Into<String>) -> Refusal {
    Refusal(text.into())
}
