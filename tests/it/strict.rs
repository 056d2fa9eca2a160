//! Strict nodes: one that has forgotten what it granted grants nothing until all of that has ended.

use std::time::Duration;

use redlock_quorum::{
    Builder, Error, ErrorKind, NodeErrorKind, Redlock,
    testing::{Backend, Clock, Cluster, Reply},
};

use crate::support::{
    LIMIT, TTL, assert_no_keys_but, builder, eventually, everywhere, kinds, ms, run, run_on,
    set_up, start,
};

/// The longest ttl of these nodes.
const MAX: Duration = Duration::from_secs(900);

fn strict(cluster: &Cluster) -> Builder {
    builder(cluster).strict(MAX)
}

async fn bootstrapped(nodes: usize) -> (Cluster, Redlock) {
    let cluster = start(nodes).await;
    let redlock = strict(&cluster).build().unwrap();
    redlock.bootstrap().await.unwrap();
    (cluster, redlock)
}

async fn epochs(cluster: &Cluster) -> Vec<String> {
    let replies = run_on(cluster.nodes(), "GET redlock:epoch").await;
    let text = |reply: &Reply| String::from_utf8(reply.as_bytes().unwrap_or_default().into());
    replies.iter().map(|reply| text(reply).unwrap()).collect()
}

/// Whether all that have answered, as many as decide, have failed like this.
fn all_say(error: &Error, why: NodeErrorKind) -> bool {
    let kinds = kinds(error);
    !kinds.is_empty() && kinds.iter().all(|kind| *kind == why)
}

async fn end(redlock: &Redlock, cluster: &Cluster) {
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(cluster, &["redlock:epoch", "job:fence"]).await;
}

