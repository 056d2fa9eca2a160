//! The two questions that change nothing: what is at a key, and whether a server
//! serves. Each is two commands. Nothing is concluded from the answers here.

use std::time::Duration;

use super::{native::Hello, resp::Reply};
use crate::{
    exchange::{Answer, Greeted, Role},
    node_error::{NodeError, NodeErrorKind},
    token::Token,
};

/// `HELLO` and `PING`. No ACL forbids the first; a server that can't serve
/// refuses the second.
pub(super) const GREET: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n*1\r\n$4\r\nPING\r\n";

/// A value is read up to this byte: no token is so long, and other values may be
/// of any length.
pub(super) const LONGEST: &[u8] = b"256";

impl Hello<'_> {
    fn to_greeted(&self) -> Greeted {
        let role = match self.role {
            b"master" => Some(Role::Master),
            b"replica" | b"slave" => Some(Role::Replica),
            _ => None,
        };
        let words = [self.server, self.version].map(String::from_utf8_lossy);
        let server = Some(words.join(" ").into()).filter(|_| !self.server.is_empty());
        Greeted { role, server, ..Greeted::default() }
    }
}

/// Reads the reply to `HELLO`.
pub(super) fn greeted(reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::List(list) => Answer::Serves(Box::new(Hello::of(list).to_greeted())),
        // The server is too old to know the command: the next reply says more.
        Reply::Error(_) => Answer::Serves(Box::default()),
        _ => garbage(),
    }
}

/// Adds the reply to `PING` to what `HELLO` made of the answer.
pub(super) fn pinged(so_far: Answer, reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::Other => so_far,
        Reply::Error(text) => match NodeError::from_reply(text) {
            // The server answers, though the ACL forbids this.
            error if error.kind() == NodeErrorKind::NotPermitted => so_far,
            error => Answer::Failed(error),
        },
        _ => garbage(),
    }
}

/// Reads the reply to `GETRANGE`. A missing key looks like an empty value.
pub(super) fn got(reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::Nil | Reply::Bulk([]) => Answer::Free,
        Reply::Bulk(value) => match Token::from_bytes(value) {
            Ok(token) => Answer::Taken(Box::new((token, Duration::ZERO))),
            Err(_) => Answer::Failed(NodeError::new(NodeErrorKind::ForeignKey)),
        },
        _ => garbage(),
    }
}

/// Adds the reply to `PTTL` to what `GETRANGE` made of the answer. The key may
/// have expired in between.
pub(super) fn timed(so_far: Answer, reply: &Reply<'_>) -> Answer {
    match (so_far, reply) {
        (failed @ Answer::Failed(_), _) => failed,
        (_, Reply::Error(text)) => Answer::Failed(NodeError::from_reply(text)),
        // The key never expires, so it is no lock.
        (_, Reply::Int(-1)) => Answer::Failed(NodeError::new(NodeErrorKind::ForeignKey)),
        // A key that came in between counts as not there, too.
        (_, Reply::Int(-2)) | (Answer::Free, Reply::Int(_)) => Answer::Free,
        (Answer::Taken(mut seen), Reply::Int(left)) => {
            seen.1 = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
            Answer::Taken(seen)
        }
        _ => garbage(),
    }
}

fn garbage() -> Answer {
    Answer::Failed(NodeError::new(NodeErrorKind::Protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(answer: Answer) -> Result<Answer, NodeErrorKind> {
        if let Answer::Failed(error) = answer { Err(error.kind()) } else { Ok(answer) }
    }

    #[test]
    fn a_key_is_taken_free_or_no_lock() {
        let taken = || got(&Reply::Bulk(b"token"));
        let left = timed(taken(), &Reply::Int(1500));
        assert!(matches!(left, Answer::Taken(seen) if seen.1 == Duration::from_millis(1500)));
        assert!(matches!(timed(taken(), &Reply::Int(-2)), Answer::Free));
        let nothing = || got(&Reply::Bulk(b""));
        assert!(matches!(timed(nothing(), &Reply::Int(-2)), Answer::Free));
        let long = got(&Reply::Bulk(&[b'x'; 257]));
        for answer in [timed(taken(), &Reply::Int(-1)), timed(nothing(), &Reply::Int(-1)), long] {
            assert_eq!(kind(answer).unwrap_err(), NodeErrorKind::ForeignKey);
        }
        let forbidden = Reply::Error("NOPERM no");
        assert_eq!(kind(timed(taken(), &forbidden)).unwrap_err(), NodeErrorKind::NotPermitted);
        for answer in [got(&Reply::Ok), timed(taken(), &Reply::Nil), greeted(&Reply::Ok)] {
            assert_eq!(kind(answer).unwrap_err(), NodeErrorKind::Protocol);
        }
    }

    #[test]
    fn who_answers_a_ping_or_only_forbids_it_serves() {
        let old = || greeted(&Reply::Error("ERR unknown command 'HELLO'"));
        for reply in [Reply::Other, Reply::Error("NOPERM no")] {
            assert!(matches!(pinged(old(), &reply), Answer::Serves(_)), "{reply:?}");
        }
        for (text, why) in [
            ("LOADING wait", NodeErrorKind::Loading),
            ("MISCONF disk", NodeErrorKind::WritesRefused),
            ("NOAUTH who", NodeErrorKind::AuthRequired),
        ] {
            assert_eq!(kind(pinged(old(), &Reply::Error(text))).unwrap_err(), why);
        }
    }
}
