//! From a server's error reply to what it means. The code decides, and the text is dropped: it may
//! echo what was sent.

use std::time::Duration;

use super::{More, NodeError, NodeErrorKind};
use crate::spelled::{Exact, Spelled};

/// The words of a server whose ACL stopped a script, up to Redis 7.0 and since
/// then; there is no code for it.
const SCRIPT_FORBIDDEN: [&str; 2] =
    ["The user executing the script can't", "ACL failure in script"];

/// The words of an ACL that forbids the key and not the command, in Redis 7 and later, in 6, and
/// in scripts; there is no code for it, either.
const KEY_FORBIDDEN: [&str; 2] = ["access a key", "one of the keys"];

/// The words of a server that is sent a password and has none, since Redis 6 and before; there is
/// no code for it.
const NO_PASSWORD: [&str; 2] =
    ["ERR AUTH <password> called without any password", "ERR Client sent AUTH, but no password"];

impl NodeError {
    /// Reads a server's error reply: the code decides, the text is dropped.
    pub(crate) fn from_reply(text: &str) -> Self {
        use NodeErrorKind as K;
        // Before Redis 7, an error inside a script came wrapped, once or twice, as
        // `ERR Error running script (..): @user_script:3: @user_script: 3: -READONLY ..`.
        let inner = text.rsplit_once("@user_script:").and_then(|(_, rest)| rest.split_once(": "));
        let text = inner.map_or(text, |(_, inner)| inner.trim_start_matches('-'));
        let code = text.split_ascii_whitespace().next().unwrap_or("");
        let kind = match code {
            "NOAUTH" => K::AuthRequired,
            "WRONGPASS" => K::AuthFailed,
            "NOPERM" => K::NotPermitted,
            "READONLY" => K::ReadOnly,
            "OOM" => K::OutOfMemory,
            "LOADING" => K::Loading,
            "BUSY" => K::ScriptBusy,
            "MISCONF" | "NOREPLICAS" | "MASTERDOWN" => K::WritesRefused,
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => K::Clustered,
            "WRONGTYPE" => K::ForeignKey,
            "DENIED" => K::Protected,
            "FENCE" => K::ForeignFence,
            "FUTURE" => K::ClockAhead,
            "QUARANTINE" => K::Quarantined,
            "MAXTTL" => K::OtherMaxTtl,
            "NODES" => K::OtherNodes,
            "NOINFO" => K::NotPermitted,
            "ERR" if text.starts_with("ERR max number of clients") => K::TooManyClients,
            "ERR" if text.starts_with("ERR unknown command") => K::Unsupported,
            // Redis's DELEX says WRONGTYPE like this.
            "ERR" if text.starts_with("ERR Key should be of string type") => K::ForeignKey,
            _ if SCRIPT_FORBIDDEN.iter().any(|words| text.contains(words)) => K::NotPermitted,
            _ => K::Server,
        };
        let is_code = !code.is_empty()
            && code.len() <= 32
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let is_of_the_key =
            kind == K::NotPermitted && KEY_FORBIDDEN.iter().any(|words| text.contains(words));
        let told = told(kind, text);
        let code = is_code.then(|| code.into());
        Self::with(kind, More { code, is_of_the_key, told, ..More::default() })
    }

    /// Reads the refusal of a login step: it means `kind` unless its code says
    /// something else.
    pub(crate) fn from_login(kind: NodeErrorKind, text: &str) -> Self {
        let error = Self::from_reply(text);
        if NO_PASSWORD.iter().any(|words| text.starts_with(words)) {
            return Self { kind, ..error.and(|more| more.has_no_password = true) };
        }
        if error.kind == NodeErrorKind::Server { Self { kind, ..error } } else { error }
    }
}

/// What a strict node tells besides why it refuses, which is a number or two.
fn told(kind: NodeErrorKind, text: &str) -> Option<Box<str>> {
    use NodeErrorKind as K;
    let (_, told) = text.split_once(' ')?;
    let span = || Some(Duration::from_millis(told.parse::<u32>().ok()?.into()));
    let words = match kind {
        K::Quarantined => format!("in {}", Spelled(span()?)),
        K::OtherMaxTtl => format!("there it is {}", Exact(span()?)),
        K::OtherNodes => {
            let (votes, nodes) = told.split_once('/')?;
            let (votes, nodes) = (votes.parse::<u8>().ok()?, nodes.parse::<u8>().ok()?);
            format!("there they are {votes} of {nodes}")
        }
        _ => return None,
    };
    Some(words.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strict_node_says_for_how_long_and_what_it_is_strict_for() {
        for (text, words) in [
            ("QUARANTINE 1500", "until that has ended, in 1.5s (QUARANTINE)"),
            ("MAXTTL 60000", "as docs/operations.md says, there it is 60s (MAXTTL)"),
            ("NODES 2/3", "as docs/operations.md says, there they are 2 of 3 (NODES)"),
        ] {
            let error = NodeError::from_reply(text).to_string();
            assert!(error.ends_with(words), "{error}");
        }
        let error = NodeError::from_reply("QUARANTINE s3cret").to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_servers_text_is_read_by_its_code_and_dropped() {
        for (text, kind) in [
            ("NOAUTH Authentication required.", NodeErrorKind::AuthRequired),
            ("OOM command not allowed when used memory > 'maxmemory'.", NodeErrorKind::OutOfMemory),
            ("ERR unknown command 'DELIFEQ', with args: 's3cret'", NodeErrorKind::Unsupported),
            (
                "ERR Error running script (call to f_6b1b): @user_script:3: @user_script: 3: \
                 -READONLY You can't write against a read only replica.",
                NodeErrorKind::ReadOnly,
            ),
            (
                "ERR Error running script (call to f_6b1b): @user_script:3: WRONGTYPE s3cret",
                NodeErrorKind::ForeignKey,
            ),
            (
                "ERR The user executing the script can't run this command or subcommand script: \
                 s3cret",
                NodeErrorKind::NotPermitted,
            ),
            (
                "ERR ACL failure in script: User s3cret has no permissions to run the 'del' \
                 command",
                NodeErrorKind::NotPermitted,
            ),
            ("ERR s3cret", NodeErrorKind::Server),
            ("s3cret", NodeErrorKind::Server),
            ("", NodeErrorKind::Server),
        ] {
            let error = NodeError::from_reply(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
