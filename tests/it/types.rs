//! What the types promise about threads: a change here breaks users.

use std::future::{Future, IntoFuture};

use redlock_quorum::{
    Acquire, Builder, Error, ErrorKind, LockGuard, LockParts, NodeAnswer, NodeError, NodeErrorKind,
    NodeReport, Redlock, Released, Token, Votes,
};

fn any_thread<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
fn cloned<T: Clone>() {}
fn an_error<T: std::error::Error + Send + Sync + 'static>() {}
fn sent<F: Future + Send>(_: F) {}

#[test]
fn every_type_goes_to_any_thread_and_can_be_printed() {
    any_thread::<Acquire>();
    any_thread::<Builder>();
    any_thread::<Error>();
    any_thread::<ErrorKind>();
    any_thread::<LockGuard>();
    any_thread::<LockParts>();
    any_thread::<NodeAnswer>();
    any_thread::<NodeError>();
    any_thread::<NodeErrorKind>();
    any_thread::<NodeReport>();
    any_thread::<Redlock>();
    any_thread::<Released>();
    any_thread::<Token>();
    any_thread::<Votes>();
}

#[test]
fn handles_and_answers_are_cloned_and_errors_are_errors() {
    cloned::<Acquire>();
    cloned::<LockParts>();
    cloned::<NodeAnswer>();
    cloned::<NodeError>();
    cloned::<NodeReport>();
    cloned::<Redlock>();
    cloned::<Token>();
    cloned::<Votes>();
    an_error::<Error>();
    an_error::<NodeError>();
}

#[test]
fn every_future_can_be_spawned() {
    fn spawnable<F: Future + Send + Unpin + 'static>() {}
    spawnable::<<Acquire as IntoFuture>::IntoFuture>();
    // Never called: that it compiles is the test.
    let _ = async |redlock: Redlock, guard: LockGuard| {
        sent(guard.extend(std::time::Duration::MAX));
        sent(guard.release());
        sent(redlock.shutdown(std::time::Duration::MAX));
    };
}
