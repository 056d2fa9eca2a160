use std::time::Duration;

use super::Store;
use super::command::Script;
use crate::testing::Reply;

fn store() -> Store {
    Store::new(Duration::ZERO, "0".repeat(40))
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// `SET`s and other words as a user would type them, at a time of our own.
fn run(store: &mut Store, millis: u64, line: &str) -> Reply {
    let args: Vec<&str> = line.split(' ').collect();
    store.execute(at(millis), &args)
}

fn eval(store: &mut Store, millis: u64, script: Script, rest: &[&str]) -> Reply {
    let args: Vec<&str> =
        ["EVAL", script.text(), "1"].into_iter().chain(rest.iter().copied()).collect();
    store.execute(at(millis), &args)
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn set_nx_leaves_what_is_there() {
    let store = &mut store();
    assert_eq!(run(store, 0, "set k a Nx pX 100"), Reply::ok());
    assert_eq!(run(store, 0, "SET k b PX 100 NX"), Reply::Nil);
    assert_eq!(run(store, 0, "GET k"), bulk("a"));
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
fn release_deletes_its_own_only() {
    let store = &mut store();
    run(store, 0, "SET k mine PX 100");
    let other = eval(store, 1, Script::Release, &["k", "other"]);
    assert_eq!(other, Reply::Int(-1));
    let mine = eval(store, 1, Script::Release, &["k", "mine"]);
    assert_eq!(mine, Reply::Int(1));
    let again = eval(store, 1, Script::Release, &["k", "mine"]);
    assert_eq!(again, Reply::Int(0));
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
    let gone = eval(store, 500, Script::Extend, &["k", "mine", "900"]);
    assert_eq!(gone, Reply::Int(0));
}

#[test]
fn a_script_is_unknown_by_hash_until_its_text_was_seen() {
    let store = &mut store();
    let by_hash = format!("EVALSHA {} 1 k t", Script::Release.hash().to_uppercase());
    let unknown = run(store, 0, &by_hash);
    assert!(unknown.as_error().unwrap().starts_with("NOSCRIPT "));
    assert_eq!(eval(store, 0, Script::Release, &["k", "t"]), Reply::Int(0));
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
        ("SELECT 3", "ERR in-memory node: only database 0"),
        ("HELLO 3", "ERR unknown command 'HELLO', with args beginning with: '3' "),
    ] {
        let reply = run(store, 0, line);
        assert_eq!(reply, Reply::error(refusal), "{line}");
    }
    assert_eq!(run(store, 0, "DBSIZE"), Reply::Int(0));
}
