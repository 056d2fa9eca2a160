//! Looking at keys and nodes: what is seen is what is there, nothing is changed,
//! and what can't be known is not said.

use std::time::Duration;

use futures_util::FutureExt as _;
use redlock_quorum::{
    ErrorKind, NodeErrorKind, Redlock,
    inspect::{NodeKey, Role, State, What},
};

use crate::permissions::ENOUGH;
use crate::support::{
    LIMIT, NODE_TIMEOUT, TTL, asked, builder, client, connect, eventually, everywhere, finish, ms,
    run, set_up, start, take_elsewhere, within,
};

#[tokio::test]
async fn a_lock_is_seen_as_it_is_held_extended_and_released() {
    let cluster = start(5).await;
    let redlock = builder(&cluster).key_prefix("app:").build().unwrap();
    let free = redlock.inspect("k").await.unwrap();
    assert_eq!((free.is_held(), free.votes(), free.needed()), (false, 0, 3));
    assert!(free.remaining().is_zero());
    assert_eq!(free.state(), State::Free);
    assert!(free.nodes().all(|(_, left)| left.unwrap().is_none()));

    let guard = redlock.lock("k").await.unwrap();
    everywhere(&guard, &cluster).await;
    let before = asked(&cluster).await;
    let held = redlock.inspect("k").await.unwrap();
    assert_eq!((held.is_held(), held.votes(), held.state()), (true, 5, State::Held));
    assert!(held.remaining() <= TTL && held.remaining() > TTL - LIMIT, "{held:?}");
    for ((address, left), node) in held.nodes().zip(cluster.nodes()) {
        assert_eq!(address, node.address());
        assert!(left.unwrap().is_some_and(|left| left <= TTL), "{held:?}");
    }
    assert_eq!(asked(&cluster).await, before, "looking changes nothing");

    guard.release().await.unwrap();
    eventually("it is free", async || {
        let seen = redlock.inspect("k").await.unwrap();
        if seen.votes() == 0 { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(redlock.inspect("").await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_no_quorum_agrees_on_is_not_held() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    let nodes = cluster.nodes();
    for (node, (value, millis)) in
        nodes.iter().zip([("a", 100_000), ("a", 200_000), ("b", 300_000), ("b", 400_000)])
    {
        assert!(run(node, &format!("SET k {value} PX {millis}")).await.is_ok());
    }
    let split = redlock.inspect("k").await.unwrap();
    assert_eq!((split.is_held(), split.votes()), (false, 2), "{split:?}");
    assert!(split.remaining().is_zero());
    assert_eq!(split.state(), State::Contested, "{split:?}");

    set_up(&nodes[4..], "SET k b PX 350000").await;
    let held = redlock.inspect("k").await.unwrap();
    assert_eq!((held.is_held(), held.votes()), (true, 3));
    // Until the first of the three that it takes is gone.
    assert!(held.remaining() <= ms(300_000) && held.remaining() > ms(200_000), "{held:?}");

    // What never ends may be a lock, and what is no string, or too long for a token, is none.
    set_up(&nodes[3..4], "SET k b").await;
    set_up(&nodes[4..], "DEL k").await;
    set_up(&nodes[4..], "RPUSH k b").await;
    let large = "x".repeat(100_000);
    run(&nodes[2], &format!("SET k {large} PX 300000")).await;
    let foreign = redlock.inspect("k").await.unwrap();
    assert_eq!((foreign.is_held(), foreign.votes()), (false, 2), "{foreign:?}");
    assert_eq!(foreign.state(), State::Blocked, "{foreign:?}");
    let keys: Vec<_> = foreign.keys().map(|(_, key)| key.unwrap().unwrap()).collect();
    let whats: Vec<_> = keys.iter().map(NodeKey::what).collect();
    assert_eq!(whats, [What::Value, What::Value, What::Long, What::Value, What::OtherType]);
    let endless: Vec<_> = keys.iter().map(|key| key.remaining().is_none()).collect();
    assert_eq!(endless, [false, false, false, true, true]);
    let lives: Vec<_> = foreign.nodes().map(|(_, left)| left.unwrap().unwrap()).collect();
    assert!(lives[..3].iter().all(|left| *left <= ms(300_000)), "{lives:?}");
    assert_eq!(lives[3..], [Duration::MAX; 2]);
}

#[tokio::test]
async fn with_nodes_silent_only_what_is_certain_is_said() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    connect(&redlock, 5).await;
    take_elsewhere(&cluster.nodes()[..3], "held").await;
    take_elsewhere(&cluster.nodes()[..1], "unclear").await;
    for node in &cluster.nodes()[3..] {
        node.kill().await.unwrap();
    }
    let held = redlock.inspect("held").await.unwrap();
    assert_eq!((held.is_held(), held.votes()), (true, 3));
    assert!(held.nodes().skip(3).all(|(_, left)| left.is_err()));
    assert!(!redlock.inspect("free").await.unwrap().is_held());
    // One has it, and two that are silent would make it three.
    let unclear = redlock.inspect("unclear").await.unwrap_err();
    assert_eq!(unclear.kind(), ErrorKind::NoQuorum);
    assert!(unclear.to_string().contains("can't be told"), "{unclear}");
    assert!(unclear.to_string().contains(&cluster.nodes()[4].address()), "{unclear}");
}

#[tokio::test]
async fn health_tells_who_serves_and_why_others_do_not() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    let nodes = cluster.nodes();
    let health = redlock.health().await.unwrap();
    assert_eq!((health.able(), health.needed(), health.has_quorum()), (5, 3, true));
    for (seen, node) in health.nodes().iter().zip(nodes) {
        assert_eq!(seen.address(), node.address());
        assert_eq!((seen.role(), seen.is_able()), (Some(Role::Master), true));
        assert!(seen.server().unwrap().contains(char::is_numeric), "{seen:?}");
        assert!(seen.latency().is_some_and(|took| took < NODE_TIMEOUT) && seen.error().is_none());
    }

    set_up(&nodes[..1], "REPLICAOF 127.0.0.1 1").await;
    nodes[1].kill().await.unwrap();
    // What was asked before its end was noticed is lost with its connection first.
    let health = eventually("the dead one is known", async || {
        let health = redlock.health().await.unwrap();
        let dead = health.nodes()[1].error().map(|error| error.kind());
        if dead == Some(NodeErrorKind::Unreachable) { Ok(health) } else { Err(health) }
    })
    .await;
    assert_eq!(health.able(), 3);
    assert_eq!(health.nodes()[0].role(), Some(Role::Replica));
    assert_eq!(health.nodes()[0].error().unwrap().kind(), NodeErrorKind::ReadOnly);
    assert!(!health.nodes()[0].is_able());
    assert!(health.has_quorum());

    nodes[2].kill().await.unwrap();
    set_up(&nodes[..1], "REPLICAOF NO ONE").await;
    nodes[1].restart().await.unwrap();
    eventually("the others are back", async || {
        let health = redlock.health().await.unwrap();
        let able: Vec<_> = health.nodes().iter().map(|node| node.is_able()).collect();
        if able == [true, true, false, true, true] { Ok(()) } else { Err(able) }
    })
    .await;
}

#[tokio::test]
async fn a_hung_node_costs_a_look_one_node_timeout_and_the_next_nothing() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(1500)).build().unwrap();
    connect(&redlock, 3).await;
    cluster.nodes()[0].pause().await.unwrap();
    for why in [NodeErrorKind::Timeout, NodeErrorKind::Owing] {
        let looking = within(NODE_TIMEOUT, "health", redlock.health());
        let health = looking.await.unwrap();
        assert_eq!(health.nodes()[0].error().unwrap().kind(), why);
        assert_eq!((health.able(), health.has_quorum()), (2, true));
    }
    assert!(!redlock.inspect("k").await.unwrap().is_held());
    cluster.nodes()[0].resume().await.unwrap();
    eventually("it is well again", async || {
        let health = redlock.health().await.unwrap();
        if health.able() == 3 { Ok(()) } else { Err(health) }
    })
    .await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_with_the_least_acl_sees_health_and_one_who_can_release_nothing_is_told() {
    let cluster = start(1).await;
    let nodes = cluster.nodes();
    let url = cluster.urls()[0].replace("redis://", "redis://locker:pw@");
    let redlock = || {
        Redlock::builder()
            .nodes([url.clone()])
            .key_prefix("app:")
            .node_timeout(NODE_TIMEOUT)
            .build()
            .unwrap()
    };
    set_up(nodes, &format!("ACL SETUSER locker on >pw {ENOUGH}")).await;
    let health = redlock().health().await.unwrap();
    assert!(health.has_quorum(), "{health:?}");
    assert_eq!(health.nodes()[0].role(), Some(Role::Master));

    set_up(nodes, "ACL SETUSER locker reset on >pw ~* +set").await;
    let redlock = redlock();
    let health = redlock.health().await.unwrap();
    let error = health.nodes()[0].error().unwrap();
    assert_eq!((health.able(), error.kind()), (0, NodeErrorKind::NotPermitted), "{error}");
    assert!(error.to_string().contains("NOPERM to EVAL by"), "{error}");
    let refused = redlock.inspect("k").await.unwrap_err();
    assert_eq!(refused.nodes()[0].error().unwrap().kind(), NodeErrorKind::NotPermitted);
}

/// Each look has two replies, and comes between requests that have one.
#[tokio::test]
async fn looks_among_locks_take_no_one_elses_answers() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let redlock = redlock.clone();
            tokio::spawn(async move {
                let key = format!("k{task}");
                for _ in 0..20 {
                    let guard = redlock.try_lock(&key).await.unwrap();
                    assert!(redlock.inspect(&key).await.unwrap().is_held());
                    assert!(redlock.health().await.unwrap().has_quorum());
                    guard.release().await.unwrap();
                    // Given up under way.
                    assert!(redlock.inspect(&key).now_or_never().is_none());
                }
            })
        })
        .collect();
    for task in tasks {
        within(LIMIT, "a task", task).await.unwrap();
    }
    finish(&redlock, &cluster).await;
}
