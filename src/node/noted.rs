//! The epoch that a strict node has noted, as a client reads it that only looks. What it says is
//! what an acquire would be told, and nothing is granted because of it: the scripts compare.

use crate::node_error::NodeError;

/// Whether `value` is an epoch, in quarantine or not.
pub(super) fn is_epoch(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| Noted::of(text).parts.is_some())
}

/// What an acquire would be told at a node that has noted `found`, said by its clock `now`, where
/// the client knows it as this `process` and as `strict` for the rest.
pub(super) fn objection(
    found: Option<&str>,
    now: Option<u64>,
    process: Option<&str>,
    strict: &str,
) -> Option<NodeError> {
    let refuse = |text: &str| Some(NodeError::from_reply(text));
    let noted = Noted::of(found.unwrap_or_default());
    let Some([id, max, database, size]) = noted.parts else { return refuse("QUARANTINE") };
    let is_its_own = process.is_none_or(|process| process == id);
    let ours: Vec<&str> = strict.split(':').collect();
    let [_, our_max, our_database, our_size] = ours[..] else { return None };
    if !is_its_own || database != our_database {
        return refuse("QUARANTINE");
    }
    if max != our_max {
        return refuse(&format!("MAXTTL {max}"));
    }
    if size != our_size {
        return refuse(&format!("NODES {size}"));
    }
    let rest = noted.until?.saturating_sub(now.unwrap_or(0));
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
        for (found, kind) in [
            (Some("ab12:900000:0:2/3"), None),
            (Some("Q:999:ab12:900000:0:2/3"), None),
            (Some("Q:1001:ab12:900000:0:2/3"), Some(K::Quarantined)),
            (None, Some(K::Quarantined)),
            (Some("cd34:900000:0:2/3"), Some(K::Quarantined)),
            (Some("ab12:900000:1:2/3"), Some(K::Quarantined)),
            (Some("ab12:1000:0:2/3"), Some(K::OtherMaxTtl)),
            (Some("ab12:900000:0:3/5"), Some(K::OtherNodes)),
            (Some("junk"), Some(K::Quarantined)),
        ] {
            let told = objection(found, Some(1000), Some("ab12"), ours);
            assert_eq!(told.map(|error| error.kind()), kind, "{found:?}");
        }
        let told = objection(Some("ab12:900000:0:2/3"), None, None, ours);
        assert!(told.is_none(), "a server that says not which process it is: {told:?}");
    }

    #[test]
    fn an_epoch_is_told_from_what_else_may_be_there() {
        assert!(is_epoch(b"ab12:900000:0:2/3") && is_epoch(b"Q:17:ab12:900000:0:2/3"));
        for other in [&b""[..], b"a:b:c:d", b"ab12:900000:0", b"\xff:1:0:2/3"] {
            assert!(!is_epoch(other), "{other:?}");
        }
    }
}