#[tokio::test]
async fn nodes_that_a_person_has_called_new_grant_at_once_and_others_do_not() {
    let (cluster, redlock) = bootstrapped(3).await;
    for epoch in epochs(&cluster).await {
        assert!(epoch.ends_with(":900000:0:2/3") && !epoch.starts_with("Q:"), "{epoch}");
    }
    for fenced in [false, true] {
        let acquire = redlock.lock("job");
        let acquire = if fenced { acquire.fenced() } else { acquire };
        let guard = acquire.await.unwrap();
        everywhere(&guard, &cluster).await;
        guard.extend(TTL).await.unwrap();
        guard.release().await.unwrap();
    }
    let error = redlock.bootstrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("has an epoch already"), "{error}");
    end(&redlock, &cluster).await;

    let cluster = start(3).await;
    let redlock = strict(&cluster).build().unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum);
    assert!(all_say(&error, NodeErrorKind::Quarantined), "{error}");
    assert!(error.to_string().contains("until that has ended, in 15m"), "{error}");
    end(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_node_grants_again_when_all_that_it_may_have_granted_has_ended() {
    let cluster = start(3).await;
    let builder = Redlock::builder().nodes(cluster.urls()).ttl(ms(100)).strict(ms(300));
    let redlock = builder.build().unwrap();
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    guard.release().await.unwrap();
    for epoch in epochs(&cluster).await {
        assert!(epoch.ends_with(":300:0:2/3"), "{epoch}");
    }
    end(&redlock, &cluster).await;
}

/// A majority that forgot does not give the lock to another; without strict nodes it does.
#[tokio::test]
async fn a_lock_outlives_a_majority_that_forgets_it() {
    let (cluster, holder) = bootstrapped(3).await;
    for fenced in [false, true] {
        let other = strict(&cluster).build().unwrap();
        let acquire = holder.lock("job").wait(LIMIT);
        let acquire = if fenced { acquire.fenced() } else { acquire };
        let guard = acquire.await.unwrap();
        everywhere(&guard, &cluster).await;
        set_up(&cluster.nodes()[..2], "FLUSHALL").await;
        let acquire = other.lock("job").wait(Duration::ZERO);
        let acquire = if fenced { acquire.fenced() } else { acquire };
        let error = acquire.await.unwrap_err();
        // One that has refused and one that has forgotten may decide it, or two that have.
        assert!(all_say(&error, NodeErrorKind::Quarantined), "{error}");
        let plain = builder(&cluster).build().unwrap();
        drop(plain.try_lock("job").await.expect("who is not strict is granted it"));
        plain.shutdown(LIMIT).await.unwrap();
        guard.release().await.unwrap();
        // A person says again that they are new.
        run_on(cluster.nodes(), "DEL redlock:epoch").await;
        holder.bootstrap().await.unwrap();
        end(&other, &cluster).await;
    }
    end(&holder, &cluster).await;
}

#[tokio::test]
async fn a_node_that_was_started_anew_has_no_vote_and_is_healed() {
    let (cluster, redlock) = bootstrapped(3).await;
    for fenced in [false, true] {
        let acquire = redlock.lock("job").wait(LIMIT);
        let acquire = if fenced { acquire.fenced() } else { acquire };
        let guard = acquire.await.unwrap();
        everywhere(&guard, &cluster).await;
        cluster.nodes()[2].kill().await.unwrap();
        cluster.nodes()[2].restart().await.unwrap();
        eventually("the node is healed, though in quarantine", async || {
            let extended = guard.extend(TTL).await;
            let value = run(&cluster.nodes()[2], "GET job").await;
            if value == Reply::Nil { Err(extended) } else { Ok(()) }
        })
        .await;
        assert!(epochs(&cluster).await[2].starts_with("Q:"));
        guard.release().await.unwrap();
        let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
        assert_eq!(guard.votes().granted(), 2, "two of three have a vote");
        guard.release().await.unwrap();
    }
    end(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_client_with_another_max_ttl_or_other_nodes_is_refused_by_name() {
    let (cluster, redlock) = bootstrapped(3).await;
    let other_max = builder(&cluster).strict(2 * MAX).build().unwrap();
    let error = other_max.try_lock("job").await.unwrap_err();
    assert!(all_say(&error, NodeErrorKind::OtherMaxTtl), "{error}");
    assert!(error.to_string().contains("there it is 15m"), "{error}");
    let all = strict(&cluster).quorum(3).build().unwrap();
    let error = all.try_lock("job").await.unwrap_err();
    assert!(all_say(&error, NodeErrorKind::OtherNodes), "{error}");
    assert!(error.to_string().contains("there they are 2 of 3"), "{error}");
    end(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_that_may_not_ask_for_info_is_told_so() {
    let (cluster, redlock) = bootstrapped(3).await;
    run_on(cluster.nodes(), "DEL redlock:epoch").await;
    run_on(cluster.nodes(), "ACL SETUSER default -info").await;
    let error = redlock.try_lock("job").await.unwrap_err();
    assert!(all_say(&error, NodeErrorKind::NotPermitted), "{error}");
    assert!(error.to_string().contains("INFO"), "{error}");
    run_on(cluster.nodes(), "ACL SETUSER default +info").await;
    end(&redlock, &cluster).await;
}

/// The same of nodes in memory, in the time of a clock that the test moves.
#[tokio::test]
async fn a_quarantine_lasts_for_the_longest_ttl_and_not_longer() {
    let clock = Clock::new();
    let cluster =
        Cluster::builder().backend(Backend::Memory).nodes(3).clock(&clock).start().await.unwrap();
    let builder = || Redlock::builder().nodes(cluster.urls()).clock(&clock);
    let redlock = builder().ttl(MAX / 2).strict(MAX).build().unwrap();
    redlock.bootstrap().await.unwrap();
    let other = builder().ttl(MAX / 2).strict(MAX).build().unwrap();
    let guard = redlock.lock("job").ttl(MAX).await.unwrap();
    everywhere(&guard, &cluster).await;
    set_up(&cluster.nodes()[..2], "FLUSHALL").await;
    let error = other.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    // What a call waits for, the clock goes on by itself: by a node timeout at most.
    clock.advance(MAX - ms(1000)).await;
    let error = other.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    clock.advance(ms(1001)).await;
    assert!(!guard.is_held());
    other.try_lock("job").await.unwrap().release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
}
