//! What a holder calls itself: others are told that, and never the secret beside it.

use redlock_quorum::{ErrorKind, testing::Reply};
use serde_json::json;

use crate::{
    http_stand::Served,
    support::{
        LIMIT, ask, builder, client, everywhere, finish, got, listening, ms, run, start, wait_for,
    },
};

#[tokio::test]
async fn whoever_is_refused_or_looks_is_told_who_has_it_and_no_secret() {
    let cluster = start(3).await;
    let (holder, other) = (client(&cluster), client(&cluster));
    let guard = holder.lock("job").owner("host-a/7").await.unwrap();
    everywhere(&guard, &cluster).await;
    let Reply::Bulk(value) = run(&cluster.nodes()[0], "GET job").await else { panic!("a text") };
    let (secret, label) = value.split_at(23);
    assert_eq!(label, ".host-a/7".as_bytes());
    let secret = String::from_utf8(secret.to_vec()).unwrap();

    let refused = other.try_lock("job").await.unwrap_err();
    let waited = other.lock("job").wait(ms(500)).await.unwrap_err();
    for (error, kind) in [(refused, ErrorKind::Contended), (waited, ErrorKind::Timeout)] {
        assert_eq!((error.kind(), error.owner()), (kind, Some("host-a/7")), "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("held by `host-a/7`") && !told.contains(&secret), "{told}");
    }
    let found = other.inspect("job").await.unwrap();
    assert_eq!(found.owner(), Some("host-a/7"));
    assert!(!format!("{found:?}").contains(&secret));
    guard.extend(ms(600_000)).await.unwrap();
    guard.release().await.unwrap();
    assert_eq!(other.inspect("job").await.unwrap().owner(), None);
    finish(&holder, &cluster).await;
}

/// Also those that wait in the line of the client that has it, and ask no node.
#[tokio::test]
async fn tasks_of_the_same_client_are_told_who_has_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").owner("task-1").await.unwrap();
    let error = redlock.lock("job").wait(ms(20)).await.unwrap_err();
    assert_eq!((error.kind(), error.owner()), (ErrorKind::Timeout, Some("task-1")), "{error}");
    assert!(error.to_string().contains("now `task-1`"), "{error}");
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// The value at the key says whose it is, so it is not handed on to a task of another name; one
/// without a name gets it neither.
#[tokio::test]
async fn a_lock_is_handed_on_between_tasks_of_one_name_alone() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for (names, is_handed_on) in [(["a", "a"], true), (["a", "b"], false), (["a", ""], false)] {
        let [first, second] = names.map(|name| match name {
            "" => redlock.lock("job").wait(LIMIT),
            name => redlock.lock("job").wait(LIMIT).owner(name),
        });
        let first = first.await.unwrap();
        everywhere(&first, &cluster).await;
        let before = run(&cluster.nodes()[0], "GET job").await;
        let second = ask(second);
        first.release().await.unwrap();
        let second = second.await.unwrap();
        everywhere(&second, &cluster).await;
        let after = run(&cluster.nodes()[0], "GET job").await;
        assert_eq!(before == after, is_handed_on, "{names:?}");
        let told = redlock.inspect("job").await.unwrap();
        assert_eq!(told.owner(), Some(names[1]).filter(|name| !name.is_empty()), "{names:?}");
        second.release().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

/// A value of another library's is never told, whatever it looks like; and a waiter behind a
/// name is told of the release as behind none.
#[tokio::test]
async fn others_values_are_no_names_and_a_named_release_is_heard() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).retry_delay(LIMIT, LIMIT).build().unwrap();
    for value in ["0f8fad5b-d9cb.me", "n1Tg6HsPq9WcUf4o_EzKxA.me"] {
        for node in cluster.nodes() {
            run(node, &format!("SET job {value} PX 600000")).await;
        }
        let error = redlock.try_lock("job").await.unwrap_err();
        assert_eq!(error.owner(), None, "{error}");
        assert!(error.to_string().contains("held or asked for by another"), "{error}");
        assert_eq!(redlock.inspect("job").await.unwrap().owner(), None);
        for node in cluster.nodes() {
            run(node, "DEL job").await;
        }
    }
    let holder = client(&cluster);
    let guard = holder.lock("job").owner("me").await.unwrap();
    let waiting = wait_for(&redlock, "job");
    listening(cluster.nodes(), "job").await;
    guard.release().await.unwrap();
    got(waiting).await.release().await.unwrap();
    holder.shutdown(LIMIT).await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_name_that_can_not_be_told_is_refused_before_anybody_is_asked() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    for (name, why) in [
        ("", "empty"),
        ("a\nb", "printable ASCII"),
        ("\u{e4}", "printable ASCII"),
        ("a ", "a blank"),
        (&"x".repeat(233), "233 bytes"),
    ] {
        let error = redlock.lock("job").owner(name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(why), "{error}");
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn the_service_tells_who_has_it() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let taken = served.json("POST", "/v1/locks/job", r#"{"owner":"worker 7"}"#).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let token = taken.value()["token"].as_str().unwrap().to_owned();
    let (secret, label) = token.split_once('.').unwrap();
    assert_eq!((secret.len(), label), (23, "worker 7"));
    let told = [
        served.json("POST", "/v1/locks/job", "{}").await,
        served.form("/lock", "key=job").await,
        served.get("/v1/locks/job").await,
    ];
    for answer in told {
        assert_eq!(answer.value()["owner"], json!("worker 7"), "{answer:?}");
        assert!(!answer.body.contains(secret), "{answer:?}");
    }
    let unlocked = served.form("/unlock", &format!("key=job&token={token}")).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");
    let unnamed = served.form("/lock", "key=job&owner=").await;
    assert_eq!(unnamed.status, 200, "{unnamed:?}");
    assert_eq!(served.get("/v1/locks/job").await.value().get("owner"), None);
    let bad = served.form("/lock", "key=other&owner=a%0Ab").await;
    assert!(bad.status == 422 && bad.body.contains("printable ASCII"), "{bad:?}");
}
