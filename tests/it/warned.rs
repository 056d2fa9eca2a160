//! What threatens the guarantee at a node that votes, and a node that is held back: what a client
//! says of it, in `health` and in its errors. What strict nodes refuse is here, too.

use std::{future::IntoFuture as _, time::Duration};

use redlock_quorum::{
    Builder, ErrorKind, NodeErrorKind, Redlock,
    inspect::NodeHealth,
    testing::{Clock, Cluster},
};

use crate::support::{
    LIMIT, TTL, assert_no_keys_but, builder, eventually, everywhere, ms, run, run_on, set_up,
    start, within,
};

const MAX: Duration = Duration::from_secs(900);

/// What is wrong at a node: its warnings, or why it has no vote.
fn remarks(node: &NodeHealth) -> Vec<NodeErrorKind> {
    let warnings = node.warnings().iter().chain(node.error());
    warnings.map(redlock_quorum::NodeError::kind).collect()
}

async fn all_remarks(redlock: &Redlock) -> Vec<Vec<NodeErrorKind>> {
    redlock.health().await.unwrap().nodes().iter().map(remarks).collect()
}

async fn end(redlock: &Redlock, cluster: &Cluster) {
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(cluster, &["redlock:epoch", "job:fence"]).await;
}

#[tokio::test]
async fn of_good_nodes_nothing_is_said() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).build().unwrap();
    assert_eq!(all_remarks(&redlock).await, [[]; 3]);
    end(&redlock, &cluster).await;
}

/// Each of two addresses of one server is named with the other, and to strict clients the later is no
/// node.
#[tokio::test]
async fn two_addresses_of_one_server_are_one_vote() {
    let cluster = start(3).await;
    let urls = cluster.urls();
    let again = urls[0].replace("127.0.0.1", "localhost");
    assert_ne!(urls[0], again, "the fixture's nodes are at 127.0.0.1");
    let nodes = || Redlock::builder().ttl(TTL).nodes(&urls).nodes([&again]);
    let redlock = nodes().build().unwrap();
    redlock.health().await.unwrap(); // all are connected now
    let health = redlock.health().await.unwrap();
    let [first, later] = [&health.nodes()[0], &health.nodes()[3]];
    for (node, other) in [(first, later), (later, first)] {
        let warning = node.warnings()[0].to_string();
        assert!(warning.contains("list each server once"), "{warning}");
        assert!(warning.contains(other.address()), "{warning}");
    }
    assert_eq!(all_remarks(&redlock).await[1..3], [[]; 2]);

    let strict = nodes().strict(MAX).build().unwrap();
    drop(strict.try_lock("job").await.unwrap_err());
    eventually("one of the two is refused, and the others are in quarantine", async || {
        let mut found: Vec<_> = all_remarks(&strict).await.concat();
        found.retain(|kind| *kind != NodeErrorKind::Quarantined);
        if found == [NodeErrorKind::SameServer] { Ok(()) } else { Err(found) }
    })
    .await;
    strict.shutdown(LIMIT).await.unwrap();
    end(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_drops_keys_is_warned_of_and_is_no_strict_node() {
    let cluster = start(3).await;
    set_up(&cluster.nodes()[..1], "CONFIG SET maxmemory 100mb").await;
    set_up(&cluster.nodes()[..1], "CONFIG SET maxmemory-policy volatile-ttl").await;
    let redlock = builder(&cluster).build().unwrap();
    let evicting = NodeErrorKind::Evicting;
    assert_eq!(all_remarks(&redlock).await, [vec![evicting], vec![], vec![]]);
    drop(redlock.try_lock("job").await.unwrap());
    redlock.shutdown(LIMIT).await.unwrap();

    let strict = builder(&cluster).strict(MAX).build().unwrap();
    strict.bootstrap().await.unwrap();
    let guard = strict.lock("job").await.unwrap();
    assert_eq!(guard.votes().granted(), 2, "it grants nothing");
    let health = strict.health().await.unwrap();
    let error = health.nodes()[0].error().unwrap();
    assert_eq!((error.kind(), error.is_transient()), (evicting, false));
    assert!(error.to_string().contains("maxmemory-policy noeviction"), "{error}");
    eventually("it takes part in what is held", async || {
        let extended = guard.extend(TTL).await;
        if guard.votes().granted() == 3 { Ok(()) } else { Err(extended) }
    })
    .await;
    guard.release().await.unwrap();
    end(&strict, &cluster).await;
}

#[tokio::test]
async fn a_client_that_is_not_strict_is_told_that_others_are() {
    let cluster = start(3).await;
    let strict = builder(&cluster).strict(MAX).build().unwrap();
    strict.bootstrap().await.unwrap();
    let plain = builder(&cluster).build().unwrap();
    assert_eq!(all_remarks(&plain).await, [[NodeErrorKind::HasEpoch]; 3]);
    assert_eq!(all_remarks(&strict).await, [[]; 3]);
    plain.shutdown(LIMIT).await.unwrap();
    end(&strict, &cluster).await;
}

/// A look at it is enough; it stays known for as long as the connection lasts.
#[tokio::test]
async fn a_lock_that_lives_for_longer_than_any_should_is_warned_of() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).build().unwrap();
    set_up(&cluster.nodes()[..1], "SET job somebody PX 7200000").await;
    set_up(&cluster.nodes()[1..2], "HSET cached field 1").await;
    set_up(&cluster.nodes()[1..2], "PEXPIRE cached 7200000").await;
    for key in ["job", "cached"] {
        redlock.inspect(key).await.unwrap();
    }
    let long = NodeErrorKind::LongLived;
    assert_eq!(all_remarks(&redlock).await, [vec![long], vec![], vec![]]);
    run_on(cluster.nodes(), "DEL job cached").await;
    end(&redlock, &cluster).await;
}

