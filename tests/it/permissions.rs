//! Passwords, users and what an ACL must allow.

use std::time::Duration;

use redlock_quorum::{
    Builder, ErrorKind, LockParts, NodeErrorKind, Redlock, Released, Token,
    testing::{Cluster, Reply, TestNode},
};
use tracing::Level;

use crate::{
    printed::Printed,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, assert_no_keys_but, bulk, client, eventually,
        everywhere, finish, got, info, kinds, listening, native, run_on, set_up, sets_executed,
        start, wait_for, within,
    },
};

const PASSWORD: &str = "pa55-w0rd";
/// What the documentation says a user needs, and no more.
pub const ENOUGH: &str = "resetkeys ~app:* resetchannels &redlock:app:* -@all \
                      +set +get +del +pexpire +pttl +eval +evalsha \
                      +publish +subscribe +unsubscribe";
/// The same but for what lets others hear of releases, and hears of theirs.
const UNHEARD: &str = "resetkeys ~app:* resetchannels -@all \
                       +set +get +del +pexpire +pttl +eval +evalsha";

pub async fn with_user(rules: &str) -> Cluster {
    let cluster = start(3).await;
    set_up(cluster.nodes(), &format!("ACL SETUSER locker on >{PASSWORD} {rules}")).await;
    cluster
}

/// The same, and where the servers have a command of their own to release
/// with, the user may use it.
pub async fn with_native_user(rules: &str) -> Cluster {
    let cluster = with_user(rules).await;
    if let Some(command) = native(&cluster.nodes()[0]).await {
        set_up(cluster.nodes(), &format!("ACL SETUSER locker +{command}")).await;
    }
    cluster
}

/// A client that logs in with `login`, as in `user:password@`.
fn client_with(cluster: &Cluster, login: &str) -> Redlock {
    builder_with(cluster, login).build().unwrap()
}

pub fn builder_with(cluster: &Cluster, login: &str) -> Builder {
    let urls = cluster.nodes().iter().map(|node| format!("redis://{login}{}", node.address()));
    let builder = Redlock::builder().nodes(urls).key_prefix("app:").ttl(TTL);
    builder.node_timeout(NODE_TIMEOUT)
}

pub fn locker(cluster: &Cluster) -> Redlock {
    client_with(cluster, &format!("locker:{PASSWORD}@"))
}

/// Fails at once, also without a limit: waiting would not help.
async fn refused(redlock: &Redlock, kind: NodeErrorKind, advice: &str) {
    for acquire in [redlock.lock("job"), redlock.try_lock("job")] {
        let locking = acquire.into_future();
        let error = within(LIMIT, "no waiting for a password", locking).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        let kinds = kinds(&error);
        assert!(kinds.len() >= 2 && kinds.iter().all(|k| *k == kind), "{kinds:?}: {error}");
        assert!(error.nodes().iter().filter_map(|r| r.error()).all(|e| !e.is_transient()));
        assert!(error.to_string().contains(advice), "{error}");
    }
}

