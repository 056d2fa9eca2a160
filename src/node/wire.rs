//! The commands that put a question to a server. It does no I/O, and does not know what
//! a reply means.

use std::sync::LazyLock;

use super::{
    look,
    native::Native,
    probe,
    push::{CHANNEL, NewsText},
};
use crate::{
    exchange::{Ask, Fence, News},
    key::{EPOCH, Key},
    mutant::{self, Mutant},
    protocol::Ttl,
};

impl Ask {
    /// The script that this runs at nodes that are strict or not, if any: `Extend` stands for the
    /// one that heals, too, and `ExtendFenced` for the one that hands on.
    pub(super) fn script(self, is_strict: bool) -> Option<Self> {
        match self {
            Self::Set | Self::Heal if is_strict => Some(self),
            Self::Bootstrap => Some(self),
            Self::Extend | Self::Heal => Some(Self::Extend),
            Self::ExtendFenced | Self::HandOver => Some(Self::ExtendFenced),
            Self::SetFenced => Some(Self::SetFenced),
            Self::Bury => Some(Self::Bury),
            Self::Release => Some(Self::Release),
            Self::Set | Self::Value | Self::Look | Self::Greet => None,
        }
    }
}

/// How a request is put to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A script goes by its hash, and anything else as plain commands.
    Short,
    /// A script goes by its text, which also makes the server keep it. A look, which
    /// is plain commands as a rule, is a script then, too; and a server that hangs up when
    /// it is greeted is asked without a greeting.
    Whole,
    /// A release goes as a command of the server's own.
    Native(Native),
}

impl Form {
    pub(super) fn native(self) -> Option<Native> {
        if let Self::Native(native) = self { Some(native) } else { None }
    }
}

/// A question, and what its command must say.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) ask: Ask,
    pub(crate) key: &'a [u8],
    pub(crate) token: &'a [u8],
    pub(crate) ttl: Ttl,
    /// What a release publishes, if anything.
    pub(crate) news: Option<News>,
    /// The number, where it has one, and how long its fence stays.
    pub(crate) fence: Option<Fence>,
    /// Where the node is strict.
    pub(crate) epoch: Option<Epoch<'a>>,
}

/// What a strict node compares before it grants or heals.
#[derive(Clone, Copy)]
pub(crate) struct Epoch<'a> {
    /// The epoch as the client knows it.
    pub(crate) known: &'a [u8],
    /// Whether it is asked to heal.
    pub(crate) heals: bool,
}

impl Epoch<'_> {
    fn heals(self) -> &'static [u8] {
        if self.heals { b"1" } else { b"0" }
    }
}

static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("release.lua"), b"*6\r\n", "1"));
static EXTEND: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("extend.lua"), b"*7\r\n", "1"));
static LOOK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("look.lua"), b"*4\r\n", "1"));
static SET_FENCED: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("fenced_acquire.lua"), b"*9\r\n", "2"));
static BURY: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("bury.lua"), b"*9\r\n", "2"));
static EXTEND_FENCED: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("fenced_extend.lua"), b"*10\r\n", "2"));

static STRICT_SET: LazyLock<Script> = LazyLock::new(|| {
    let text = concat!(include_str!("epoch.lua"), include_str!("strict_acquire.lua"));
    Script::new(text, b"*9\r\n", "2")
});
static STRICT_SET_FENCED: LazyLock<Script> = LazyLock::new(|| {
    let text = concat!(include_str!("epoch.lua"), include_str!("fenced_acquire.lua"));
    Script::new(text, b"*12\r\n", "3")
});
static STRICT_HEAL: LazyLock<Script> = LazyLock::new(|| {
    let text = concat!(include_str!("epoch.lua"), include_str!("extend.lua"));
    Script::new(text, b"*10\r\n", "2")
});
static EPOCH_LOOK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("epoch_look.lua"), b"*4\r\n", "1"));
static BOOTSTRAP: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("bootstrap.lua"), b"*5\r\n", "1"));

/// How a call of a script with so many keys begins, by its hash and by its text.
struct Script {
    by_hash: Vec<u8>,
    whole: Vec<u8>,
}

impl Script {
    fn new(text: &str, count: &[u8], keys: &str) -> Self {
        let script = redis::Script::new(text);
        let head = |words: [&str; 3]| {
            let mut head = Vec::new();
            write(&mut head, count, &words.map(str::as_bytes));
            head
        };
        let by_hash = head(["EVALSHA", script.get_hash(), keys]);
        Self { by_hash, whole: head(["EVAL", text, keys]) }
    }

