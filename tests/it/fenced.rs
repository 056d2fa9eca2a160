//! Fencing numbers: each holder's is larger than that of every holder before, whoever it was and
//! however the lock went from one to the next.

use redlock_quorum::{
    Error, ErrorKind, LockGuard, NodeErrorKind, Redlock,
    testing::{Cluster, Reply},
};

use crate::support::{
    LIMIT, TTL, assert_no_keys_but, builder, client, connect, eventually, everywhere, kinds, ms,
    run, set_up, start,
};

/// A number that no clock here gives for long, and that none is an hour behind.
async fn soon(cluster: &Cluster) -> u64 {
    let Reply::Array(time) = run(&cluster.nodes()[0], "TIME").await else { panic!("a time") };
    let [Reply::Bulk(seconds), _] = &time[..] else { panic!("{time:?}") };
    let seconds: u64 = std::str::from_utf8(seconds).unwrap().parse().unwrap();
    (seconds + 1_800) * 1_000_000
}

pub fn number(guard: &LockGuard) -> u64 {
    guard.fencing_number().expect("it was asked for one")
}

async fn fenced(redlock: &Redlock) -> LockGuard {
    redlock.lock("job").fenced().wait(LIMIT).await.unwrap()
}

/// The fence at each node, or zero.
async fn fences(cluster: &Cluster) -> Vec<u64> {
    let mut fences = Vec::new();
    for node in cluster.nodes() {
        let Reply::Bulk(value) = run(node, "GET job:fence").await else {
            fences.push(0);
            continue;
        };
        fences.push(String::from_utf8(value).unwrap().parse().unwrap());
    }
    fences
}

/// The clients have nothing left to do, and no key is left but fences.
pub async fn end(clients: &[&Redlock], cluster: &Cluster) {
    for redlock in clients {
        redlock.shutdown(LIMIT).await.unwrap();
    }
    assert_no_keys_but(cluster, &["job:fence", "other:fence"]).await;
}

#[tokio::test]
async fn each_holders_number_is_above_all_before_and_a_plain_lock_has_none() {
    let cluster = start(3).await;
    let (one, other) = (client(&cluster), client(&cluster));
    let mut last = 0;
    for round in 0..20 {
        let redlock = if round % 2 == 0 { &one } else { &other };
        let guard = fenced(redlock).await;
        assert!(number(&guard) > last, "{} after {last}", number(&guard));
        assert_eq!(guard.held().fencing_number(), guard.fencing_number());
        last = number(&guard);
        guard.extend(TTL).await.unwrap();
        assert_eq!(number(&guard), last, "it stays");
        guard.release().await.unwrap();
        let plain = redlock.lock("job").await.unwrap();
        assert_eq!(plain.fencing_number(), None);
        plain.release().await.unwrap();
    }
    assert!((1_000_000_000_000_000..1 << 53).contains(&last));
    end(&[&one, &other], &cluster).await;
}

#[tokio::test]
async fn a_number_is_above_what_nodes_have_seen_though_the_clock_is_behind() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    // Three nodes were there when a client held the lock whose clock is half an hour ahead.
    let ahead = soon(&cluster).await;
    set_up(&cluster.nodes()[..3], &format!("SET job:fence {ahead} PX 600000")).await;
    let guard = fenced(&redlock).await;
    assert_eq!(number(&guard), ahead + 1);
    guard.release().await.unwrap();
    let guard = fenced(&redlock).await;
    assert_eq!(number(&guard), ahead + 2, "what one key has seen is above its fence");
    guard.release().await.unwrap();
    let other = redlock.lock("other").fenced().await.unwrap();
    assert!(number(&other) < ahead, "and spoils no other key");
    other.release().await.unwrap();
    end(&[&redlock], &cluster).await;
}

#[tokio::test]
async fn it_is_handed_on_with_a_larger_number_also_to_and_from_one_that_has_none() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let mut guard = fenced(&redlock).await;
    let mut last = number(&guard);
    for is_fenced in [true, false, true, true] {
        let lock = redlock.lock("job").wait(LIMIT);
        let lock = if is_fenced { lock.fenced() } else { lock };
        let waiting = tokio::spawn(std::future::IntoFuture::into_future(lock));
        // Its request is in the queue when it was polled once, before the release.
        tokio::task::yield_now().await;
        drop(guard);
        guard = waiting.await.unwrap().unwrap();
        assert_eq!(guard.fencing_number().is_some(), is_fenced);
        if is_fenced {
            assert!(number(&guard) > last, "{} after {last}", number(&guard));
            last = number(&guard);
        }
    }
    guard.release().await.unwrap();
    end(&[&redlock], &cluster).await;
}