/// A command by someone who knows the password.
async fn run_as_admin(node: &TestNode, words: &[&str]) {
    let url = format!("redis://:{PASSWORD}@{}", node.address());
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_missing_password_is_asked_for() {
    let cluster = start(3).await;
    set_up(cluster.nodes(), &format!("CONFIG SET requirepass {PASSWORD}")).await;
    let redlock = client_with(&cluster, "");
    refused(&redlock, NodeErrorKind::AuthRequired, "put it in the node's URL").await;

    let admitted = client_with(&cluster, &format!(":{PASSWORD}@"));
    admitted.lock("job").await.unwrap().release().await.unwrap();
    for node in cluster.nodes() {
        run_as_admin(node, &["CONFIG", "SET", "requirepass", ""]).await;
    }
    finish(&admitted, &cluster).await;
}

#[tokio::test]
async fn a_wrong_password_is_named_as_such() {
    let cluster = with_user(ENOUGH).await;
    let redlock = client_with(&cluster, "locker:wrong@");
    refused(&redlock, NodeErrorKind::AuthFailed, "refused the user or password").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_password_for_a_server_that_has_none_is_named_as_such() {
    let cluster = start(3).await;
    let redlock = client_with(&cluster, &format!(":{PASSWORD}@"));
    refused(&redlock, NodeErrorKind::AuthFailed, "password").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_named_as_such() {
    let cluster = start(1).await;
    let url = cluster.nodes()[0].url() + "/99";
    let redlock = Redlock::builder().nodes([url]).node_timeout(NODE_TIMEOUT).build().unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(error.to_string().contains("database"), "what to change: {error}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_without_a_command_is_told_what_to_allow() {
    let cluster = with_user(&ENOUGH.replace("+set", "")).await;
    let redlock = locker(&cluster);
    refused(&redlock, NodeErrorKind::NotPermitted, "+set").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_without_the_keys_is_told_so() {
    let cluster = with_user(&ENOUGH.replace("~app:*", "~other:*")).await;
    let redlock = locker(&cluster);
    refused(&redlock, NodeErrorKind::NotPermitted, "the key").await;
    finish(&redlock, &cluster).await;
}

/// All that a client does with a lock of its own.
pub async fn locks(redlock: &Redlock) {
    let guard = redlock.lock("job").await.unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    let left = error.retry_after().expect("PTTL is allowed");
    assert!(left <= TTL && left > TTL / 2, "the holder's: {left:?}");
    let found = redlock.inspect("job").await.unwrap();
    assert!(found.is_held() && found.remaining() <= TTL, "{found:?}");
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
}

/// How often each node has refused to let somebody look by a command.
async fn refused_looks(cluster: &Cluster) -> Vec<u64> {
    let refused = "cmdstat_getrange:calls=0,usec=0,usec_per_call=0.00,rejected_calls=";
    let mut times = Vec::new();
    for node in cluster.nodes() {
        times.push(info(node, "commandstats", refused).await);
    }
    times
}

/// Waits until nothing else is listened to.
async fn all_channels_are(cluster: &Cluster, channels: &[&str]) {
    let wanted = Reply::Array(channels.iter().map(bulk).collect());
    eventually("it listens to what it waits for", async || {
        let channels = run_on(cluster.nodes(), "PUBSUB CHANNELS").await;
        if channels.iter().all(|reply| *reply == wanted) { Ok(()) } else { Err(channels) }
    })
    .await;
}

#[tokio::test]
async fn the_documented_rules_are_enough() {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let cluster = with_native_user(ENOUGH).await;
    let (holder, hour) = (locker(&cluster), Duration::from_secs(3600));
    locks(&holder).await;
    let before = refused_looks(&cluster).await;
    locks(&holder).await;
    assert!(before.iter().all(|times| *times > 0), "{before:?}");
    assert_eq!(refused_looks(&cluster).await, before, "it is known that a script must look");
    // One that must be told in time.
    let waiter = builder_with(&cluster, &format!("locker:{PASSWORD}@")).retry_delay(hour, hour);
    let waiter = waiter.build().unwrap();
    for key in ["job", "other"] {
        let guard = holder.lock(key).await.unwrap();
        let waiting = wait_for(&waiter, key);
        listening(cluster.nodes(), format!("app:{key}")).await;
        if key == "other" {
            all_channels_are(&cluster, &["redlock:app:other"]).await;
        }
        guard.release().await.unwrap();
        got(waiting).await.release().await.unwrap();
    }
    all_channels_are(&cluster, &[]).await;
    assert_eq!(printed.lines_with(&["WARN"]), 0);
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn without_the_rules_to_hear_and_be_heard_it_locks_all_the_same() {
    let cluster = with_native_user(UNHEARD).await;
    let (holder, waiter) = (locker(&cluster), locker(&cluster));
    locks(&holder).await;
    let guard = holder.lock("job").await.unwrap();
    let waiting = wait_for(&waiter, "job");
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    got(waiting).await.release().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// Waits until it was said once of each of these nodes what it does not let us
/// do, and nothing of the others.
pub async fn said_once(printed: &Printed, what: &str, nodes: &[TestNode], refusing: usize) {
    eventually("it is said once per node", async || {
        let times = |node: &TestNode| printed.lines_with(&[what, &node.address()]);
        let times: Vec<_> = nodes.iter().map(times).collect();
        let (refused, others) = times.split_at(refusing);
        let once = refused.iter().all(|times| *times == 1) && others.iter().all(|n| *n == 0);
        if once { Ok(()) } else { Err(times) }
    })
    .await;
}

/// Waits until the only waiter has looked so many times more. It asks the key's home node
/// first, whichever that is, and no other while that refuses.
async fn looks(cluster: &Cluster, times: u64) {
    let tries = async || {
        let mut sum = 0;
        for node in cluster.nodes() {
            sum += sets_executed(node).await;
        }
        sum
    };
    let before = tries().await;
    eventually("it looks now and then", async || match tries().await {
        seen if seen >= before + times => Ok(()),
        seen => Err(seen),
    })
    .await;
}

/// Takes rights away from the user on the first nodes.
async fn forbid(cluster: &Cluster, rules: &str, nodes: usize) {
    set_up(&cluster.nodes()[..nodes], &format!("ACL SETUSER locker {rules}")).await;
}

async fn waits_without_listening(rules: &str, refusing: usize) {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let cluster = with_user(ENOUGH).await;
    forbid(&cluster, rules, refusing).await;
    let (holder, waiter) = (client_with(&cluster, ""), locker(&cluster));
    for key in ["job", "other", "job"] {
        let guard = holder.lock(key).await.unwrap();
        let waiting = wait_for(&waiter, key);
        said_once(&printed, "listen for releases", cluster.nodes(), refusing).await;
        listening(&cluster.nodes()[refusing..], format!("app:{key}")).await;
        looks(&cluster, 5).await;
        assert!(!waiting.is_finished());
        guard.release().await.unwrap();
        got(waiting).await.release().await.unwrap();
    }
    said_once(&printed, "listen for releases", cluster.nodes(), refusing).await;
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn a_fenced_lock_needs_two_rules_more_and_says_so() {
    let cluster = with_user(ENOUGH).await;
    let redlock = locker(&cluster);
    let error = redlock.try_lock("job").fenced().await.unwrap_err();
    assert!(kinds(&error).iter().all(|kind| *kind == NodeErrorKind::NotPermitted), "{error}");
    set_up(cluster.nodes(), "ACL SETUSER locker +mget +time").await;
    let guard = redlock.lock("job").fenced().await.unwrap();
    assert!(guard.fencing_number().is_some());
    guard.extend(TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(&cluster, &["app:job:fence"]).await;
}

/// Some servers' ACLs can let a user write keys and not read them (since Redis 7.0).
#[tokio::test]
async fn who_may_write_the_keys_and_not_read_them_gets_no_lock_there() {
    let cluster = with_user(ENOUGH).await;
    let rules = ["ACL", "SETUSER", "locker", "resetkeys", "%W~app:*"];
    for node in cluster.nodes() {
        if let Reply::Error(text) = node.command(&rules).await.unwrap() {
            return assert!(text.contains("Syntax error"), "a server from before: {text}");
        }
    }
    let redlock = locker(&cluster);
    refused(&redlock, NodeErrorKind::NotPermitted, "NOPERM").await;
    let health = redlock.health().await.unwrap();
    assert_eq!(health.able(), 0, "{health:?}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_may_not_subscribe_waits_without_and_says_so_once_per_node() {
    for refusing in [3, 2] {
        waits_without_listening("-subscribe", refusing).await;
    }
}

#[tokio::test]
async fn who_may_not_use_the_channel_waits_without_and_says_so_once_per_node() {
    for refusing in [3, 2] {
        waits_without_listening("resetchannels &other:*", refusing).await;
    }
}

async fn releases_without_publishing(rules: &str, refusing: usize) {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let cluster = with_native_user(ENOUGH).await;
    forbid(&cluster, rules, refusing).await;
    let (holder, waiter) = (locker(&cluster), client_with(&cluster, ""));
    for _ in 0..3 {
        let guard = holder.lock("job").await.unwrap();
        everywhere(&guard, &cluster).await;
        let waiting = wait_for(&waiter, "job");
        listening(cluster.nodes(), "app:job").await;
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        got(waiting).await.release().await.unwrap();
        said_once(&printed, "PUBLISH", cluster.nodes(), refusing).await;
    }
    let guard = holder.lock("alone").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_no_keys(&cluster).await;
    said_once(&printed, "PUBLISH", cluster.nodes(), refusing).await;
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn who_may_not_publish_releases_all_the_same_and_says_so_once_per_node() {
    for refusing in [3, 2] {
        releases_without_publishing("-publish", refusing).await;
        releases_without_publishing("resetchannels &other:*", refusing).await;
    }
}

#[tokio::test]
async fn a_user_that_may_not_delete_gets_no_lock_that_it_could_not_give_back() {
    let cluster = with_user(&ENOUGH.replace("+del", "")).await;
    let redlock = locker(&cluster);
    let error = redlock.lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(kinds(&error).iter().all(|kind| *kind == NodeErrorKind::NotPermitted), "{error}");
    assert!(error.to_string().contains("+del") && error.to_string().contains("EVAL by"), "{error}");
    assert_no_keys(&cluster).await; // the reserved key lives for a millisecond
    set_up(cluster.nodes(), "ACL SETUSER locker +del").await;
    eventually("it is tried again by itself", async || redlock.try_lock("job").await.map(drop))
        .await;
    finish(&redlock, &cluster).await;
}

/// A key that is forbidden, and one that can't be given back, say nothing of the others.
#[tokio::test]
async fn a_key_outside_the_acl_stops_no_other_lock() {
    let cluster = with_user(&ENOUGH.replace("~app:*", "~app:job*")).await;
    let redlock = locker(&cluster);
    let error = redlock.try_lock("other").await.unwrap_err();
    assert!(kinds(&error).contains(&NodeErrorKind::NotPermitted), "{error}");
    let parts = redlock.try_lock("job").await.unwrap().into_parts();
    let elsewhere = LockParts { key: b"other".into(), ..parts.clone() };
    let error = redlock.adopt(elsewhere).unwrap().release().await.unwrap_err();
    assert!(kinds(&error).contains(&NodeErrorKind::NotPermitted), "{error}");
    redlock.adopt(parts).unwrap().release().await.unwrap();
    redlock.try_lock("job").await.unwrap().release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(&cluster).await;
}

/// Where the reserved key is forbidden, and so nothing is known before, the first lock that
/// can't be given back is the last one for 5 s. Then one more tells whether that is mended.
#[tokio::test]
async fn where_only_the_reserved_key_is_forbidden_the_first_refusal_decides() {
    let rules = ENOUGH.replace("~app:*", "~app:job*").replace("+del", "");
    let cluster = with_user(&rules).await;
    let redlock = locker(&cluster);
    assert!(redlock.health().await.unwrap().has_quorum(), "nothing is known yet");
    let guard = redlock.lock("job").await.unwrap();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(kinds(&error).contains(&NodeErrorKind::NotPermitted), "{error}");
    let error = redlock.try_lock("job2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(error.to_string().contains("EVAL by"), "{error}");
    let health = redlock.health().await.unwrap();
    assert_eq!(health.able(), 0, "{health:?}");
    for key in ["app:job", "app:job2"] {
        set_up(cluster.nodes(), &format!("DEL {key}")).await;
    }
    finish(&client(&cluster), &cluster).await;
}

/// A release may say a number that the user can't use: it is a plain one then, and stops no other
/// lock.
#[tokio::test]
async fn who_may_not_bury_releases_all_the_same() {
    let cluster = with_user(ENOUGH).await;
    let (plain, able) = (locker(&cluster), client_with(&cluster, ""));
    for _ in 0..2 {
        let guard = able.lock("job").fenced().await.unwrap();
        everywhere(&guard, &cluster).await;
        let parts = guard.into_parts();
        let token = Token::from_bytes("nobody's").unwrap();
        let none = LockParts { token, ..parts.clone() };
        assert_eq!(plain.release(parts).await.unwrap(), Released::Released);
        assert_eq!(plain.release(none).await.unwrap(), Released::AlreadyExpired);
        plain.try_lock("job").await.unwrap().release().await.unwrap();
    }
    plain.shutdown(LIMIT).await.unwrap();
    able.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(&cluster, &["app:job:fence"]).await;
}
