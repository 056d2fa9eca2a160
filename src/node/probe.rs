//! Whether a lock would work at a server: an acquire and a release of a reserved key,
//! which lives for a millisecond. It reads the replies, and sends nothing itself.

use super::{
    native::Native,
    resp::Reply,
    wire::{self, Form, Request},
};
use crate::{
    exchange::Ask,
    node_error::{NodeError, NodeErrorKind},
    protocol::Ttl,
};

/// All clients try with the same value, so that each can delete what another has left.
const TOKEN: &[u8] = b"redlock:probe";

/// How long the key lives, if nobody deletes it: the shortest life that a server knows.
const TTL: Ttl = Ttl::from_millis(1);

/// How many replies an acquire and a release bring.
pub(super) const REPLIES: u8 = 2;

/// The name of the reserved key, behind the keys' prefix. ACLs that allow the keys of
/// locks under the prefix allow this one.
pub(crate) const NAME: &[u8] = b"redlock:probe";

/// The reserved key under `prefix`.
pub(crate) fn key(prefix: &[u8]) -> Box<[u8]> {
    [prefix, NAME].concat().into()
}

/// Appends the acquire and the release of `key`, which goes by script, or by a command
/// of the server's own.
pub(super) fn encode(out: &mut Vec<u8>, key: &[u8], native: Option<Native>) {
    let request =
        |ask| Request { ask, key, token: TOKEN, ttl: TTL, news: None, fence: None, epoch: None };
    wire::encode(out, Form::Short, request(Ask::Set));
    wire::encode(out, native.map_or(Form::Whole, Form::Native), request(Ask::Release));
}

/// The name of the command that releases.
pub(super) fn release_command(native: Option<Native>) -> &'static str {
    native.map_or("EVAL", Native::name)
}

/// What an answer to the probe says.
#[derive(Debug)]
pub(super) enum Verdict {
    Works,
    /// Only the reserved key is forbidden, like this: the keys of locks may not be.
    Untold(NodeError),
    Refused(NodeError),
}

impl Verdict {
    /// The verdict on a release whose acquire has worked: the same key is forbidden for the
    /// release alone, as where an ACL lets a user write keys and not read them. So it is for
    /// locks.
    pub(super) fn of_release(self, was_set: bool) -> Self {
        match self {
            Self::Untold(error) if was_set => Self::Refused(error),
            verdict => verdict,
        }
    }
}

/// What was sent on a connection that a server's words may repeat.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent<'a> {
    /// This password, or none.
    Password(Option<&'a str>),
    Unknown,
}

/// What `reply` to this `command` of the probe says. Its words may be quoted in a login, where
/// it is known what was sent before it.
pub(super) fn judge(reply: &Reply<'_>, command: &'static str, sent: Sent<'_>) -> Verdict {
    match reply {
        Reply::Ok | Reply::Nil | Reply::Int(_) => Verdict::Works,
        Reply::Error(text) => match NodeError::from_reply(text) {
            error if error.is_of_the_key() => Verdict::Untold(error.to(command)),
            error => Verdict::Refused(match sent {
                Sent::Password(secret) => error.to(command).saying(text, secret),
                Sent::Unknown => error.to(command),
            }),
        },
        Reply::Bulk(_) | Reply::List(_) | Reply::Other => {
            Verdict::Refused(NodeError::new(NodeErrorKind::Protocol))
        }
    }
}

/// Whether a release that is refused like this will not be let through later, either: a lock
/// could be taken then, and not be given back.
pub(super) fn is_lasting(refusal: NodeErrorKind) -> bool {
    use NodeErrorKind as K;
    matches!(
        refusal,
        K::NotPermitted | K::Unsupported | K::Server | K::Protocol | K::Clustered | K::ReadOnly
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_forbidden_says_nothing_of_others_and_a_command_does() {
        for text in [
            "NOPERM No permissions to access a key",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "ERR The user executing the script can't access at least one of the keys mentioned",
            "ACL failure in script: No permissions to access a key",
        ] {
            assert!(
                matches!(judge(&Reply::Error(text), "SET", Sent::Unknown), Verdict::Untold(_)),
                "{text}"
            );
        }
        for (text, kind) in [
            (
                "NOPERM User locks has no permissions to run the 'set' command",
                NodeErrorKind::NotPermitted,
            ),
            ("ERR unknown command 'EVAL'", NodeErrorKind::Unsupported),
            ("OOM command not allowed", NodeErrorKind::OutOfMemory),
        ] {
            let Verdict::Refused(error) = judge(&Reply::Error(text), "SET", Sent::Unknown) else {
                panic!("{text}")
            };
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains("to SET)"), "{error}");
        }
        for (secret, repeats) in [("pa55", false), ("plan", true), ("", false)] {
            let text = "ERR this plan has no scripts";
            let Verdict::Refused(error) =
                judge(&Reply::Error(text), "EVAL", Sent::Password(Some(secret)))
            else {
                panic!("{text}")
            };
            let words = if repeats { "" } else { ", in its words: this plan has no scripts" };
            assert_eq!(error.to_string(), format!("answered an error (ERR to EVAL){words}"));
        }
        let text = Reply::Error("ERR no plan for pa55");
        let Verdict::Refused(error) = judge(&text, "SET", Sent::Unknown) else { panic!() };
        assert!(!error.to_string().contains("pa55"), "{error}");
        let another_tries_too = judge(&Reply::Nil, "SET", Sent::Unknown);
        assert!(matches!(another_tries_too, Verdict::Works));
    }
}
