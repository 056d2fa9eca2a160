//! Passwords, users and what an ACL must allow.

use redlock_quorum::{
    ErrorKind, NodeErrorKind, Redlock, Released,
    testing::{Cluster, TestNode},
};

use crate::support::{
    LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, client, finish, kinds, set_up, start, within,
};

const PASSWORD: &str = "pa55-w0rd";
/// What the documentation says a user needs, and no more.
const ENOUGH: &str = "resetkeys ~app:* resetchannels -@all \
                      +set +get +del +pexpire +pttl +eval +evalsha";

async fn with_user(rules: &str) -> Cluster {
    let cluster = start(3).await;
    set_up(cluster.nodes(), &format!("ACL SETUSER locker on >{PASSWORD} {rules}")).await;
    cluster
}

/// A client that logs in with `login`, as in `user:password@`.
fn client_with(cluster: &Cluster, login: &str) -> Redlock {
    let urls = cluster.nodes().iter().map(|node| format!("redis://{login}{}", node.address()));
    let builder = Redlock::builder().nodes(urls).key_prefix("app:").ttl(TTL);
    builder.node_timeout(NODE_TIMEOUT).build().unwrap()
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
    let redlock = Redlock::builder().nodes([url]).build().unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(error.to_string().contains("database"), "what to change: {error}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_without_a_command_is_told_what_to_allow() {
    let cluster = with_user(&ENOUGH.replace("+set", "")).await;
    let redlock = client_with(&cluster, &format!("locker:{PASSWORD}@"));
    refused(&redlock, NodeErrorKind::NotPermitted, "+set").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_without_the_keys_is_told_so() {
    let cluster = with_user(&ENOUGH.replace("~app:*", "~other:*")).await;
    let redlock = client_with(&cluster, &format!("locker:{PASSWORD}@"));
    refused(&redlock, NodeErrorKind::NotPermitted, "the key").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn the_documented_rules_are_enough() {
    let cluster = with_user(ENOUGH).await;
    let redlock = client_with(&cluster, &format!("locker:{PASSWORD}@"));
    let guard = redlock.lock("job").await.unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    assert!(error.retry_after().is_some(), "PTTL is allowed: {error}");
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_user_that_may_not_delete_learns_it_from_the_release() {
    let cluster = with_user(&ENOUGH.replace("+del", "")).await;
    let redlock = client_with(&cluster, &format!("locker:{PASSWORD}@"));
    let guard = redlock.lock("job").await.unwrap();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(kinds(&error).contains(&NodeErrorKind::NotPermitted), "{error}");
    assert!(error.to_string().contains("+del"), "{error}");
    set_up(cluster.nodes(), "DEL app:job").await;
    assert_no_keys(&cluster).await;
    finish(&client(&cluster), &cluster).await;
}
