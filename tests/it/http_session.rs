//! The service as its callers use it: the drop-in endpoints as they were, and
//! `/v1` beside them.

use redlock_quorum::{Redlock, testing::Cluster};
use serde_json::json;

use crate::{
    http_stand::{Served, TTL_MS, send, settings},
    support::{builder, bulk, connect, finish, start, take_elsewhere},
};

async fn end(served: &Served, cluster: &Cluster) {
    finish(&served.redlock, cluster).await;
}

#[tokio::test]
async fn the_old_session_goes_as_it_did_and_wants_the_token() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;

    let first = served.form("/lock", "key=order-42").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("content-type"), Some("application/json"));
    let begin = r#"{"code":0,"message":"get lock success","token":""#;
    assert!(first.body.starts_with(begin), "{first:?}");
    let value = first.value();
    assert!((TTL_MS * 9 / 10..TTL_MS).contains(&value["validity_ms"].as_u64().unwrap()), "{value}");
    assert!((2..=3).contains(&value["votes"].as_u64().unwrap()), "{value}");

    let second = served.form("/lock", "key=order-42").await;
    assert_eq!(second.status, 409, "{second:?}");
    let begin = r#"{"code":1,"message":"get lock failed","retry_after_ms":"#;
    assert!(second.body.starts_with(begin), "{second:?}");
    let ms = second.value()["retry_after_ms"].as_u64().unwrap();
    assert_eq!(second.retry_after(), Some(ms.div_ceil(1000)), "whole seconds: {second:?}");

    let token = first.token();
    let unlocked = served.form("/unlock", format!("key=order-42&token={token}")).await;
    unlocked.is(200, r#"{"code":0,"message":"release lock success"}"#);
    let again = served.lock("order-42").await;
    assert_ne!(again, token);

    let late = served.form("/unlock", format!("key=order-42&token={token}")).await;
    late.is(500, r#"{"code":2,"message":"release lock failed"}"#);
    let without = served.form("/unlock", "key=order-42").await;
    without.is(400, r#"{"code":3,"message":"token required"}"#);
    let request = served.request("POST", "/unlock").header("content-type", "application/json");
    let by_header = request.header("Lock-Token", &again).body(r#"{"key":"order-42"}"#);
    send(by_header).await.is(200, r#"{"code":0,"message":"release lock success"}"#);
    let gone = served.form("/unlock", format!("key=order-42&token={again}")).await;
    gone.is(500, r#"{"code":2,"message":"release lock failed"}"#);
    end(&served, &cluster).await;
}

#[tokio::test]
async fn json_is_taken_as_forms_are() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    let body = r#"{"key":"job","ttl_ms":60000,"wait_ms":0,"owner":"me"}"#;
    let token = served.json("POST", "/lock", body).await.token();
    let held = served.json("POST", "/lock", r#"{"key":"job","ttl_ms":null}"#).await;
    assert_eq!(held.status, 409, "{held:?}");
    let body = json!({ "key": "job", "token": token }).to_string();
    assert_eq!(served.json("POST", "/unlock", &body).await.status, 200);
    end(&served, &cluster).await;
}

#[tokio::test]
async fn without_a_token_it_unlocks_only_where_that_is_allowed_and_what_it_handed_out() {
    let cluster = start(3).await;
    let unsafe_one = Served::with(&cluster, settings().allow_tokenless_unlock()).await;
    let other = Served::with(&cluster, settings().allow_tokenless_unlock()).await;
    unsafe_one.lock("job").await;
    let elsewhere = other.form("/unlock", "key=job").await;
    elsewhere.is(500, r#"{"code":2,"message":"release lock failed"}"#);
    let unlocked = unsafe_one.form("/unlock", "key=job").await;
    unlocked.is(200, r#"{"code":0,"message":"release lock success"}"#);
    let twice = unsafe_one.form("/unlock", "key=job").await;
    twice.is(500, r#"{"code":2,"message":"release lock failed"}"#);
    end(&unsafe_one, &cluster).await;
}

#[tokio::test]
async fn a_lock_is_taken_looked_at_extended_and_released_under_v1() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    connect(&served.redlock, 3).await;
    let path = "/v1/locks/orders:42";
    let free = served.get(path).await.value();
    assert_eq!((&free["held"], &free["remaining_ms"]), (&json!(false), &json!(0)), "{free}");
    assert_eq!((&free["votes"], &free["needed"]), (&json!(0), &json!(2)), "{free}");
    assert_eq!(free["nodes"][0]["answer"], "free", "{free}");

    let taken = send(served.request("POST", path)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let (token, value) = (taken.token(), taken.value());
    assert_eq!(taken.header("lock-token"), Some(&*token));
    assert_eq!(value["key"], "orders:42");
    let named: Vec<_> = cluster.nodes().iter().map(|node| json!(node.address())).collect();
    let nodes = value["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().map(|node| node["node"].clone()).collect::<Vec<_>>(), named);

    let held = served.json("POST", path, "{}").await;
    assert_eq!((held.status, held.header("content-type")), (409, Some("application/problem+json")));
    let problem = held.value();
    assert_eq!(problem["type"], "urn:redlock-quorum:contended", "{problem}");
    assert_eq!((&problem["status"], &problem["kind"]), (&json!(409), &json!("contended")));
    assert!(problem["retry_after_ms"].as_u64() > Some(0) && held.retry_after() > Some(0));
    assert!(problem["nodes"].as_array().unwrap().iter().any(|node| node["answer"] == "refused"));

    let seen = served.get(path).await;
    assert!(!seen.body.contains(&token), "{seen:?}");
    let seen = seen.value();
    assert_eq!(seen["held"], true, "{seen}");
    assert!(seen["remaining_ms"].as_u64() > Some(TTL_MS / 2), "{seen}");

    let body = json!({ "ttl_ms": 2 * TTL_MS }).to_string();
    let put = || served.request("PUT", path).header("content-type", "application/json");
    let extended = send(put().header("lock-token", &token).body(body.clone())).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    assert!(extended.value()["validity_ms"].as_u64() > Some(TTL_MS), "{extended:?}");
    assert!(!extended.body.contains(&token), "{extended:?}");
    let seen = served.get(path).await.value();
    assert!(seen["remaining_ms"].as_u64() > Some(TTL_MS), "{seen}");

    for method in ["PUT", "DELETE"] {
        let none = send(served.request(method, path)).await;
        assert_eq!((none.status, &none.value()["kind"]), (400, &json!("token_required")));
        let wrong = send(served.request(method, path).header("lock-token", "wrong")).await;
        assert_eq!((wrong.status, &wrong.value()["kind"]), (409, &json!("lost")), "{method}");
    }
    let release = || send(served.request("DELETE", path).header("lock-token", &token));
    release().await.is(204, "");
    assert_eq!(release().await.status, 409);
    let after = send(put().header("lock-token", &token).body(body)).await;
    assert_eq!((after.status, &after.value()["kind"]), (409, &json!("lost")));
    end(&served, &cluster).await;
}

#[tokio::test]
async fn a_token_is_good_at_any_instance() {
    let cluster = start(3).await;
    let (one, two) = (Served::new(&cluster).await, Served::new(&cluster).await);
    let token = one.lock("job").await;
    let held = two.form("/lock", "key=job").await;
    assert_eq!(held.status, 409, "{held:?}");
    let body = format!(r#"{{"ttl_ms":{}}}"#, 2 * TTL_MS);
    let request = two.request("PUT", "/v1/locks/job").header("content-type", "application/json");
    let extended = send(request.header("lock-token", &token).body(body)).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    let unlocked = one.form("/unlock", format!("key=job&token={token}")).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");

    let token = one.lock("job").await;
    let unlocked = two.form("/unlock", format!("key=job&token={token}")).await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");
    finish(&two.redlock, &cluster).await;
    end(&one, &cluster).await;
}

#[tokio::test]
async fn the_library_and_the_service_meet_on_the_same_keys() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let redlock: Redlock = builder(&cluster).build().unwrap();
    let guard = redlock.lock("job").await.unwrap();
    assert_eq!(served.form("/lock", "key=job").await.status, 409);
    guard.release().await.unwrap();
    let token = served.lock("job").await;
    redlock.try_lock("job").await.unwrap_err();
    served.form("/unlock", format!("key=job&token={token}")).await;
    finish(&redlock, &cluster).await;
    end(&served, &cluster).await;
}

#[tokio::test]
async fn a_key_is_any_bytes_in_a_path_and_in_a_form() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    let longest = "%FF".repeat(1024);
    for (written, key) in [
        ("a%2Fb", &b"a/b"[..]),
        ("a%00b", b"a\0b"),
        ("%FF", b"\xff"),
        ("a+b", b"a+b"),
        ("a%20b%3F%23", b"a b?#"),
        ("%C3%A4", "ä".as_bytes()),
        ("...", b"..."),
        (&longest, &[0xff; 1024]),
    ] {
        let path = format!("/v1/locks/{written}");
        let taken = send(served.request("POST", &path)).await;
        assert_eq!(taken.status, 200, "{written}: {taken:?}");
        assert_eq!(taken.value()["key"], String::from_utf8_lossy(key).as_ref());
        let on_server = cluster.nodes()[0].command(&[&b"GET"[..], key]).await.unwrap();
        assert_eq!(on_server, bulk(taken.token()), "{written}");
        assert_eq!(served.get(&path).await.value()["held"], true, "{written}");

        let written = written.replace('+', "%2B");
        assert_eq!(served.form("/lock", format!("key={written}")).await.status, 409, "{written}");
        let unlock = format!("key={written}&token={}", taken.token());
        assert_eq!(served.form("/unlock", unlock).await.status, 200, "{written}");
    }
    end(&served, &cluster).await;
}

#[tokio::test]
async fn a_token_that_another_library_made_is_taken_too() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    take_elsewhere(cluster.nodes(), "job").await;
    let put = served.request("PUT", "/v1/locks/job").header("lock-token", "another");
    let extended = send(put).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    let unlocked = served.form("/unlock", "key=job&token=%61nother").await;
    assert_eq!(unlocked.status, 200, "{unlocked:?}");
    end(&served, &cluster).await;
}
