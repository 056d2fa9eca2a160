//! What a server's replies mean as an answer to the question that was put to it. It reads
//! replies that were taken apart already, and does not know what an answer means for a lock.

use super::{look, probe, resp::Reply, wire::Form};
use crate::{
    exchange::{Answer, Ask, Process},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
};

/// What `reply`, the first to `ask`, means.
#[inline]
pub(super) fn interpret(ask: Ask, form: Form, reply: &Reply<'_>) -> Answer {
    match (ask, reply) {
        // Nearly all replies are these two, so they take the short way.
        (Ask::Set, Reply::Ok) | (Ask::Release, Reply::Int(1)) => Answer::Granted,
        _ => interpret_rare(ask, form, reply),
    }
}

/// What a strict node says that is another process than the client believes, before its name.
const OTHER_SERVER: &str = "EPOCH ";

/// What any other reply means.
#[inline(never)]
fn interpret_rare(ask: Ask, form: Form, reply: &Reply<'_>) -> Answer {
    match (ask, reply) {
        (_, Reply::Error(text)) if text.starts_with("NOSCRIPT") => Answer::NoScript,
        (_, Reply::Error(text)) if ask.needs_epoch() && text.starts_with(OTHER_SERVER) => {
            let id = text.get(OTHER_SERVER.len()..).unwrap_or_default();
            match id.bytes().all(|byte| byte.is_ascii_hexdigit()) && (1..=64).contains(&id.len()) {
                true => Answer::OtherServer(Box::new(Process { id: id.into() })),
                false => Answer::Failed(NodeError::new(NodeErrorKind::Protocol)),
            }
        }
        (Ask::Greet, _) if form == Form::Whole => {
            look::probed(Answer::Serves(Box::default()), reply, "SET")
        }
        (Ask::Greet, _) => look::greeted(reply),
        (Ask::Value | Ask::Look, _) if form == Form::Whole => look::told(reply),
        (Ask::Value | Ask::Look, Reply::Error(text)) if is_withheld(text) => Answer::NoScript,
        (Ask::Value | Ask::Look, _) => look::got(reply),
        (_, Reply::Error(text)) => {
            let error = NodeError::from_reply(text);
            let is_info = error.code() == Some("NOINFO");
            let error = error.to(if is_info { "INFO" } else { command(ask, form) });
            match form {
                Form::Native(_) if is_for_scripts(error.kind()) => Answer::NoScript,
                _ => Answer::Failed(error),
            }
        }
        (Ask::Extend, _) => interpret_extend(reply),
        (Ask::Heal, Reply::Int(1 | 2)) => Answer::Granted,
        (Ask::SetFenced, Reply::Int(code)) => interpret_fenced(*code),
        (Ask::ExtendFenced | Ask::HandOver, Reply::Int(1)) => Answer::Granted,
        (Ask::ExtendFenced | Ask::HandOver, Reply::Int(0 | -1)) => Answer::Refused,
        (Ask::HandOver, Reply::Int(fence @ 2..)) => Answer::Stale(fence.unsigned_abs()),
        (Ask::Bury | Ask::Bootstrap, Reply::Int(1)) => Answer::Granted,
        (Ask::Bootstrap, Reply::Int(0)) => Answer::Refused,
        (Ask::Release | Ask::Bury, Reply::Int(2)) => Answer::NotPublished,
        (Ask::Set, Reply::Nil) | (Ask::Heal | Ask::Release | Ask::Bury, Reply::Int(0 | -1)) => {
            Answer::Refused
        }
        _ => Answer::Failed(NodeError::new(NodeErrorKind::Protocol)),
    }
}

/// The fence is told as it is, or as one more below zero where another's value is at the lock.
fn interpret_fenced(code: i64) -> Answer {
    match code {
        0 => Answer::Granted,
        stale @ 1.. => Answer::Stale(stale.unsigned_abs()),
        locked => Answer::Locked(locked.unsigned_abs() - 1),
    }
}

fn interpret_extend(reply: &Reply<'_>) -> Answer {
    if mutant::is(Mutant::ExtendWithoutCompare) {
        return Answer::Granted;
    }
    match reply {
        Reply::Int(code) if is_extended(*code) => Answer::Granted,
        Reply::Int(0 | -1) => Answer::Refused,
        _ => Answer::Failed(NodeError::new(NodeErrorKind::Protocol)),
    }
}

/// Whether the script found the key to be ours, which a missing key is not.
fn is_extended(code: i64) -> bool {
    if mutant::is(Mutant::MissingKeyIsAVote) {
        return matches!(code, 0 | 1);
    }
    if mutant::is(Mutant::HealedCounts) {
        return matches!(code, 1 | 2);
    }
    code == 1
}

/// Whether a server that refuses its own command for this reason may still carry
/// out the script. The script only reads where there is nothing to delete, as in
/// most rollbacks, and access rules older than the command allow it.
fn is_for_scripts(refusal: NodeErrorKind) -> bool {
    use NodeErrorKind as K;
    matches!(refusal, K::NotPermitted | K::Unsupported | K::ReadOnly | K::WritesRefused)
}

