//! Whatever is at a lock's key, acquire, inspect and the HTTP service say the same of it,
//! and who waits gets the lock when it has gone.

use std::time::Duration;

use redlock_quorum::{
    Error, ErrorKind, NodeAnswer, NodeErrorKind, Redlock,
    inspect::{State, What},
    testing::{Cluster, TestNode},
};
use serde_json::{Value, json};

use crate::{
    http_stand::{Answer, Served},
    support::{
        LIMIT, builder, connect, finish, got, kinds, listening, ms, run, set_up, start, wait_for,
        within,
    },
};

/// A client asks and looks twice within this time, unless the machine is busy.
const SEEN_WITHIN: Duration = ms(500);

/// The node timeout where a single attempt must have looked twice within it.
const INSISTS: Duration = ms(1500);

/// How long the key lives that a test puts there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    /// As a lock may: within the client's longest ttl.
    Left,
    /// As after a server's clock was set back.
    Beyond,
    Endless,
}

/// One thing that may be at a key.
#[derive(Debug)]
struct Case {
    /// The command that puts it there, whose last word may be the empty string.
    command: Vec<String>,
    life: Life,
    state: State,
    what: What,
    /// What the error's text says of it.
    said: &'static str,
}

fn case(command: &str, life: Life, state: State, what: What, said: &'static str) -> Case {
    let command = command.split(' ').map(|word| word.replace("''", "")).collect();
    Case { command, life, state, what, said }
}

fn cases() -> Vec<Case> {
    use {Life as L, State as S, What as W};
    let long = format!("SET job {}", "x".repeat(300));
    vec![
        case("SET job s3cret", L::Left, S::Held, W::Value, "held"),
        case("SET job s3cret", L::Endless, S::Held, W::Value, "never expires"),
        case("SET job s3cret", L::Beyond, S::Held, W::Value, "clock set back"),
        case("SET job ''", L::Left, S::Blocked, W::Empty, "an empty string"),
        case("SET job ''", L::Endless, S::Blocked, W::Empty, "an empty string"),
        case("HSET job client:1 1", L::Left, S::Blocked, W::OtherType, "a hash, a list"),
        case("RPUSH job element", L::Endless, S::Blocked, W::OtherType, "never expires"),
        case(&long, L::Left, S::Blocked, W::Long, "too long for a token"),
    ]
}

impl Case {
    async fn put(&self, nodes: &[TestNode]) {
        for node in nodes {
            let reply = node.command(&self.command).await.unwrap();
            assert!(!matches!(reply, redlock_quorum::testing::Reply::Error(_)), "{reply:?}");
        }
        match self.life {
            Life::Left => set_up(nodes, "PEXPIRE job 500000").await,
            Life::Beyond => set_up(nodes, "PEXPIRE job 7200000").await,
            Life::Endless => {}
        }
    }

    fn is_foreign(&self) -> bool {
        self.state == State::Blocked
    }

    /// What is told of the key's life.
    fn lives(&self, left: Option<Duration>) -> bool {
        match (self.life, left) {
            (Life::Left, Some(left)) => left <= ms(500_000) && left > ms(300_000),
            (Life::Beyond, Some(left)) => left <= ms(7_200_000) && left > ms(7_000_000),
            (Life::Endless, left) => left.is_none(),
            _ => false,
        }
    }

    fn is_said_in(&self, text: &str) {
        assert!(text.contains(self.said), "{self:?}: {text}");
        let is_plain = self.life == Life::Left && !self.is_foreign();
        assert_eq!(text.contains("DEL it"), !is_plain, "the cure: {text}");
        assert!(!text.contains("s3cret") && !text.contains("xxx"), "no value: {text}");
    }

    fn is_what_refused(&self, error: &Error) {
        self.is_said_in(&error.to_string());
        match self.life {
            Life::Left => assert!(self.lives(error.retry_after()), "{self:?}: {error}"),
            Life::Beyond | Life::Endless => assert_eq!(error.retry_after(), None, "{error}"),
        }
        let foreign = kinds(error);
        assert_eq!(!foreign.is_empty(), self.is_foreign(), "{self:?}: {error}");
        assert!(foreign.iter().all(|kind| *kind == NodeErrorKind::ForeignKey), "{error}");
    }

    /// What a waiter is told at last. On a slow machine it takes longer to be sure.
    async fn is_waited_for(&self, redlock: &Redlock) -> Error {
        let mut wait = SEEN_WITHIN;
        loop {
            let waiting = redlock.lock("job").wait(wait).into_future();
            let error = within(LIMIT, "the wait has an end", waiting).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{self:?}: {error}");
            let is_sure = self.life != Life::Left || self.lives(error.retry_after());
            if wait > LIMIT / 4 || is_sure && error.to_string().contains(self.said) {
                return error;
            }
            wait *= 2;
        }
    }