    fn head(&self, form: Form) -> &[u8] {
        if form == Form::Whole { &self.whole } else { &self.by_hash }
    }
}

/// Appends `request` to `out`, and returns how many replies it brings.
#[inline]
pub(crate) fn encode(out: &mut Vec<u8>, form: Form, request: Request<'_>) -> u8 {
    if let Some(epoch) = request.epoch {
        return encode_strict(out, form, request, epoch);
    }
    match request.ask {
        Ask::Set => encode_set(out, request),
        Ask::Extend => encode_extend(out, form, request),
        Ask::Heal => call_extend(out, form, request, b"1"),
        Ask::Bury => call_bury(out, form, request),
        Ask::SetFenced => call_fenced(out, &SET_FENCED, form, request, None),
        Ask::ExtendFenced => call_fenced(out, &EXTEND_FENCED, form, request, Some(b"0")),
        Ask::HandOver => call_fenced(out, &EXTEND_FENCED, form, request, Some(b"1")),
        Ask::Release => return encode_release(out, form, request),
        Ask::Value | Ask::Look => return encode_look(out, form, request),
        Ask::Greet => return encode_greeting(out, form, request.key),
        // Only strict nodes have an epoch.
        Ask::Bootstrap => return 0,
    }
    1
}

/// What strict nodes are asked with their epoch: the scripts that others run behind the one that
/// compares it, which takes the last key and the last arguments.
fn encode_strict(out: &mut Vec<u8>, form: Form, request: Request<'_>, epoch: Epoch<'_>) -> u8 {
    let Request { ask, key, token, ttl, fence, .. } = request;
    let (number, retention) = fence.map_or((0, 0), |it| (it.number.get(), it.retention));
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
    let [first, second, third] = &mut digits;
    let ttl = first.format(life(ask, ttl)).as_bytes();
    match ask {
        Ask::Greet => {
            let replies = encode_greeting(out, form, key);
            write(out, EPOCH_LOOK.head(Form::Whole), &[EPOCH]);
            return replies + 1;
        }
        Ask::Bootstrap => {
            write(out, BOOTSTRAP.head(form), &[EPOCH, epoch.known]);
            return 1;
        }
        Ask::SetFenced => {
            let fence = Key::fence_of(key);
            write(out, STRICT_SET_FENCED.head(form), &[key, &fence, EPOCH, token, ttl]);
            let (number, retention) = (second.format(number), third.format(retention));
            write(out, b"", &[number.as_bytes(), retention.as_bytes()]);
        }
        Ask::Heal => write(out, STRICT_HEAL.head(form), &[key, EPOCH, token, ttl, b"1"]),
        Ask::Extend if mutant::is(Mutant::QuarantineStopsExtensions) => {
            write(out, STRICT_HEAL.head(form), &[key, EPOCH, token, ttl, b"0", epoch.known, b"0"]);
            return 1;
        }
        _ => write(out, STRICT_SET.head(form), &[key, EPOCH, token, ttl]),
    }
    write(out, b"", &[epoch.known, epoch.heals()]);
    1
}

fn encode_look(out: &mut Vec<u8>, form: Form, Request { ask, key, .. }: Request<'_>) -> u8 {
    if form == Form::Whole {
        write(out, LOOK.head(form), &[key]);
        return 1;
    }
    encode_value(out, key);
    if ask != Ask::Look {
        return 1;
    }
    write(out, b"*2\r\n$4\r\nPTTL\r\n", &[key]);
    2
}

/// `HELLO`, but for a server that hangs up then, and the probe.
fn encode_greeting(out: &mut Vec<u8>, form: Form, key: &[u8]) -> u8 {
    let greets = form != Form::Whole;
    if greets {
        out.extend_from_slice(look::HELLO);
    }
    probe::encode(out, key, form.native());
    probe::REPLIES + u8::from(greets)
}

/// No more of the value than a token can have: what another program keeps at the key
/// may be of any length.
fn encode_value(out: &mut Vec<u8>, key: &[u8]) {
    write(out, b"*4\r\n$8\r\nGETRANGE\r\n", &[key, b"0", look::LONGEST]);
}