/// Whether a server that refuses `GETRANGE` with this `text` may still let a script
/// look: the least ACL has no grant for it.
fn is_withheld(text: &str) -> bool {
    use NodeErrorKind as K;
    matches!(NodeError::from_reply(text).kind(), K::NotPermitted | K::Unsupported)
}

/// The name of the first command that puts a question.
fn command(ask: Ask, form: Form) -> &'static str {
    match (ask, form) {
        (Ask::Set, _) => "SET",
        (_, Form::Native(native)) => native.name(),
        (Ask::Value | Ask::Look, Form::Short) => "GETRANGE",
        (Ask::Greet, Form::Short) => "HELLO",
        (_, Form::Whole) => "EVAL",
        (
            Ask::Extend
            | Ask::Heal
            | Ask::Release
            | Ask::Bury
            | Ask::SetFenced
            | Ask::ExtendFenced
            | Ask::HandOver
            | Ask::Bootstrap,
            Form::Short,
        ) => "EVALSHA",
    }
}

/// The answer to a question of several commands: `so_far` is what the replies before made it,
/// and `reply` is the one after `taken` others.
pub(super) fn interpret_next(
    ask: Ask,
    form: Form,
    taken: u8,
    so_far: Answer,
    reply: &Reply<'_>,
) -> Answer {
    match ask {
        Ask::Greet => match taken + u8::from(form == Form::Whole) {
            1 => look::probed(so_far, reply, "SET"),
            2 => look::probed(so_far, reply, probe::release_command(form.native())),
            _ => look::noted(so_far, reply),
        },
        Ask::Look => look::timed(so_far, reply),
        _ => interpret_published(so_far, reply),
    }
}

/// The answer to a release whose `PUBLISH` was answered by `reply`.
fn interpret_published(released: Answer, reply: &Reply<'_>) -> Answer {
    match (released, reply) {
        (Answer::Granted, Reply::Error(text)) if !NodeError::from_reply(text).is_transient() => {
            Answer::NotPublished
        }
        (released, Reply::Int(_) | Reply::Error(_)) => released,
        _ => Answer::Failed(NodeError::new(NodeErrorKind::Protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::native::Native;

    #[test]
    fn a_look_that_a_server_does_not_let_us_have_is_asked_for_by_script() {
        for ask in [Ask::Value, Ask::Look] {
            for text in ["NOPERM no 'getrange' for you", "ERR unknown command 'GETRANGE'"] {
                let reply = Reply::Error(text);
                let first = interpret(ask, Form::Short, &reply);
                assert!(matches!(first, Answer::NoScript), "{text}");
                let second = interpret_next(Ask::Look, Form::Short, 1, first, &Reply::Int(5));
                assert!(matches!(second, Answer::NoScript), "{text}");
                let by_script = interpret(ask, Form::Whole, &reply);
                assert!(matches!(by_script, Answer::Failed(_)), "{text}");
            }
        }
    }

    #[test]
    fn what_a_server_does_not_let_us_use_is_asked_for_by_script() {
        let native = Form::Native(Native::DelIfEq);
        for text in [
            "NOPERM no 'delifeq' for you",
            "ERR unknown command 'DELIFEQ'",
            "READONLY You can't write",
            "NOREPLICAS Not enough",
        ] {
            let reply = Reply::Error(text);
            assert!(matches!(interpret(Ask::Release, native, &reply), Answer::NoScript), "{text}");
            let by_script = interpret(Ask::Release, Form::Whole, &reply);
            assert!(matches!(by_script, Answer::Failed(_)), "{text}");
        }
        for text in ["WRONGTYPE Operation against", "ERR Key should be of string type if"] {
            let answer = interpret(Ask::Release, native, &Reply::Error(text));
            let Answer::Failed(error) = answer else { panic!("{text}: {answer:?}") };
            assert_eq!(error.kind(), NodeErrorKind::ForeignKey, "{text}");
        }
    }

    #[test]
    fn the_reply_to_the_news_changes_nothing_but_whether_it_was_published() {
        use Answer as A;
        let (published, forbidden) = (Reply::Int(3), Reply::Error("NOPERM no channel"));
        let busy = Reply::Error("BUSY a script");
        assert!(matches!(interpret_published(A::Granted, &published), A::Granted));
        assert!(matches!(interpret_published(A::Granted, &forbidden), A::NotPublished));
        assert!(matches!(interpret_published(A::Granted, &busy), A::Granted));
        assert!(matches!(interpret_published(A::Refused, &forbidden), A::Refused));
        assert!(matches!(interpret_published(A::NoScript, &forbidden), A::NoScript));
        assert!(matches!(interpret_published(A::Granted, &Reply::Ok), A::Failed(_)));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_vote() {
        for ask in [
            Ask::Set,
            Ask::Extend,
            Ask::Heal,
            Ask::Release,
            Ask::Value,
            Ask::SetFenced,
            Ask::ExtendFenced,
            Ask::HandOver,
            Ask::Bury,
        ] {
            for reply in [Reply::Other, Reply::Error("ERR ?"), Reply::Error("")] {
                let answer = interpret(ask, Form::Short, &reply);
                let Answer::Failed(error) = answer else { panic!("{ask:?} {reply:?}: {answer:?}") };
                assert!(!error.surely_had_no_effect(), "{ask:?} {reply:?}");
            }
        }
    }
}
