//! The epoch that a strict node has noted, as a client reads it that only looks. What it says is
//! what an acquire would be told, and nothing is granted because of it: the scripts compare.

use crate::{exchange::Epoch, node_error::NodeError};

/// Whether `value` is an epoch, in quarantine or not.
pub(super) fn is_epoch(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| Noted::of(text).parts.is_some())
}

/// What an acquire would be told at a node with this `epoch`, where the client knows it as `strict`
/// besides its process.
pub(super) fn objection(epoch: &Epoch, strict: &str) -> Option<NodeError> {
    let refuse = |text: &str| Some(NodeError::from_reply(text));
    if epoch.process.is_empty() {
        return refuse("NOINFO").map(|error| error.to("INFO"));
    }
    let noted = Noted::of(&epoch.noted);
    let Some([id, max, database, size]) = noted.parts else { return refuse("QUARANTINE") };
    let ours: Vec<&str> = strict.split(':').collect();
    let [_, our_max, our_database, our_size] = ours[..] else { return None };
    if id != &*epoch.process || database != our_database {
        return refuse("QUARANTINE");
    }
    if max != our_max {
        return refuse(&format!("MAXTTL {max}"));
    }
    if size != our_size {
        return refuse(&format!("NODES {size}"));
    }
    let rest = noted.until?.saturating_sub(epoch.now);
    if rest == 0 { None } else { refuse(&format!("QUARANTINE {rest}")) }
}

/// An epoch, taken apart.
struct Noted<'a> {
    /// Until when nothing is granted, in milliseconds since 1970.
    until: Option<u64>,
    /// The process, the longest ttl, the database, and the quorum.
    parts: Option<[&'a str; 4]>,
}

impl<'a> Noted<'a> {
    fn of(text: &'a str) -> Self {
        let quarantine = text.strip_prefix("Q:").and_then(|rest| rest.split_once(':'));
        let (until, rest) = match quarantine {
            Some((until, rest)) => (until.parse().ok(), rest),
            None => (None, text),
        };
        let parts: Result<[&str; 4], _> = rest.split(':').collect::<Vec<_>>().try_into();
        let is_right = |parts: &[&str; 4]| {
            parts[0].bytes().all(|byte| byte.is_ascii_hexdigit())
                && parts[1..3].iter().all(|part| part.parse::<u64>().is_ok())
                && parts[3].contains('/')
        };
        Self { until, parts: parts.ok().filter(is_right) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeErrorKind as K;

    #[test]
    fn a_look_tells_what_an_acquire_would_be_told() {
        let ours = ":900000:0:2/3";
        let told = |noted: &str, process: &str| {
            let epoch = Epoch { noted: noted.into(), process: process.into(), now: 1000 };
            objection(&epoch, ours).map(|error| error.kind())
        };
        for (noted, kind) in [
            ("ab12:900000:0:2/3", None),
            ("Q:999:ab12:900000:0:2/3", None),
            ("Q:1001:ab12:900000:0:2/3", Some(K::Quarantined)),
            ("", Some(K::Quarantined)),
            ("cd34:900000:0:2/3", Some(K::Quarantined)),
            ("ab12:900000:1:2/3", Some(K::Quarantined)),
            ("ab12:1000:0:2/3", Some(K::OtherMaxTtl)),
            ("ab12:900000:0:3/5", Some(K::OtherNodes)),
            ("junk", Some(K::Quarantined)),
        ] {
            assert_eq!(told(noted, "ab12"), kind, "{noted}");
        }
        assert_eq!(told("ab12:900000:0:2/3", ""), Some(K::NotPermitted), "it may not use INFO");
    }

    #[test]
    fn an_epoch_is_told_from_what_else_may_be_there() {
        assert!(is_epoch(b"ab12:900000:0:2/3") && is_epoch(b"Q:17:ab12:900000:0:2/3"));
        for other in [&b""[..], b"a:b:c:d", b"ab12:900000:0", b"\xff:1:0:2/3"] {
            assert!(!is_epoch(other), "{other:?}");
        }
    }
}
