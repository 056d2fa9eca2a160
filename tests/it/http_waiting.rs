//! Requests that wait for a lock: they get it, they are limited, and they
//! leave nothing behind when their client goes or the service ends.

use serde_json::json;

use crate::{
    http_stand::{FORM, Served, TTL_MS, send, settings},
    support::{LIMIT, finish, run_on, start, take_elsewhere, within},
};

/// A request that waits, as bytes.
fn waiting(path: &str, kind: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn who_waits_gets_the_lock_when_it_is_released() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let token = served.lock("job").await;
    let waiting = served.wait_for("job", 1).await;
    let unlocked = served.form("/unlock", format!("key=job&token={token}")).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");
    let got = within(LIMIT, "the waiter gets it", waiting).await.unwrap();
    assert_eq!(got.status, 200, "{got:?}");
    assert!(got.value()["validity_ms"].as_u64() > Some(TTL_MS / 2), "{got:?}");
    served.shows("redlock_waiting 0").await;

    let unlock = format!("key=job&token={}", got.token());
    assert_eq!(served.form("/unlock", unlock).await.status, 200, "its token is its own");
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn a_wait_through_another_instance_ends_with_the_release_too() {
    let cluster = start(3).await;
    let (one, two) = (Served::new(&cluster).await, Served::new(&cluster).await);
    let token = one.lock("job").await;
    let waiting = two.wait_for("job", 1).await;
    one.form("/unlock", format!("key=job&token={token}")).await;
    let got = within(LIMIT, "the waiter gets it", waiting).await.unwrap();
    assert_eq!(got.status, 200, "{got:?}");
    let unlocked = one.form("/unlock", format!("key=job&token={}", got.token())).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");
    finish(&two.redlock, &cluster).await;
    finish(&one.redlock, &cluster).await;
}

#[tokio::test]
async fn a_wait_that_runs_out_is_contention() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    take_elsewhere(cluster.nodes(), "job").await;
    let late = served.form("/lock", "key=job&wait_ms=50").await;
    assert_eq!((late.status, &late.value()["code"]), (409, &json!(1)), "{late:?}");
    assert!(late.retry_after() >= Some(1), "{late:?}");
    let late = served.json("POST", "/v1/locks/job", r#"{"wait_ms":50}"#).await;
    assert_eq!((late.status, &late.value()["kind"]), (409, &json!("timed_out")), "{late:?}");
    assert!(late.retry_after() >= Some(1), "{late:?}");
    served.shows(r#"redlock_acquire_total{outcome="timed_out"} 2"#).await;
    run_on(cluster.nodes(), "DEL job").await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn more_than_the_limit_may_not_wait_and_the_others_may_still_try() {
    let cluster = start(3).await;
    let served = Served::with(&cluster, settings().max_waiters(1)).await;
    let token = served.lock("job").await;
    let waiting = served.wait_for("job", 1).await;

    let refused = served.form("/lock", "key=other&wait_ms=1").await;
    assert_eq!((refused.status, refused.retry_after()), (429, Some(1)), "{refused:?}");
    assert_eq!(refused.value()["code"], 6, "{refused:?}");
    let message = "too many waiters: too many requests wait for locks here";
    assert!(refused.value()["message"].as_str().unwrap().starts_with(message), "{refused:?}");
    let refused = served.json("POST", "/v1/locks/other", r#"{"wait_ms":1}"#).await;
    assert_eq!((refused.status, refused.retry_after()), (429, Some(1)), "{refused:?}");
    assert_eq!(refused.value()["kind"], "too_many_waiters", "{refused:?}");

    assert_eq!(served.form("/lock", "key=job").await.status, 409, "who does not wait may try");
    let other = served.lock("other").await;
    served.form("/unlock", format!("key=other&token={other}")).await;
    served.form("/unlock", format!("key=job&token={token}")).await;
    let got = within(LIMIT, "who waits is served", waiting).await.unwrap();
    served.form("/unlock", format!("key=job&token={}", got.token())).await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_leaves_no_key_and_frees_its_place() {
    let cluster = start(3).await;
    let served = Served::with(&cluster, settings().max_waiters(1)).await;
    take_elsewhere(cluster.nodes(), "job").await;
    let form = waiting("/lock", FORM, &format!("key=job&wait_ms=60000&ttl_ms={TTL_MS}"));
    let body = format!(r#"{{"wait_ms":60000,"ttl_ms":{TTL_MS}}}"#);
    let json = waiting("/v1/locks/job", "application/json", &body);
    for (times, request) in [form, json].into_iter().enumerate() {
        let client = served.raw(request).await;
        served.shows("redlock_waiting 1").await;
        drop(client);
        served.shows("redlock_waiting 0").await;
        let counted = format!(r#"redlock_acquire_total{{outcome="cancelled"}} {}"#, times + 1);
        served.shows(&counted).await;
    }
    // Whoever still stood in line would be before this one, and keep the lock.
    let next = served.wait_for("job", 1).await;
    run_on(cluster.nodes(), "DEL job").await;
    let got = within(LIMIT, "the next one gets it", next).await.unwrap();
    assert_eq!(got.status, 200, "{got:?}");
    served.form("/unlock", format!("key=job&token={}", got.token())).await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn the_end_of_the_service_ends_the_waits_and_not_what_can_be_done() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let token = served.lock("job").await;
    let waiting = served.wait_for("job", 1).await;
    served.service.close();
    let told = within(LIMIT, "the waiter is told", waiting).await.unwrap();
    told.is(503, r#"{"code":4,"message":"lock service unavailable"}"#);
    assert_eq!(told.retry_after(), Some(1));

    let path = "/v1/locks/job";
    let told = served.json("POST", path, r#"{"wait_ms":60000}"#).await;
    assert_eq!((told.status, &told.value()["kind"]), (503, &json!("closed")), "{told:?}");
    let ready = served.get("/readyz").await;
    assert_eq!((ready.status, &ready.value()["closing"]), (503, &json!(true)), "{ready:?}");
    assert_eq!(served.get("/healthz").await.status, 200);

    let released = send(served.request("DELETE", path).header("lock-token", token)).await;
    assert_eq!(released.status, 204, "{released:?}");
    finish(&served.redlock, &cluster).await;
}
