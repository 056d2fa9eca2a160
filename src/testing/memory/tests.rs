use std::time::Duration;

use super::{
    flavor::Flavor,
    script::Script,
    store::{Outcome, Store},
};
use crate::testing::Reply;

fn store() -> Store {
    Store::new(Duration::ZERO, Duration::from_secs(1_800_000_000), "0".repeat(40))
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a command as a user would type it, at the time `millis`.
fn run(store: &mut Store, millis: u64, line: &str) -> Reply {
    only(store.execute(0, at(millis), &words(line)))
}

/// Runs a command on one of several connections.
fn run_on(store: &mut Store, conn: u64, line: &str) -> Outcome {
    store.execute(conn, at(0), &words(line))
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn eval(store: &mut Store, millis: u64, script: Script, rest: &[&str]) -> Reply {
    only(store.execute(0, at(millis), &call(script, rest)))
}

fn call<'a>(script: Script, rest: &[&'a str]) -> Vec<&'a str> {
    ["EVAL", script.text(), "1"].into_iter().chain(rest.iter().copied()).collect()
}

fn only(mut outcome: Outcome) -> Reply {
    assert_eq!(outcome.replies.len(), 1, "{outcome:?}");
    assert_eq!(outcome.messages, []);
    outcome.replies.remove(0)
}

#[test]
fn set_nx_leaves_what_is_there() {
    let store = &mut store();
    assert_eq!(run(store, 0, "set k a Nx pX 100"), Reply::ok());
    assert_eq!(run(store, 0, "SET k b PX 100 NX"), Reply::Nil);
    assert_eq!(run(store, 0, "GET k"), Reply::bulk("a"));
    assert_eq!(run(store, 0, "SET k b"), Reply::ok());
    assert_eq!(run(store, 0, "PTTL k"), Reply::Int(-1));
}

#[test]
fn a_key_is_gone_at_its_time_and_not_before() {
    let store = &mut store();
    assert_eq!(run(store, 1000, "SET k a NX PX 100"), Reply::ok());
    assert_eq!(run(store, 1099, "PTTL k"), Reply::Int(1));
    assert_eq!(run(store, 1099, "DBSIZE"), Reply::Int(1));
    assert_eq!(run(store, 1100, "PTTL k"), Reply::Int(-2));
    assert_eq!(run(store, 1100, "DBSIZE"), Reply::Int(0));
    assert_eq!(run(store, 1100, "SET k b NX PX 100"), Reply::ok());
}

#[test]
fn a_key_that_was_seen_to_be_gone_does_not_come_back_with_the_clock() {
    for look in ["GET k", "GETRANGE k 0 1", "PTTL k", "EXISTS k", "DEL k", "DBSIZE", "KEYS *"] {
        let store = &mut store();
        assert_eq!(run(store, 1000, "SET k a PX 100"), Reply::ok());
        run(store, 1100, look);
        assert_eq!(run(store, 1000, "GET k"), Reply::Nil, "{look}");
    }
}

#[test]
fn release_deletes_its_own_only() {
    let store = &mut store();
    run(store, 0, "SET k mine PX 100");
    let other = eval(store, 1, Script::Release, &["k", "other", ""]);
    assert_eq!(other, Reply::Int(-1));
    let mine = eval(store, 1, Script::Release, &["k", "mine", ""]);
    assert_eq!(mine, Reply::Int(1));
    let again = eval(store, 1, Script::Release, &["k", "mine", ""]);
    assert_eq!(again, Reply::Int(0));
}

#[test]
fn what_compares_and_deletes_without_a_script_deletes_its_own_only() {
    for (flavor, has, lacks) in [
        (Flavor::Valkey, "DELIFEQ k ", "DELEX k IFEQ "),
        (Flavor::Redis, "delex k ifeq ", "DELIFEQ k "),
    ] {
        let store = &mut store();
        store.set_flavor(flavor);
        run(store, 0, "SET k mine PX 100");
        let unknown = run(store, 1, &(lacks.to_owned() + "mine"));
        assert!(unknown.as_error().unwrap().starts_with("ERR unknown command"), "{unknown:?}");
        assert_eq!(run(store, 1, &(has.to_owned() + "other")), Reply::Int(0));
        assert_eq!(run(store, 1, &(has.to_owned() + "mine")), Reply::Int(1));
        assert_eq!(run(store, 1, &(has.to_owned() + "mine")), Reply::Int(0));
    }
    let store = &mut store();
    store.set_flavor(Flavor::Forbidding);
    assert!(run(store, 0, "DELIFEQ k mine").as_error().unwrap().starts_with("NOPERM "));
}

