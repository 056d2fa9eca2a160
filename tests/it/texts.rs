//! Texts, each provoked by the state that it tells of, on real servers: what is so, and what to
//! do. What kept its own place: a login that is cut names its step in `cut`, what is at a key in
//! `at_key`, what servers refuse with in `unfit`, `cured` and `errors`.

use redlock_quorum::{ErrorKind, NodeErrorKind, Redlock, testing::Cluster};
use reqwest::header::CONTENT_TYPE;

use crate::{
    far,
    http_stand::{FORM, Served, send},
    program::command,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, builder, client, connect, everywhere, finish, ms, native, run_on,
        set_up, start, take_elsewhere, within,
    },
};

/// No duration has more digits than anyone reads.
fn is_read_at_a_glance(text: &str) {
    for run in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = run.chars().take_while(char::is_ascii_digit).count();
        let unit = run.get(digits..).unwrap_or_default();
        let is_duration = ["ms", "s", "min", "h", "ns"].contains(&unit);
        assert!(!is_duration || (1..=3).contains(&digits), "{run} in: {text}");
    }
}

#[tokio::test]
async fn a_node_that_owes_has_done_so_for_a_while_and_durations_have_two_or_three_digits() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(300)).build().unwrap();
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    everywhere(&guard, &cluster).await;
    for node in &cluster.nodes()[1..] {
        node.pause().await.unwrap();
    }
    let held = redlock.lock("job").wait(ms(50)).await.unwrap_err();
    let hung = guard.extend(2 * TTL).await.unwrap_err();
    assert!(hung.to_string().contains(": no answer in "), "{hung}");
    assert!(hung.to_string().contains("it stays held for 9min"), "{hung}");
    let owing = redlock.try_lock("other").await.unwrap_err();
    assert!(owing.to_string().contains(": not asked, it has owed an answer for "), "{owing}");
    let left = guard.ensure(TTL).unwrap_err();
    drop(guard);
    let closing = redlock.shutdown(ms(400));
    let closed = within(LIMIT, "the limit ends it", closing).await.unwrap_err();
    for error in [held, hung, owing, left, closed] {
        is_read_at_a_glance(&error.to_string());
    }
    for node in &cluster.nodes()[1..] {
        node.resume().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn nodes_that_have_answered_are_not_said_to_have_been_silent() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    set_up(cluster.nodes(), "CONFIG SET maxmemory 1").await;
    for error in [
        redlock.try_lock("job").await.unwrap_err(),
        redlock.lock("job").wait(ms(100)).await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("2 are needed, and too many could not vote ("), "{text}");
        assert!(text.contains(": is out of memory: raise maxmemory or free some (OOM"), "{text}");
    }
    finish(&redlock, &cluster).await;
}

/// A provider that keeps a command back says why, and what it allows instead. Here another command
/// bears the name of the one that is needed, which is an error without a code of its own.
#[tokio::test]
async fn a_server_that_refuses_a_lock_in_its_own_way_is_quoted() {
    for (needed, other) in [("SET", "GETSET"), ("EVAL", "ECHO")] {
        let renamed = ["--rename-command", needed, "hidden", "--rename-command", other, needed];
        let cluster = Cluster::builder().nodes(1).server_args(renamed).start().await.unwrap();
        if needed == "EVAL" && native(&cluster.nodes()[0]).await.is_some() {
            continue; // the server's own command does
        }
        let redlock = builder(&cluster).build().unwrap();
        let health = redlock.health().await.unwrap();
        let refused = redlock.try_lock("job").await.unwrap_err();
        for error in [health.nodes()[0].error().unwrap(), refused.nodes()[0].error().unwrap()] {
            let text = error.to_string();
            assert!(text.starts_with(&format!("answered an error (ERR to {needed} by ")), "{text}");
            assert!(text.contains("), in its words: wrong number of arguments for '"), "{text}");
        }
        redlock.shutdown(LIMIT).await.unwrap();
    }
}

/// To a server that has no password, every password is wrong, and so is the advice to look for
/// another one.
#[tokio::test]
async fn a_server_without_a_password_is_said_to_have_none() {
    let cluster = start(1).await;
    let told = async |login: &str| {
        let url = format!("redis://{login}{}", cluster.nodes()[0].address());
        let redlock =
            Redlock::builder().nodes([url]).ttl(TTL).node_timeout(NODE_TIMEOUT).build().unwrap();
        let error = redlock.try_lock("job").await.unwrap_err();
        let told = error.nodes()[0].error().unwrap().clone();
        assert_eq!(told.kind(), NodeErrorKind::AuthFailed, "{told}");
        told.to_string()
    };
    let without = "has no password: leave it out of the node's URL, or set one there (ERR to AUTH)";
    assert_eq!(told(":pa55@").await, without);
    let wrong = "refused the user or password in the node's URL (WRONGPASS to AUTH)";
    assert_eq!(told("somebody:pa55@").await, wrong);
}