fn encode_set(out: &mut Vec<u8>, Request { key, token, ttl, .. }: Request<'_>) {
    let mut digits = itoa::Buffer::new();
    let ttl = digits.format(life(Ask::Set, ttl)).as_bytes();
    write(out, b"*6\r\n$3\r\nSET\r\n", &[key, token, b"NX", b"PX", ttl]);
}

fn encode_extend(out: &mut Vec<u8>, form: Form, request: Request<'_>) {
    if mutant::is(Mutant::ExtendWithoutCompare) {
        let ttl = request.ttl.of_key().to_string();
        let words = [request.key, request.token, b"PX", ttl.as_bytes()];
        return write(out, b"*5\r\n$3\r\nSET\r\n", &words);
    }
    let heals: &[u8] = if mutant::is(Mutant::HealedCounts) { b"1" } else { b"0" };
    call_extend(out, form, request, heals);
}

/// For how many milliseconds a node is asked to keep the key.
fn life(ask: Ask, ttl: Ttl) -> u32 {
    let wrong = match ask {
        Ask::Set | Ask::SetFenced => Mutant::KeysWithoutGrace,
        _ => Mutant::ExtensionWithoutGrace,
    };
    if mutant::is(wrong) {
        return ttl.as_millis();
    }
    ttl.of_key()
}

fn call_extend(out: &mut Vec<u8>, form: Form, request: Request<'_>, heals: &[u8]) {
    let Request { ask, key, token, ttl, .. } = request;
    let mut digits = itoa::Buffer::new();
    let ttl = digits.format(life(ask, ttl)).as_bytes();
    write(out, EXTEND.head(form), &[key, token, ttl, heals]);
}

/// Calls a script with a number: `hands_on` is what the one that extends takes besides.
fn call_fenced(
    out: &mut Vec<u8>,
    script: &Script,
    form: Form,
    request: Request<'_>,
    hands_on: Option<&[u8]>,
) {
    let Request { ask, key, token, ttl, fence, .. } = request;
    let (number, retention) = fence.map_or((0, 0), |it| (it.number.get(), it.retention));
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
    let [first, second, third] = &mut digits;
    let fence = Key::fence_of(key);
    let words = [
        key,
        &fence,
        token,
        first.format(life(ask, ttl)).as_bytes(),
        second.format(number).as_bytes(),
        third.format(retention).as_bytes(),
    ];
    write(out, script.head(form), &words);
    if let Some(hands_on) = hands_on {
        write(out, b"", &[hands_on]);
    }
}

fn call_bury(out: &mut Vec<u8>, form: Form, request: Request<'_>) {
    let Request { key, token, news, fence, .. } = request;
    let news = news.map(News::to_text);
    let news = news.as_ref().map_or(&[][..], NewsText::as_bytes);
    let (number, retention) = fence.map_or((0, 0), |it| (it.number.get(), it.retention));
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [first, second] = &mut digits;
    let fence = Key::fence_of(key);
    let (number, retention) = (first.format(number), second.format(retention));
    let words = [key, &fence, token, news, number.as_bytes(), retention.as_bytes()];
    write(out, BURY.head(form), &words);
}

fn encode_release(out: &mut Vec<u8>, form: Form, request: Request<'_>) -> u8 {
    let Request { key, token, news, .. } = request;
    if mutant::is(Mutant::ReleaseWithoutCompare) {
        write(out, b"*2\r\n$3\r\nDEL\r\n", &[key]);
        return 1;
    }
    if let Form::Native(native) = form {
        return encode_native(out, native, key, token, news);
    }
    let news = news.map(News::to_text);
    let news = news.as_ref().map_or(&[][..], NewsText::as_bytes);
    write(out, RELEASE.head(form), &[key, token, news]);
    1
}

/// The release script's two steps, for a server that has the first as a command
/// of its own. It publishes even if nothing was deleted: a waiter learns what is
/// there when it tries.
fn encode_native(
    out: &mut Vec<u8>,
    native: Native,
    key: &[u8],
    token: &[u8],
    news: Option<News>,
) -> u8 {
    match native {
        Native::DelIfEq => write(out, b"*3\r\n$7\r\nDELIFEQ\r\n", &[key, token]),
        Native::DelEx => write(out, b"*4\r\n$5\r\nDELEX\r\n", &[key, b"IFEQ", token]),
    }
    if let Some(news) = news {
        let channel = [CHANNEL, key].concat();
        write(out, b"*3\r\n$7\r\nPUBLISH\r\n", &[&channel, news.to_text().as_bytes()]);
    }
    native_replies(news.is_some())
}