#[test]
fn a_greeting_is_answered_by_what_it_takes_itself_for() {
    let store = &mut store();
    for (flavor, server, version) in
        [(Flavor::Valkey, "valkey", "9.0.0"), (Flavor::Old, "redis", "7.0.0")]
    {
        store.set_flavor(flavor);
        let Reply::Array(said) = run(store, 0, "HELLO 2") else { panic!("no list") };
        let words = ["server", server, "version", version].map(Reply::bulk);
        assert_eq!(said[..4], words);
        assert_eq!(said.len(), 14);
    }
    assert!(run(store, 0, "HELLO 3").as_error().unwrap().starts_with("NOPROTO "));
}

#[test]
fn a_release_tells_those_who_listen() {
    let store = &mut store();
    run_on(store, 1, "SUBSCRIBE redlock:k");
    run_on(store, 2, "SUBSCRIBE other redlock:k");
    run_on(store, 3, "SUBSCRIBE other");
    let release = |store: &mut Store, token: &str, payload: &str| {
        store.execute(0, at(0), &call(Script::Release, &["k", token, payload]))
    };
    run(store, 0, "SET k mine PX 100");
    assert_eq!(release(store, "other", "gone").messages, [], "nothing was released");
    let released = release(store, "mine", "gone");
    assert_eq!(released.replies, [Reply::Int(1)]);
    let told = message("redlock:k", "gone");
    assert_eq!(released.messages, [(1, told.clone()), (2, told.clone())]);
    let again = release(store, "mine", "gone");
    assert_eq!(again.replies, [Reply::Int(0)], "it was gone already");
    assert_eq!(again.messages, [(1, told.clone()), (2, told)], "and the key is free all the same");

    run(store, 0, "SET k mine PX 100");
    let quiet = release(store, "mine", "");
    assert_eq!((quiet.replies, quiet.messages), (vec![Reply::Int(1)], vec![]));
}

#[test]
fn a_release_that_may_tell_nobody_says_so_and_releases() {
    let store = &mut store();
    run_on(store, 1, "SUBSCRIBE redlock:k");
    run(store, 0, "SET k mine PX 100");
    store.restrict(false, true);
    assert_eq!(eval(store, 0, Script::Release, &["k", "mine", "gone"]), Reply::Int(2));
    assert_eq!(run(store, 0, "GET k"), Reply::Nil);
    let refused = run(store, 0, "PUBLISH redlock:k gone");
    assert!(refused.as_error().unwrap().starts_with("NOPERM "));
    let refused = only(run_on(store, 2, "SUBSCRIBE redlock:k"));
    assert!(refused.as_error().unwrap().starts_with("NOPERM "));

    store.restrict(false, false);
    run(store, 0, "SET k mine PX 100");
    let without = eval(store, 0, Script::Release, &["k", "mine"]);
    assert_eq!(without, Reply::Int(2), "as a server takes a PUBLISH of nothing");
    assert_eq!(run(store, 0, "GET k"), Reply::Nil);
}

#[test]
fn extend_lengthens_and_never_shortens() {
    let store = &mut store();
    run(store, 0, "SET k mine PX 100");
    let ours = Reply::Int(1);
    assert_eq!(eval(store, 0, Script::Extend, &["k", "mine", "500"]), ours);
    assert_eq!(run(store, 0, "PTTL k"), Reply::Int(500));
    assert_eq!(eval(store, 10, Script::Extend, &["k", "mine", "20"]), ours);
    assert_eq!(run(store, 10, "PTTL k"), Reply::Int(490));
    let other = eval(store, 10, Script::Extend, &["k", "other", "900"]);
    assert_eq!(other, Reply::Int(-1));
    for gone in [&["k", "mine", "900"][..], &["k", "mine", "900", "0"]] {
        assert_eq!(eval(store, 500, Script::Extend, gone), Reply::Int(0));
    }
}

#[test]
fn extend_sets_what_is_gone_again_where_asked_to() {
    let store = &mut store();
    let heal = ["k", "mine", "900", "1"];
    assert_eq!(eval(store, 0, Script::Extend, &heal), Reply::Int(2));
    assert_eq!(run(store, 0, "GET k"), Reply::bulk("mine"));
    assert_eq!(run(store, 0, "PTTL k"), Reply::Int(900));
    assert_eq!(eval(store, 400, Script::Extend, &heal), Reply::Int(1));
    assert_eq!(run(store, 400, "PTTL k"), Reply::Int(900));
    let other = eval(store, 400, Script::Extend, &["k", "other", "900", "1"]);
    assert_eq!(other, Reply::Int(-1));

    let never = eval(store, 1300, Script::Extend, &["k", "mine", "0", "1"]);
    assert_eq!(never, Reply::error("ERR invalid expire time in 'set' command"));
    store.restrict(true, false);
    let full = eval(store, 1300, Script::Extend, &heal);
    assert!(full.as_error().unwrap().starts_with("OOM "));
    assert_eq!(run(store, 1300, "DBSIZE"), Reply::Int(0));
}