#[tokio::test]
async fn a_lock_whose_keys_were_flushed_is_lost_because_they_are_gone() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    set_up(cluster.nodes(), "FLUSHALL").await;
    let error = guard.extend(TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    let text = error.to_string();
    assert!(text.contains("is lost: its key is gone from too many nodes"), "{text}");
    assert!(!text.contains("refused"), "nobody has refused anything: {text}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn each_node_has_a_latency_of_its_own() {
    let cluster = start(3).await;
    let delay = ms(40);
    let mut urls = cluster.urls();
    urls[2] = far::urls(&cluster, delay).await.swap_remove(2);
    let redlock = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(ms(5000)).build().unwrap();
    connect(&redlock, 3).await;
    let health = redlock.health().await.unwrap();
    let latencies: Vec<_> = health.nodes().iter().map(|node| node.latency().unwrap()).collect();
    assert!(latencies[2] >= 2 * delay, "it is that far: {latencies:?}");
    assert!(latencies[..2].iter().all(|near| *near != latencies[2]), "{latencies:?}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_key_is_shown_as_it_is_written() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let key = "über/größe-鍵";
    take_elsewhere(cluster.nodes(), key).await;
    let path = "/v1/locks/%C3%BCber%2Fgr%C3%B6%C3%9Fe-%E9%8D%B5";
    let answer = served.json("POST", path, "").await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let detail = answer.value()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with(&format!("lock `{key}` is held")), "{detail}");
    run_on(cluster.nodes(), &format!("DEL {key}")).await;
    finish(&served.redlock, &cluster).await;
}

/// curl calls whatever it sends a form, unless it is told otherwise.
#[tokio::test]
async fn json_that_is_sent_as_a_form_is_recognised() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    let json = r#"{"key":"job","ttl_ms":1000}"#;
    for path in ["/lock", "/unlock"] {
        let request = served.request("POST", path);
        let as_form = send(request.header(CONTENT_TYPE, FORM).body(json)).await;
        let as_nothing = send(served.request("POST", path).body(json)).await;
        for answer in [as_form, as_nothing] {
            assert!(!answer.body.contains("unknown field"), "{answer:?}");
            assert!(answer.body.contains("application/json"), "{answer:?}");
        }
    }
    finish(&served.redlock, &cluster).await;
}

/// What the program says and ends with.
fn refuses(flags: &[&str], nodes: &str) -> String {
    let output = command(flags, &[("REDLOCK_NODES", nodes)]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    said
}

#[test]
fn a_ttl_that_is_too_long_is_said_with_the_flag_that_limits_it() {
    for (flags, says) in [
        (&["--ttl", "2h"][..], "--ttl is 2h: it must be at most --max-ttl, which is 1h"),
        (&["--ttl", "2h", "--max-ttl", "90m"], "--ttl is 2h: it must be at most --max-ttl, which"),
        (&["--ttl", "1ms"], "the default ttl is 1ms: it must be from 10ms to 1h"),
        (&["--max-ttl", "90days"], "max_ttl is 90d: it must be from 10ms to 30d"),
    ] {
        let said = refuses(flags, "redis://127.0.0.1:1");
        assert!(said.contains(says), "{flags:?}: {said}");
        is_read_at_a_glance(&said);
    }
}

#[test]
fn what_a_password_must_not_have_as_it_is_is_said_with_what_to_write() {
    for (password, written) in
        [("s3/cret", "/ as %2F"), ("12#s3cret", "# as %23"), ("12?s3cret", "? as %3F")]
    {
        let said = refuses(&[], &format!("redis://:{password}@127.0.0.1:1"));
        assert!(said.contains(written) && !said.contains("cret"), "{said}");
    }
    for list in ["redis://:12,s3cret@127.0.0.1:1", "redis://:12 s3cret@127.0.0.1:1"] {
        let said = refuses(&[], list);
        assert!(said.contains("a comma as %2C and a blank as %20"), "{said}");
        assert!(!said.contains("cret"), "{said}");
    }
    for quoted in ["\"redis://127.0.0.1:1\"", "'redis://127.0.0.1:1,redis://127.0.0.1:2'"] {
        let said = refuses(&[], quoted);
        assert!(said.contains("quotes around the URL") && said.contains("remove them"), "{said}");
    }
}