    async fn is_what_the_library_meets(&self, served: &Served, taken: usize) {
        let redlock = &served.redlock;
        let error = redlock.try_lock("job").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contended, "{self:?}: {error}");
        self.is_what_refused(&error);
        let error = self.is_waited_for(redlock).await;
        self.is_what_refused(&error);

        let found = redlock.inspect("job").await.unwrap();
        assert_eq!(found.state(), self.state, "{self:?}: {found:?}");
        assert_eq!(found.is_held(), self.state == State::Held);
        if found.is_held() {
            let left = Some(found.remaining()).filter(|left| *left < Duration::MAX);
            assert!(self.lives(left), "{self:?}: {found:?}");
        } else {
            assert_eq!((found.votes(), found.remaining()), (0, Duration::ZERO), "{found:?}");
        }
        let keys: Vec<_> = found.keys().filter_map(|(_, key)| key.unwrap()).collect();
        assert_eq!(keys.len(), taken, "{self:?}: {found:?}");
        for key in keys {
            assert_eq!(key.what(), self.what);
            assert!(self.lives(key.remaining()), "{self:?}: {found:?}");
        }
        assert_eq!(found.nodes().filter(|(_, left)| left.unwrap().is_some()).count(), taken);
    }

    async fn is_what_the_service_tells(&self, served: &Served, taken: usize) {
        let refused = served.json("POST", "/v1/locks/job", "{}").await;
        assert_eq!(refused.status, 409, "{self:?}: {refused:?}");
        let problem = refused.value();
        self.is_said_in(problem["detail"].as_str().unwrap());
        assert_eq!(refused.retry_after().is_some(), self.life == Life::Left, "{refused:?}");
        assert!(self.is_life_of(&problem, "retry_after_ms"), "{refused:?}");
        let old = served.form("/lock", "key=job").await;
        assert_eq!((old.status, old.retry_after().is_some()), (409, self.life == Life::Left));

        let seen: Answer = served.get("/v1/locks/job").await;
        let value = seen.value();
        let is_held = self.state == State::Held;
        assert_eq!(
            (&value["state"], &value["held"]),
            (&json!(self.state.as_str()), &json!(is_held))
        );
        let answer = if is_held { "held" } else { "taken" };
        let nodes = value["nodes"].as_array().unwrap().iter();
        let nodes: Vec<_> = nodes.filter(|node| node["answer"] != "free").collect();
        assert_eq!(nodes.len(), taken, "{seen:?}");
        for node in nodes {
            assert_eq!(
                (&node["answer"], &node["what"]),
                (&json!(answer), &json!(self.what.as_str()))
            );
            assert_eq!(node["never_expires"] == true, self.life == Life::Endless, "{seen:?}");
            assert!(self.lives(millis(node, "remaining_ms")), "{seen:?}");
        }
        if is_held {
            assert!(self.lives(millis(&value, "remaining_ms")), "{seen:?}");
        } else {
            assert_eq!(value["remaining_ms"], 0, "{seen:?}");
        }
        assert!(!seen.body.contains("s3cret") && !seen.body.contains("xxx"), "{seen:?}");
    }

    /// A refusal says how long the key lives where it ends as a lock does.
    fn is_life_of(&self, value: &Value, field: &str) -> bool {
        let left = millis(value, field);
        if self.life == Life::Left { self.lives(left) } else { left.is_none() }
    }
}

fn millis(value: &Value, field: &str) -> Option<Duration> {
    value.get(field).and_then(Value::as_u64).map(Duration::from_millis)
}

async fn on(cluster: &Cluster, served: &Served, nodes: &[TestNode]) {
    for case in cases() {
        case.put(nodes).await;
        case.is_what_the_library_meets(served, nodes.len()).await;
        case.is_what_the_service_tells(served, nodes.len()).await;

        let waiting = wait_for(&served.redlock, "job");
        listening(cluster.nodes(), "job").await;
        assert!(!waiting.is_finished(), "{case:?}");
        set_up(nodes, "DEL job").await;
        // Nobody publishes that, and the key would have lived for minutes.
        got(waiting).await.release().await.unwrap();
        assert!(!served.redlock.inspect("job").await.unwrap().is_held(), "{case:?}");
    }
}

#[tokio::test]
async fn what_is_at_the_key_on_all_nodes_is_named_and_waited_for() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    on(&cluster, &served, cluster.nodes()).await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_at_the_key_on_a_majority_is_named_and_waited_for() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    on(&cluster, &served, &cluster.nodes()[1..]).await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_at_the_key_on_a_minority_keeps_nobody_out() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let taken = &cluster.nodes()[..1];
    for case in cases() {
        case.put(taken).await;
        let found = served.redlock.inspect("job").await.unwrap();
        assert_eq!(found.state(), State::Free, "{case:?}: {found:?}");
        assert_eq!(served.get("/v1/locks/job").await.value()["state"], "free");
        served.redlock.try_lock("job").await.unwrap().release().await.unwrap();
        assert_ne!(run(&taken[0], "EXISTS job").await.as_int(), Some(0), "not ours to delete");
        set_up(taken, "DEL job").await;
    }
    finish(&served.redlock, &cluster).await;
}