#[test]
fn what_is_published_reaches_those_who_are_subscribed() {
    let store = &mut store();
    let two = run_on(store, 1, "SUBSCRIBE a b").replies;
    assert_eq!(two, [confirmed("subscribe", "a", 1), confirmed("subscribe", "b", 2)]);
    let again = run_on(store, 1, "subscribe a").replies;
    assert_eq!(again, [confirmed("subscribe", "a", 2)]);
    run_on(store, 2, "SUBSCRIBE b");

    let published = run_on(store, 3, "PUBLISH b x");
    assert_eq!(published.replies, [Reply::Int(2)]);
    assert_eq!(published.messages, [(1, message("b", "x")), (2, message("b", "x"))]);
    assert_eq!(run(store, 0, "PUBLISH nobody x"), Reply::Int(0));

    let one = run_on(store, 1, "UNSUBSCRIBE b nobody").replies;
    assert_eq!(one, [confirmed("unsubscribe", "b", 1), confirmed("unsubscribe", "nobody", 1)]);
    assert_eq!(run_on(store, 3, "PUBLISH b x").messages, [(2, message("b", "x"))]);
    store.hang_up(2);
    assert_eq!(run(store, 0, "PUBLISH b x"), Reply::Int(0));
}

#[test]
fn a_subscribed_connection_does_nothing_else() {
    let store = &mut store();
    run_on(store, 1, "SUBSCRIBE a");
    let pong = |text| Reply::Array(vec![Reply::bulk("pong"), Reply::bulk(text)]);
    assert_eq!(only(run_on(store, 1, "PING")), pong(""));
    assert_eq!(only(run_on(store, 1, "PING x")), pong("x"));
    for (line, name) in [("Get k", "get"), ("PUBLISH a x", "publish"), ("CLIENT ID", "client|id")] {
        let expected = format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        );
        assert_eq!(only(run_on(store, 1, line)), Reply::Error(expected));
    }
    let unknown = only(run_on(store, 1, "NOSUCH k"));
    assert!(unknown.as_error().unwrap().starts_with("ERR unknown command"));

    let left = run_on(store, 1, "UNSUBSCRIBE").replies;
    assert_eq!(left, [confirmed("unsubscribe", "a", 0)]);
    assert_eq!(only(run_on(store, 1, "PING")), Reply::Status("PONG".to_owned()));
    let nothing = Reply::Array(vec![Reply::bulk("unsubscribe"), Reply::Nil, Reply::Int(0)]);
    assert_eq!(only(run_on(store, 1, "UNSUBSCRIBE")), nothing);
    assert_eq!(only(run_on(store, 1, "GET k")), Reply::Nil);
}

fn message(channel: &str, payload: &str) -> Reply {
    Reply::Array(vec![Reply::bulk("message"), Reply::bulk(channel), Reply::bulk(payload)])
}

fn confirmed(kind: &str, channel: &str, left: i64) -> Reply {
    Reply::Array(vec![Reply::bulk(kind), Reply::bulk(channel), Reply::Int(left)])
}

#[test]
fn a_script_is_unknown_by_hash_until_its_text_was_seen() {
    let store = &mut store();
    let by_hash = format!("EVALSHA {} 1 k t gone", Script::Release.hash().to_uppercase());
    let unknown = run(store, 0, &by_hash);
    assert!(unknown.as_error().unwrap().starts_with("NOSCRIPT "));
    assert_eq!(eval(store, 0, Script::Release, &["k", "t", ""]), Reply::Int(0));
    assert_eq!(run(store, 0, &by_hash), Reply::Int(0));
    assert_eq!(run(store, 0, "SCRIPT FLUSH"), Reply::ok());
    assert_eq!(run(store, 0, &by_hash), unknown);
}

#[test]
fn what_it_cannot_do_it_refuses() {
    let store = &mut store();
    for (line, refusal) in [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("SET k v XX", "ERR syntax error"),
        ("SET k v PX", "ERR syntax error"),
        ("SET k v PX 0", "ERR invalid expire time in 'set' command"),
        ("SET k v PX 1.5", "ERR value is not an integer or out of range"),
        ("EVAL text one k t", "ERR value is not an integer or out of range"),
        ("EVAL text 1 k t", "ERR in-memory node: only the lock scripts"),
        ("SUBSCRIBE", "ERR wrong number of arguments for 'subscribe' command"),
        ("PUBLISH a", "ERR wrong number of arguments for 'publish' command"),
        ("SELECT 3", "ERR in-memory node: only database 0"),
        ("HELLO 2 SETNAME x", "ERR in-memory node: HELLO takes a version only"),
        ("DELIFEQ k", "ERR wrong number of arguments for 'delifeq' command"),
    ] {
        let reply = run(store, 0, line);
        assert_eq!(reply, Reply::error(refusal), "{line}");
    }
    assert_eq!(run(store, 0, "DBSIZE"), Reply::Int(0));
}
