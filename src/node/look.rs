//! The questions that change no lock: what is at a key, and whether a server serves.
//! Each is one command or two, or a script where a server withholds a command. Nothing
//! is concluded from the answers here.

use std::time::Duration;

use super::{
    hello::Hello,
    probe::{self, Sent, Verdict},
    resp::{self, Reply},
};
use crate::{
    exchange::{Answer, AtKey, Content, Epoch, Greeted, Life},
    node_error::{NodeError, NodeErrorKind},
    token::Token,
};

/// No ACL forbids it.
pub(super) const HELLO: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n";

/// A value is read up to this byte: no token is so long, and other values may be
/// of any length.
pub(super) const LONGEST: &[u8] = b"256";

/// Reads the reply to `HELLO`.
pub(super) fn greeted(reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::List(list) => Answer::Serves(Box::new(Hello::of(list).greeted())),
        // The server is too old to know the command: the next reply says more.
        Reply::Error(_) => Answer::Serves(Box::default()),
        _ => garbage(),
    }
}

/// Adds the reply to a `command` of the probe to what came before it.
pub(super) fn probed(so_far: Answer, reply: &Reply<'_>, command: &'static str) -> Answer {
    let Answer::Serves(greeted) = so_far else { return so_far };
    let was_set = command != "SET" && !greeted.untried;
    match probe::judge(reply, command, Sent::Unknown).of_release(was_set) {
        Verdict::Refused(error) => Answer::Failed(error),
        Verdict::Untold(_) => Answer::Serves(Box::new(Greeted { untried: true, ..*greeted })),
        Verdict::Works => Answer::Serves(greeted),
    }
}

/// Adds a strict node's epoch to what came before it.
pub(super) fn noted(so_far: Answer, reply: &Reply<'_>) -> Answer {
    let Answer::Serves(greeted) = so_far else { return so_far };
    let list = match reply {
        Reply::List(list) => list,
        Reply::Error(text) => return Answer::Failed(NodeError::from_reply(text).to("EVAL")),
        _ => return garbage(),
    };
    let Ok(Some((words, _))) = resp::decode_words::<3>(list) else { return garbage() };
    let [Ok(noted), Ok(process), Ok(now)] = words.map(str::from_utf8) else { return garbage() };
    let Ok(now) = now.parse() else { return garbage() };
    let epoch = Some(Epoch { noted: noted.into(), process: process.into(), now });
    Answer::Serves(Box::new(Greeted { epoch, ..*greeted }))
}

/// Reads the reply to `GETRANGE`. A missing key looks like an empty value.
pub(super) fn got(reply: &Reply<'_>) -> Answer {
    match reply {
        Reply::Nil | Reply::Bulk([]) => Answer::Free,
        Reply::Bulk(value) => taken(content(value), Life::Untold),
        Reply::Error(text) => match NodeError::from_reply(text) {
            error if error.kind() == NodeErrorKind::ForeignKey => {
                taken(Content::OtherType, Life::Untold)
            }
            error => Answer::Failed(error),
        },
        _ => garbage(),
    }
}

/// Reads what the script told that looks in place of both commands.
pub(super) fn told(reply: &Reply<'_>) -> Answer {
    let list = match reply {
        Reply::List(list) => list,
        Reply::Error(text) => return Answer::Failed(NodeError::from_reply(text)),
        _ => return garbage(),
    };
    let mut words = [&b""[..]; 4];
    let mut places = words.iter_mut();
    let walked = resp::walk(list, |word| {
        if let Some(place) = places.next() {
            *place = word;
        }
    });
    let [_, what, left, value] = words;
    let left = str::from_utf8(left).ok().and_then(|left| left.parse().ok());
    let (Ok(Some(_)), Some(left)) = (walked, left) else { return garbage() };
    let so_far = match what {
        b"none" => return Answer::Free,
        b"string" => taken(content(value), Life::Untold),
        b"other" => taken(Content::OtherType, Life::Untold),
        _ => return garbage(),
    };
    timed(so_far, &Reply::Int(left))
}

/// What a string is.
fn content(value: &[u8]) -> Content {
    if value.is_empty() {
        return Content::Empty;
    }
    Token::from_bytes(value).map_or(Content::Long, Content::Value)
}