#[tokio::test]
async fn a_node_that_was_empty_is_healed_with_the_lock_and_a_fence() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = fenced(&redlock).await;
    everywhere(&guard, &cluster).await;
    set_up(&cluster.nodes()[..1], "FLUSHALL").await;
    guard.extend(TTL).await.unwrap();
    guard.extend(TTL).await.unwrap();
    eventually("it is healed", async || {
        let fences = fences(&cluster).await;
        if fences.iter().all(|fence| *fence >= number(&guard)) { Ok(()) } else { Err(fences) }
    })
    .await;
    assert!(matches!(run(&cluster.nodes()[0], "GET job").await, Reply::Bulk(_)));
    guard.release().await.unwrap();
    end(&[&redlock], &cluster).await;
}

/// What a fence is set to by hand, at how many of three nodes, and what comes of it.
async fn refused_by(value: &[&str], nodes: usize) -> Error {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    for node in &cluster.nodes()[..nodes] {
        node.command(value).await.unwrap();
    }
    let error = redlock.lock("job").fenced().wait(ms(300)).await.unwrap_err();
    redlock.lock("job").await.unwrap().release().await.unwrap();
    end(&[&redlock], &cluster).await;
    error
}

#[tokio::test]
async fn something_else_at_the_key_of_the_fence_is_named_and_stays() {
    for value in [&["SET", "job:fence", "12345"][..], &["RPUSH", "job:fence", "a"]] {
        let error = refused_by(value, 2).await;
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        assert_eq!(kinds(&error), [NodeErrorKind::ForeignFence; 2], "{error}");
        assert!(error.to_string().contains(":fence behind it"), "{error}");
    }
}

/// A clock that is set forward by less than a day and the longest ttl must not make nodes forget.
#[tokio::test]
async fn nodes_remember_a_number_for_a_day_and_the_longest_ttl() {
    const DAY: i64 = 86_400_000;
    let cluster = start(1).await;
    let longest = ms(700_000);
    let redlock = builder(&cluster).max_ttl(longest).build().unwrap();
    let guard = redlock.lock("job").ttl(longest).fenced().await.unwrap();
    let life = async || match run(&cluster.nodes()[0], "PTTL job:fence").await {
        Reply::Int(life) => life,
        reply => panic!("{reply:?}"),
    };
    let all = DAY + 700_000;
    assert!((all - 30_000..=all).contains(&life().await), "{}", life().await);
    run(&cluster.nodes()[0], "PEXPIRE job:fence 70000").await;
    guard.extend(longest).await.unwrap();
    assert!(life().await > DAY, "an extension refreshes it");
    run(&cluster.nodes()[0], "DEL job:fence").await;
    guard.extend(longest).await.unwrap();
    assert_eq!(fences(&cluster).await, [number(&guard)], "and brings it back");
    guard.release().await.unwrap();
    end(&[&redlock], &cluster).await;
}

#[tokio::test]
async fn a_fence_far_ahead_is_named_where_few_have_it_and_gone_on_from_where_a_quorum_does() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let far = soon(&cluster).await + 86_400_000_000;
    let poison = format!("SET job:fence {far} PX 600000");
    set_up(&cluster.nodes()[..1], &poison).await;
    let guard = fenced(&redlock).await;
    assert!(number(&guard) < far, "the others are enough");
    guard.release().await.unwrap();
    cluster.nodes()[2].kill().await.unwrap();
    let error = redlock.lock("job").fenced().wait(ms(300)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(kinds(&error).contains(&NodeErrorKind::ClockAhead), "{error}");
    cluster.nodes()[2].restart().await.unwrap();
    set_up(&cluster.nodes()[1..], &poison).await;
    let guard = fenced(&redlock).await;
    assert_eq!(number(&guard), far + 1);
    guard.release().await.unwrap();
    end(&[&redlock], &cluster).await;
}

#[tokio::test]
async fn numbers_that_are_used_up_are_said_to_be() {
    let error = refused_by(&["SET", "job:fence", "9007199254740991"], 3).await;
    // Two are enough to know that there is no quorum.
    let kinds = kinds(&error);
    let are_used_up = kinds.iter().all(|kind| *kind == NodeErrorKind::NumbersUsedUp);
    assert!(kinds.len() >= 2 && are_used_up, "{error}");
    assert!(error.to_string().contains("used up"), "{error}");
}