#[tokio::test]
async fn health_says_of_strict_nodes_what_an_acquire_would_be_told() {
    let cluster = start(3).await;
    let strict = || builder(&cluster).strict(MAX);
    let redlock = strict().build().unwrap();
    let health = redlock.health().await.unwrap();
    assert!(!health.has_quorum(), "nobody has said that they are new: {health:?}");
    redlock.bootstrap().await.unwrap();
    assert_eq!(all_remarks(&redlock).await, [[]; 3]);

    set_up(&cluster.nodes()[..2], "FLUSHALL").await;
    let quarantined = NodeErrorKind::Quarantined;
    assert_eq!(all_remarks(&redlock).await, [vec![quarantined], vec![quarantined], vec![]]);
    drop(redlock.try_lock("job").await.unwrap_err());
    eventually("the nodes say for how long", async || {
        let health = redlock.health().await.unwrap();
        let error = health.nodes()[0].error().map(ToString::to_string).unwrap_or_default();
        if error.contains("has ended, in 1") { Ok(()) } else { Err(error) }
    })
    .await;
    let other = builder(&cluster).strict(2 * MAX).build().unwrap();
    assert!(all_remarks(&other).await[2] == [NodeErrorKind::OtherMaxTtl]);
    let other = strict().quorum(3).build().unwrap();
    assert!(all_remarks(&other).await[2] == [NodeErrorKind::OtherNodes]);
    end(&redlock, &cluster).await;
}

/// A node that comes back has no vote for a new lock while one that it may have granted can live;
/// it takes part in those that are held.
#[tokio::test]
async fn a_node_that_was_started_anew_is_held_back_and_healed() {
    let cluster = start(3).await;
    let held_back = || builder(&cluster).delayed_restarts(true).build().unwrap();
    for fenced in [false, true] {
        let redlock = held_back();
        let acquire = redlock.lock("job").ttl(MAX);
        let guard = if fenced { acquire.fenced().await } else { acquire.await }.unwrap();
        everywhere(&guard, &cluster).await;
        cluster.nodes()[2].kill().await.unwrap();
        cluster.nodes()[2].restart().await.unwrap();
        eventually("the node is healed, though held back", async || {
            let extended = guard.extend(MAX).await;
            let value = run(&cluster.nodes()[2], "EXISTS job").await;
            if value.as_int() == Some(1) { Ok(()) } else { Err(extended) }
        })
        .await;
        // Another connection to the same process changes nothing.
        for connection in [1, 2] {
            eventually("it is held back", async || {
                let health = redlock.health().await.unwrap();
                match health.nodes()[2].error() {
                    Some(error) if error.kind() == NodeErrorKind::Restarted => {
                        assert!(error.is_transient());
                        assert!(error.to_string().contains("has ended, in 1"), "{error}");
                        Ok(())
                    }
                    other => Err(format!("{other:?}, connection {connection}")),
                }
            })
            .await;
            run(&cluster.nodes()[2], "CLIENT KILL TYPE normal").await;
        }
        guard.release().await.unwrap();
        let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
        assert_eq!(guard.votes().granted(), 2, "the third has no vote");
        guard.release().await.unwrap();
        // A client that was not there before knows of nothing.
        let other = held_back();
        assert_eq!(all_remarks(&other).await, [[]; 3]);
        other.shutdown(LIMIT).await.unwrap();
        end(&redlock, &cluster).await;
        run_on(cluster.nodes(), "DEL job:fence").await;
    }
}

