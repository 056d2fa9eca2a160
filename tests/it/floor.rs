//! What is not heard, or is not true: a message is only a hint, and without it
//! a lock is had a polling floor later, or when it runs out.

use std::time::Duration;

use redlock_quorum::{
    Redlock,
    testing::{Reply, TestNode},
};

use crate::support::{
    LIMIT, NODE_TIMEOUT, builder, client, connect, eventually, everywhere, finish, got, info,
    listening, ms, run, run_on, set_up, start, take_elsewhere, wait_for,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until the only waiter listens for `job` and has looked again since.
async fn listening_and_looking(nodes: &[TestNode]) {
    listening(nodes, "job").await;
    let before = looks_anywhere(nodes).await;
    eventually("it looks now and then", async || match looks_anywhere(nodes).await {
        seen if seen >= before + 2 => Ok(()),
        seen => Err(seen),
    })
    .await;
}

/// How often a node was asked whether the lock is free, in whatever way.
async fn looks(node: &TestNode) -> u64 {
    let mut sum = 0;
    for command in ["set", "pttl", "get", "getrange"] {
        sum += info(node, "commandstats", &format!("cmdstat_{command}:calls=")).await;
    }
    sum
}

/// The same of all nodes together.
async fn looks_anywhere(nodes: &[TestNode]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += looks(node).await;
    }
    sum
}

/// Releases as a client does that tells nobody.
async fn release_elsewhere(nodes: &[TestNode]) {
    const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                           return redis.call('DEL', KEYS[1]) end return 0";
    for node in nodes {
        let released = node.command(&["EVAL", RELEASE, "1", "job", "another"]).await.unwrap();
        assert_eq!(released, Reply::Int(1));
    }
}

#[tokio::test]
async fn a_holder_that_tells_nobody_costs_a_polling_floor() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "job").await;
    let waiting = wait_for(&redlock, "job");
    listening_and_looking(cluster.nodes()).await;
    assert!(!waiting.is_finished());
    release_elsewhere(cluster.nodes()).await;
    got(waiting).await.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_that_runs_out_is_had_then_and_not_at_the_polling_floor() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).retry_delay(ms(10), HOUR).build().unwrap();
    connect(&redlock, 3).await;
    take_elsewhere(cluster.nodes(), "job").await;
    // Of all nodes at once: one by one they would end apart.
    let now = run(&cluster.nodes()[0], "TIME").await;
    let Reply::Array(now) = now else { panic!("no TIME: {now:?}") };
    let seconds: u64 = str::from_utf8(now[0].as_bytes().unwrap()).unwrap().parse().unwrap();
    set_up(cluster.nodes(), &format!("EXPIREAT job {}", seconds + 6)).await;
    let waiting = wait_for(&redlock, "job");
    listening(cluster.nodes(), "job").await;
    got(waiting).await.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_message_that_is_lost_costs_a_polling_floor_and_the_next_is_heard() {
    let cluster = start(3).await;
    let (holder, waiter) = (client(&cluster), client(&cluster));
    for _ in 0..4 {
        let guard = holder.lock("job").await.unwrap();
        let waiting = wait_for(&waiter, "job");
        // It would not look for seconds, if it still listened.
        listening(cluster.nodes(), "job").await;
        set_up(cluster.nodes(), "CLIENT KILL TYPE pubsub").await;
        guard.release().await.unwrap();
        got(waiting).await.release().await.unwrap();
    }
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// A client that would not look by itself: see `push`.
fn patient(urls: Vec<String>) -> Redlock {
    let builder = Redlock::builder().nodes(urls).ttl(LIMIT).node_timeout(NODE_TIMEOUT);
    builder.retry_delay(HOUR, HOUR).build().unwrap()
}

#[tokio::test]
async fn who_waits_listens_again_when_its_connections_break() {
    let cluster = start(3).await;
    let (holder, waiter) = (client(&cluster), patient(cluster.urls()));
    let guard = holder.lock("job").await.unwrap();
    let waiting = wait_for(&waiter, "job");
    for _ in 0..5 {
        listening(cluster.nodes(), "job").await;
        set_up(cluster.nodes(), "CLIENT KILL TYPE pubsub").await;
    }
    listening(cluster.nodes(), "job").await;
    guard.release().await.unwrap();
    got(waiting).await.release().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// Publishes where releases of `job` are told of, and says how many heard it.
async fn publish(nodes: &[TestNode], message: &[u8]) -> Vec<Option<i64>> {
    let mut heard = Vec::new();
    for node in nodes {
        let publish = [&b"PUBLISH"[..], b"redlock:job", message];
        heard.push(node.command(&publish).await.unwrap().as_int());
    }
    heard
}

const GARBAGE: [&[u8]; 13] = [
    b"",
    b" ",
    b"\xff\xfe",
    b"\0",
    b"gone",
    b"1",
    b"1 ",
    b" 1",
    b"x 1",
    b"1 -1",
    b"1 4294967296",
    b"1 0 0",
    b"\r\n*3\r\n",
];

#[tokio::test]
async fn what_others_publish_there_does_no_harm() {
    let cluster = start(3).await;
    let (nodes, holder, waiter) = (cluster.nodes(), client(&cluster), patient(cluster.urls()));
    connect(&waiter, 3).await;
    let guard = holder.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let waiting = wait_for(&waiter, "job");
    listening(nodes, "job").await;
    // What could have been a release makes it try, in vain.
    for lie in ["1 4294967295", "2 0"] {
        let before = looks_anywhere(nodes).await;
        assert_eq!(publish(nodes, lie.as_bytes()).await, [Some(1); 3]);
        eventually("it tries", async || match looks_anywhere(nodes).await {
            seen if seen > before => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
    for message in GARBAGE {
        assert_eq!(publish(nodes, message).await, [Some(1); 3], "{message:?}");
    }
    assert_eq!(publish(nodes, &[b'1'; 10_000]).await, [Some(1); 3]);
    assert!(!waiting.is_finished());
    guard.release().await.unwrap();
    got(waiting).await.release().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// It may cost the connections that listen.
#[tokio::test]
async fn what_is_far_too_long_to_be_a_message_does_no_harm() {
    let cluster = start(3).await;
    let (holder, waiter) = (client(&cluster), client(&cluster));
    let guard = holder.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let waiting = wait_for(&waiter, "job");
    for _ in 0..3 {
        listening(cluster.nodes(), "job").await;
        publish(cluster.nodes(), &vec![b'1'; 1 << 20]).await;
    }
    assert!(!waiting.is_finished());
    for reply in run_on(cluster.nodes(), "GET job").await {
        assert!(reply.as_bytes().is_some(), "{reply:?}");
    }
    guard.release().await.unwrap();
    got(waiting).await.release().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}
