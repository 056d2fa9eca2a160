//! A master with one key, as far as locks see it.

use super::world::Sent;
use crate::{
    exchange::{Answer, Ask, AtKey, Content, Life},
    mutant::{self, Mutant},
    protocol::Moment,
    token::Token,
};

/// The only key of a node: a value, and until when it lives.
pub(super) type Store = Option<(Vec<u8>, Moment)>;

/// What a master does with a number, and answers; the fence is zero where there is none.
pub(super) fn execute_fenced(
    store: &mut Store,
    fence: &mut u64,
    sent: &Sent,
    now: Moment,
) -> Answer {
    let value = store.take_if(|(_, until)| now < *until);
    let is_ours = value.as_ref().is_some_and(|(token, _)| *token == sent.token);
    let is_same = sent.number == *fence && mutant::is(Mutant::HealsWithTheSameNumber);
    let passes = sent.number > *fence || is_same;
    let until = value.as_ref().map_or(Moment::PAST, |(_, until)| *until);
    let ours = || Some((sent.token.clone(), until.max(now.after(sent.ttl))));
    let (left, raised, answer) = match (sent.ticket.ask, value) {
        (Ask::Bury, Some(_)) if is_ours => (None, passes, Answer::Granted),
        (Ask::Bury, value) => (value, passes, Answer::Refused),
        (Ask::SetFenced, Some(other)) if !is_ours => (Some(other), false, Answer::Locked(*fence)),
        (Ask::SetFenced | Ask::HandOver, value)
            if !passes && (is_ours || sent.ticket.ask == Ask::SetFenced) =>
        {
            (value, false, Answer::Stale(*fence))
        }
        (Ask::SetFenced, None) => (ours(), true, Answer::Granted),
        (Ask::SetFenced, own) => (own, true, Answer::Granted),
        (_, Some(_)) if is_ours => (ours(), passes, Answer::Granted),
        (_, value) => (value, false, Answer::Refused),
    };
    *store = left;
    if raised {
        *fence = sent.number;
    }
    answer
}

/// What stands for a value that is no string.
pub(super) const HASH: &[u8] = b"a hash";

/// What a master does, and answers.
pub(super) fn execute(store: &mut Store, sent: &Sent, now: Moment) -> Answer {
    let value = store.take_if(|(_, until)| now < *until);
    let is_ours = value.as_ref().is_some_and(|(token, _)| *token == sent.token);
    let lives_until = now.after(sent.ttl);
    let ours = || Some((sent.token.clone(), lives_until));
    let (left, answer) = match (sent.ticket.ask, value) {
        (Ask::Set | Ask::Heal, None) => (ours(), Answer::Granted),
        (Ask::Extend | Ask::Heal, Some((token, until))) if is_ours => {
            (Some((token, until.max(lives_until))), Answer::Granted)
        }
        (Ask::Release, Some(_)) if is_ours => (None, Answer::Granted),
        (Ask::Value | Ask::Look, None) => (None, Answer::Free),
        // As a server's GETRANGE has it.
        (Ask::Value, Some((token, until))) if token.is_empty() => {
            (Some((token, until)), Answer::Free)
        }
        (Ask::Value | Ask::Look, Some((token, until))) => {
            let content = match Token::from_bytes(&token) {
                _ if token == HASH => Content::OtherType,
                Ok(value) => Content::Value(value),
                Err(_) => Content::Empty,
            };
            let life = Life::Left(until.since(now));
            (Some((token, until)), Answer::Taken(Box::new(AtKey { content, life })))
        }
        (_, value) => (value, Answer::Refused),
    };
    *store = left;
    answer
}
