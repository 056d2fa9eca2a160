//! The service when nodes fail: a minority changes no answer, and a majority
//! is never taken for contention.

use redlock_quorum::testing::Cluster;
use serde_json::json;

use crate::{
    http_stand::{Served, TTL_MS, send, settings},
    support::{
        NODE_TIMEOUT, WITHOUT_WAITING, assert_no_keys, builder, connect, eventually, finish, ms,
        scripts_executed, start, within,
    },
};

/// Lock, lock again, unlock, unlock again, each as if all were well.
async fn session(served: &Served, key: &str) {
    let token = served.lock(key).await;
    let held = served.form("/lock", format!("key={key}")).await;
    assert_eq!((held.status, &held.value()["code"]), (409, &json!(1)), "{held:?}");
    let unlock = || served.form("/unlock", format!("key={key}&token={token}"));
    unlock().await.is(200, r#"{"code":0,"message":"release lock success"}"#);
    unlock().await.is(500, r#"{"code":2,"message":"release lock failed"}"#);

    let path = format!("/v1/locks/{key}");
    let taken = send(served.request("POST", &path)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let with_token = |method| served.request(method, &path).header("lock-token", taken.token());
    let extended = send(with_token("PUT")).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    assert_eq!(send(served.request("POST", &path)).await.status, 409);
    assert_eq!(send(with_token("DELETE")).await.status, 204);
}

#[tokio::test]
async fn a_killed_node_changes_no_answer() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    session(&served, "before").await;
    let token = served.lock("over").await;
    cluster.nodes()[0].kill().await.unwrap();
    // One that is waited for would cost each of its calls the node timeout.
    within(NODE_TIMEOUT, "all that", session(&served, "after")).await;
    let unlocked = served.form("/unlock", format!("key=over&token={token}")).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");

    let ready = served.get("/readyz").await;
    let value = ready.value();
    assert_eq!((ready.status, &value["able"], &value["needed"]), (200, &json!(2), &json!(2)));
    assert_eq!(value["nodes"][0]["able"], false, "{value}");
    assert!(value["nodes"][0]["error"].is_string(), "{value}");
    let seen = served.get("/v1/locks/after").await.value();
    assert_eq!((&seen["held"], &seen["nodes"][0]["answer"]), (&json!(false), &json!("failed")));
    served.shows(&format!(r#"redlock_node_up{{node="{}"}} 0"#, cluster.nodes()[0].address())).await;
    served.shows(&format!(r#"redlock_node_up{{node="{}"}} 1"#, cluster.nodes()[1].address())).await;
    cluster.nodes()[0].restart().await.unwrap();
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_hung_node_changes_no_answer_and_is_not_waited_for() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    connect(&served.redlock, 3).await;
    cluster.nodes()[0].pause().await.unwrap();
    let locked = within(WITHOUT_WAITING, "the lock", served.lock("job")).await;
    let unlock = served.form("/unlock", format!("key=job&token={locked}"));
    assert_eq!(within(WITHOUT_WAITING, "the unlock", unlock).await.status, 200);
    session(&served, "other").await;
    cluster.nodes()[0].resume().await.unwrap();
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn with_a_majority_hung_all_is_unavailable_and_a_lock_stays_as_it_was() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    let served = Served::of(redlock, settings()).await;
    connect(&served.redlock, 3).await;
    let token = served.lock("job").await;
    for node in &cluster.nodes()[..2] {
        node.pause().await.unwrap();
    }
    let lock = within(WITHOUT_WAITING, "the refusal", served.form("/lock", "key=other")).await;
    assert_eq!((lock.status, &lock.value()["code"]), (503, &json!(4)), "{lock:?}");
    // Less than a node may take: not by that is it lost.
    let put = served.request("PUT", "/v1/locks/job").header("lock-token", &token);
    let put = put.header("content-type", "application/json").body(r#"{"ttl_ms":100}"#);
    let put = within(WITHOUT_WAITING, "the refusal", send(put)).await;
    assert_eq!((put.status, &put.value()["kind"]), (503, &json!("no_quorum")), "{put:?}");
    for node in &cluster.nodes()[..2] {
        node.resume().await.unwrap();
    }
    eventually("it is held as before", async || {
        let seen = served.get("/v1/locks/job").await;
        if seen.status == 200 && seen.value()["held"] == true { Ok(()) } else { Err(seen) }
    })
    .await;
    let unlock = served.form("/unlock", format!("key=job&token={token}")).await;
    unlock.is(200, r#"{"code":0,"message":"release lock success"}"#);
    finish(&served.redlock, &cluster).await;
}

async fn kill_majority(cluster: &Cluster) {
    for node in &cluster.nodes()[..2] {
        node.kill().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_quorum_all_is_unavailable_soon_and_nothing_contended() {
    let cluster = start(3).await;
    // A release tries for that long to reach those that may have the key.
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    let served = Served::of(redlock, settings()).await;
    connect(&served.redlock, 3).await;
    let token = served.lock("job").await;
    kill_majority(&cluster).await;

    // Those that the lock is held on, and those that it is not.
    for key in ["job", "other"] {
        let lock = served.form("/lock", format!("key={key}"));
        let answer = within(WITHOUT_WAITING, "the refusal", lock).await;
        assert_eq!((answer.status, answer.retry_after()), (503, Some(1)), "{answer:?}");
        let begin = r#"{"code":4,"message":"lock service unavailable","nodes":[{"node":""#;
        assert!(answer.body.starts_with(begin), "{answer:?}");
        let nodes = answer.value()["nodes"].clone();
        for (node, said) in cluster.nodes()[..2].iter().zip(nodes.as_array().unwrap()) {
            assert_eq!(
                (&said["node"], &said["answer"]),
                (&json!(node.address()), &json!("failed"))
            );
            assert!(said["error"].is_string(), "{said}");
        }
        assert_eq!(nodes.as_array().unwrap().len(), 3, "{nodes}");
    }
    let path = "/v1/locks/job";
    let request = |method| served.request(method, path).header("lock-token", &token);
    for method in ["POST", "GET", "PUT", "DELETE"] {
        let answer = within(WITHOUT_WAITING, method, send(request(method))).await;
        assert_eq!((answer.status, answer.retry_after()), (503, Some(1)), "{answer:?}");
        let problem = answer.value();
        assert_eq!(problem["kind"], "no_quorum", "{problem}");
        assert_eq!(problem["nodes"][0]["answer"], "failed", "{problem}");
    }
    let unlock = served.form("/unlock", format!("key=job&token={token}"));
    let answer = within(WITHOUT_WAITING, "the refusal", unlock).await;
    assert_eq!((answer.status, &answer.value()["code"]), (503, &json!(4)), "{answer:?}");
    let ready = served.get("/readyz").await;
    assert_eq!((ready.status, &ready.value()["ready"]), (503, &json!(false)), "{ready:?}");
    assert_eq!(served.get("/healthz").await.status, 200, "no reason to restart it");

    for node in &cluster.nodes()[..2] {
        node.restart().await.unwrap();
    }
    // What was asked for is still done, where the lock was.
    assert_no_keys(&cluster).await;
    eventually("it is ready again", async || {
        let ready = served.get("/readyz").await;
        if ready.status == 200 { Ok(()) } else { Err(ready) }
    })
    .await;
    session(&served, "again").await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_extends_keeps_its_lock() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    connect(&served.redlock, 3).await;
    let token = served.lock("job").await;
    let (asked, hung) = cluster.nodes().split_first().unwrap();
    for node in hung {
        node.pause().await.unwrap();
    }
    let before = scripts_executed(asked).await;
    let request = format!("PUT /v1/locks/job HTTP/1.1\r\nhost: a\r\nlock-token: {token}\r\n\r\n");
    let client = served.raw(request).await;
    eventually("it is on its way", async || {
        let executed = scripts_executed(asked).await;
        if executed > before { Ok(()) } else { Err(executed) }
    })
    .await;
    drop(client);
    // Asked while the others hang, so that it can't have ended otherwise.
    served.shows(r#"redlock_extend_total{outcome="cancelled"} 1"#).await;
    for node in hung {
        node.resume().await.unwrap();
    }
    let path = "/v1/locks/job";
    let released = send(served.request("DELETE", path).header("lock-token", &token)).await;
    assert_eq!(released.status, 204, "it was held all along, for {TTL_MS} ms: {released:?}");
    finish(&served.redlock, &cluster).await;
}