/// Adds the reply to `PTTL` to what `GETRANGE` made of the answer. The key may
/// have expired in between; one that came in between is an empty value, at worst.
pub(super) fn timed(so_far: Answer, reply: &Reply<'_>) -> Answer {
    let content = match so_far {
        Answer::Free => Content::Empty,
        Answer::Taken(seen) => seen.content,
        failed => return failed,
    };
    match reply {
        Reply::Error(text) => Answer::Failed(NodeError::from_reply(text)),
        Reply::Int(-2) => Answer::Free,
        Reply::Int(-1) => taken(content, Life::Endless),
        Reply::Int(left) => {
            let left = Duration::from_millis(u64::try_from(*left).unwrap_or(0));
            taken(content, Life::Left(left))
        }
        _ => garbage(),
    }
}

fn taken(content: Content, life: Life) -> Answer {
    Answer::Taken(Box::new(AtKey { content, life }))
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
    fn a_key_is_free_or_taken_by_something_for_some_time() {
        let (left, gone) = (Reply::Int(1500), Reply::Int(-2));
        let life = Life::Left(Duration::from_millis(1500));
        let token = Content::Value(Token::from_bytes("token").unwrap());
        let long = [b'x'; 257];
        let wrong_type = Reply::Error("WRONGTYPE Operation against");
        for (reply, content) in [
            (Reply::Bulk(b"token"), token),
            (Reply::Bulk(b""), Content::Empty),
            (Reply::Bulk(&long), Content::Long),
            (wrong_type, Content::OtherType),
        ] {
            let found = |answer| match answer {
                Answer::Taken(seen) => Some((seen.content, seen.life)),
                _ => None,
            };
            assert_eq!(found(timed(got(&reply), &left)), Some((content.clone(), life)));
            assert_eq!(found(timed(got(&reply), &Reply::Int(-1))), Some((content, Life::Endless)));
            assert!(matches!(timed(got(&reply), &gone), Answer::Free));
        }
        let forbidden = Reply::Error("NOPERM no");
        for answer in [timed(got(&Reply::Bulk(b"t")), &forbidden), got(&forbidden)] {
            assert_eq!(kind(answer).unwrap_err(), NodeErrorKind::NotPermitted);
        }
        for answer in [got(&Reply::Ok), timed(Answer::Free, &Reply::Nil), greeted(&Reply::Ok)] {
            assert_eq!(kind(answer).unwrap_err(), NodeErrorKind::Protocol);
        }
    }

    #[test]
    fn a_script_tells_the_same_in_one_reply() {
        let tell = |what: &str, left: &str, value: &str| {
            let words = [what, left, value].map(|word| format!("${}\r\n{word}\r\n", word.len()));
            told(&Reply::List(format!("*3\r\n{}", words.concat()).as_bytes()))
        };
        let found = |answer| match answer {
            Answer::Taken(seen) => Some((seen.content, seen.life)),
            _ => None,
        };
        let life = Life::Left(Duration::from_millis(1500));
        let token = Content::Value(Token::from_bytes("token").unwrap());
        assert_eq!(found(tell("string", "1500", "token")), Some((token, life)));
        assert_eq!(found(tell("string", "-1", "")), Some((Content::Empty, Life::Endless)));
        assert_eq!(found(tell("string", "1500", &"x".repeat(257))), Some((Content::Long, life)));
        assert_eq!(found(tell("other", "1500", "")), Some((Content::OtherType, life)));
        assert!(matches!(tell("none", "-2", ""), Answer::Free));
        assert!(matches!(tell("string", "-2", "token"), Answer::Free), "it expired in between");
        for answer in [tell("what", "1", ""), tell("string", "x", ""), told(&Reply::Ok)] {
            assert_eq!(kind(answer).unwrap_err(), NodeErrorKind::Protocol);
        }
        let forbidden = told(&Reply::Error("NOPERM no 'eval' for you"));
        assert_eq!(kind(forbidden).unwrap_err(), NodeErrorKind::NotPermitted);
    }

    #[test]
    fn whoever_can_be_locked_and_released_serves() {
        let old = || greeted(&Reply::Error("ERR unknown command 'HELLO'"));
        for reply in [Reply::Ok, Reply::Nil, Reply::Error("NOPERM No permissions to access a key")]
        {
            let locked = probed(old(), &reply, "SET");
            assert!(matches!(locked, Answer::Serves(_)), "{reply:?}");
            assert!(matches!(probed(locked, &Reply::Int(0), "EVAL"), Answer::Serves(_)));
        }
        for (text, why) in [
            ("LOADING wait", NodeErrorKind::Loading),
            ("MISCONF disk", NodeErrorKind::WritesRefused),
            ("NOAUTH who", NodeErrorKind::AuthRequired),
        ] {
            let failed = probed(old(), &Reply::Error(text), "SET");
            assert_eq!(kind(probed(failed, &Reply::Int(0), "EVAL")).unwrap_err(), why);
        }
    }
}