/// How many replies a release brings that goes as a server's own command.
fn native_replies(publishes: bool) -> u8 {
    if mutant::is(Mutant::NewsIsAnAnswer) {
        return 1;
    }
    if publishes { 2 } else { 1 }
}

/// Appends the words that a command has after those in `head`. This is written
/// by hand, since a library's encoder takes four to twenty times as many
/// instructions for it, up to half of all that a lock costs us.
fn write(out: &mut Vec<u8>, head: &[u8], words: &[&[u8]]) {
    out.extend_from_slice(head);
    for word in words {
        match (word.len(), u8::try_from(word.len()).unwrap_or(u8::MAX)) {
            (_, few @ 0..10) => out.extend_from_slice(&[b'$', b'0' + few, b'\r', b'\n']),
            (_, some @ 10..100) => {
                let (tens, ones) = (b'0' + some / 10, b'0' + some % 10);
                out.extend_from_slice(&[b'$', tens, ones, b'\r', b'\n']);
            }
            (many, _) => {
                out.push(b'$');
                out.extend_from_slice(itoa::Buffer::new().format(many).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_unfenced_acquire_is_the_plain_command_other_libraries_send() {
        let ttl = Ttl::from_duration(Duration::from_secs(30));
        let request = Request {
            ask: Ask::Set,
            key: b"k\0",
            token: b"t",
            ttl,
            news: None,
            fence: None,
            epoch: None,
        };
        let text =
            "*6\r\n$3\r\nSET\r\n$2\r\nk\0\r\n$1\r\nt\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n30000\r\n";
        let mut out = Vec::new();
        assert_eq!(encode(&mut out, Form::Short, request), 1);
        assert_eq!(out, text.as_bytes());
    }

    fn release(form: Form, news: Option<News>) -> (u8, String) {
        let mut out = Vec::new();
        let ttl = Ttl::from_duration(Duration::from_secs(30));
        let request = Request {
            ask: Ask::Release,
            key: b"k",
            token: b"t",
            ttl,
            news,
            fence: None,
            epoch: None,
        };
        let replies = encode(&mut out, form, request);
        let text = String::from_utf8(out).unwrap();
        (replies, text.lines().filter(|l| !l.starts_with(['*', '$'])).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_server_that_can_compare_and_delete_is_asked_to_and_told_the_news() {
        let news = Some(News { number: 255, age: 7 });
        let (delifeq, delex) = (Form::Native(Native::DelIfEq), Form::Native(Native::DelEx));
        assert_eq!(release(delifeq, None), (1, "DELIFEQ k t".into()));
        assert_eq!(release(delifeq, news), (2, "DELIFEQ k t PUBLISH redlock:k 255 7".into()));
        assert_eq!(release(delex, news), (2, "DELEX k IFEQ t PUBLISH redlock:k 255 7".into()));
        let by_hash = format!(
            "EVALSHA {} 1 k t 255 7",
            redis::Script::new(include_str!("release.lua")).get_hash()
        );
        assert_eq!(release(Form::Short, news), (1, by_hash));
    }

    #[test]
    fn a_look_is_one_or_two_commands_or_a_script() {
        let ttl = Ttl::from_duration(Duration::from_secs(30));
        for (ask, plain) in [(Ask::Value, 1), (Ask::Look, 2)] {
            let request =
                Request { ask, key: b"k", token: b"", ttl, news: None, fence: None, epoch: None };
            assert_eq!(encode(&mut Vec::new(), Form::Short, request), plain);
            let mut out = Vec::new();
            assert_eq!(encode(&mut out, Form::Whole, request), 1);
            assert!(out.starts_with(b"*4\r\n$4\r\nEVAL\r\n") && out.ends_with(b"$1\r\nk\r\n"));
        }
    }

    #[test]
    fn a_command_is_what_redis_rs_makes_of_it() {
        let long = [b'x'; 100_000];
        for len in [0, 1, 9, 10, 11, 99, 100, 255, 256, 1024, long.len()] {
            let words = [&b"SET"[..], &long[..len], b"\r\n\0\xff", b""];
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            write(&mut ours, b"*4\r\n", &words);
            redis::cmd("SET").arg(&words[1..]).write_packed_command(&mut theirs);
            assert_eq!(ours, theirs, "{len}");
        }
    }
}