/// Two things that are no votes keep everyone out, also where the third node has one.
#[tokio::test]
async fn things_that_differ_keep_everyone_out_together() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let nodes = cluster.nodes();
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let [hash, endless, vote] = order.map(|place| &nodes[place..=place]);
        set_up(hash, "HSET job client:1 1").await;
        set_up(endless, "SET job s3cret").await;
        set_up(vote, "SET job third PX 500000").await;
        let found = served.redlock.inspect("job").await.unwrap();
        assert_eq!(found.state(), State::Blocked, "{order:?}: {found:?}");
        let error = served.redlock.try_lock("job").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
        assert!(error.to_string().contains("a hash, a list"), "{order:?}: {error}");
        let waiting = wait_for(&served.redlock, "job");
        listening(nodes, "job").await;
        set_up(nodes, "DEL job").await;
        got(waiting).await.release().await.unwrap();
    }
    finish(&served.redlock, &cluster).await;
}

/// A key on one node, which is in nobody's way, and a node that is down: nobody can get the
/// lock, though nobody has it. Whoever tries is told of both.
#[tokio::test]
async fn a_leftover_beside_a_node_that_is_down_is_told_as_what_it_is() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(INSISTS).build().unwrap();
    connect(&redlock, 3).await;
    let nodes = cluster.nodes();
    nodes[2].kill().await.unwrap();
    let cases =
        [(0, "PX 500000", "2 are needed"), (0, "", "never expires"), (1, "", "never expires")];
    for (place, life, said) in cases {
        set_up(&nodes[..2], "DEL job").await;
        set_up(&nodes[place..=place], format!("SET job left {life}").trim_end()).await;
        let error = redlock.try_lock("job").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
        let text = error.to_string();
        let what = "has others' values on 1 of 3 nodes, which did not change, and 1 gave no answer";
        assert!(text.contains(what) && text.contains(said), "{text}");
        assert!(text.contains("1 of 3 nodes granted it"), "{text}");
        let [left, free, down] = [place, 1 - place, 2].map(|node| &error.nodes()[node]);
        assert!(matches!(left.answer(), NodeAnswer::Refused { .. }), "{left}");
        assert!(matches!(free.answer(), NodeAnswer::Granted), "{free}");
        assert!(matches!(down.answer(), NodeAnswer::Failed(_)), "{down}");
        assert_eq!(error.retry_after(), Some(INSISTS), "until whoever insists gives up");
        let waiting = redlock.lock("job").wait(ms(300)).into_future();
        let error = within(LIMIT, "the wait has an end", waiting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(!error.to_string().contains("held by another"), "nobody holds it: {error}");
    }
    set_up(&nodes[..2], "DEL job").await;
    redlock.lock("job").wait(LIMIT).await.unwrap().release().await.unwrap();
    nodes[2].restart().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// A node that refuses to log us in was not asked what it has, and says nothing about a holder.
#[tokio::test]
async fn a_leftover_beside_a_node_that_wants_a_password_is_no_holders() {
    let cluster = start(3).await;
    let mut urls: Vec<String> = cluster.urls();
    urls[2] = urls[2].replace("redis://", "redis://:wrong@");
    let redlock = Redlock::builder().nodes(urls).node_timeout(INSISTS).build().unwrap();
    connect(&redlock, 2).await;
    let nodes = cluster.nodes();
    set_up(&nodes[..1], "SET job left PX 500000").await;
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    let text = error.to_string();
    assert!(text.contains("which did not change") && text.contains("gave no answer"), "{text}");
    assert_eq!(error.retry_after(), Some(INSISTS), "until whoever insists gives up");
    set_up(&nodes[..1], "DEL job").await;
    redlock.try_lock("job").await.unwrap().release().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// Values that differ, and never expire, are no votes that anyone will give back.
#[tokio::test]
async fn values_that_differ_and_never_expire_are_named() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    for (node, value) in cluster.nodes().chunks(1).zip(["one", "two", "three"]) {
        set_up(node, &format!("SET job {value}")).await;
    }
    let found = served.redlock.inspect("job").await.unwrap();
    assert_eq!(found.state(), State::Blocked, "{found:?}");
    let error = served.redlock.try_lock("job").await.unwrap_err().to_string();
    assert!(error.contains("can't be had, a value that never expires is at its key"), "{error}");
    assert!(error.contains("DEL it"), "{error}");
    set_up(cluster.nodes(), "DEL job").await;
    finish(&served.redlock, &cluster).await;
}