/// A waiter without a limit gives up where servers are gone, and not where it is known when they
/// grant locks again.
#[tokio::test]
async fn a_waiter_without_a_limit_waits_until_nodes_that_forgot_grant_again() {
    for is_strict in [false, true] {
        let clock = Clock::new();
        let cluster = Cluster::builder().nodes(3).clock(&clock).start().await.unwrap();
        let builder = Redlock::builder().nodes(cluster.urls()).clock(&clock);
        let builder = if is_strict { builder.strict(ms(60_000)) } else { builder };
        let redlock = builder.ttl(ms(5_000)).build().unwrap();
        if is_strict {
            redlock.bootstrap().await.unwrap();
        }
        redlock.lock("job").ttl(ms(60_000)).await.unwrap().release().await.unwrap();
        for node in &cluster.nodes()[1..] {
            node.kill().await.unwrap();
            node.restart().await.unwrap();
        }
        let waiting = tokio::spawn(redlock.lock("job").into_future());
        clock.advance(ms(50_000)).await;
        assert!(!waiting.is_finished());
        clock.advance(ms(20_000)).await;
        drop(within(LIMIT, "the lock", waiting).await.unwrap().unwrap());
    }
}

/// Where too many others are gone, the node that is held back would make no quorum.
#[tokio::test]
async fn a_waiter_without_a_limit_does_not_wait_for_one_node_among_those_that_are_gone() {
    let clock = Clock::new();
    let cluster = Cluster::builder().nodes(3).clock(&clock).start().await.unwrap();
    let builder = Redlock::builder().nodes(cluster.urls()).clock(&clock);
    let redlock = builder.ttl(ms(5_000)).build().unwrap();
    redlock.lock("job").ttl(ms(600_000)).await.unwrap().release().await.unwrap();
    for node in cluster.nodes() {
        node.kill().await.unwrap();
    }
    cluster.nodes()[0].restart().await.unwrap();
    let waiting = tokio::spawn(redlock.lock("job").into_future());
    clock.advance(ms(20_000)).await;
    let error = within(LIMIT, "the end of the wait", waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
}

#[tokio::test]
async fn a_node_is_held_back_for_the_longest_ttl_that_was_asked_for_and_not_longer() {
    let clock = Clock::new();
    let cluster = Cluster::builder().nodes(3).clock(&clock).start().await.unwrap();
    let client = |builder: Builder| builder.nodes(cluster.urls()).clock(&clock).build().unwrap();
    let [redlock, unhindered] =
        [true, false].map(|delays| client(Redlock::builder().delayed_restarts(delays)));
    for redlock in [&redlock, &unhindered] {
        let guard = redlock.lock("job").ttl(ms(60_000)).await.unwrap();
        everywhere(&guard, &cluster).await;
        guard.release().await.unwrap();
    }
    cluster.nodes()[2].kill().await.unwrap();
    cluster.nodes()[2].restart().await.unwrap();
    clock.advance(ms(2_000)).await;
    let restarted = NodeErrorKind::Restarted;
    assert_eq!(all_remarks(&unhindered).await, [[]; 3]);
    assert_eq!(all_remarks(&redlock).await, [vec![], vec![], vec![restarted]]);
    clock.advance(ms(58_000)).await;
    assert_eq!(all_remarks(&redlock).await, [vec![], vec![], vec![restarted]]);
    // A second, by which the server's uptime may be wrong, and the drift of two clocks.
    clock.advance(ms(1_000 + 1_200 + 100)).await;
    assert_eq!(all_remarks(&redlock).await, [[]; 3]);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    drop(guard);
}
