//! The page's stream and files, without a browser: what they say, to how many,
//! when they end, and what never stands in them.

use std::pin::pin;

use axum::{
    body::Body,
    http::{Request, header},
};
use futures_util::StreamExt as _;
use redlock_quorum::http::{Service, Settings};
use reqwest::StatusCode;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    page_site::Site,
    support::{LIMIT, client, connected, connections, eventually, start, within},
};

/// As many as may look at once.
const VIEWERS: usize = 64;

fn keys(snapshot: &Value) -> Vec<&str> {
    let locks = snapshot["locks"].as_array().unwrap();
    locks.iter().map(|lock| lock["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_first_event_comes_at_once_and_says_what_is_true_then() {
    const ROUNDS: usize = 30;
    let site = Site::start(3).await;
    let mut seconds = Vec::new();
    for round in 0..ROUNDS {
        let key = format!("job-{round}");
        let token = site.lock(&[("key", &key)]).await;
        let first = site.watch().await.next().await.unwrap();
        assert_eq!(keys(&first), [&*key], "a snapshot from before would not have it");
        seconds.push(first["series"]["acquired"].as_array().unwrap().len());
        site.unlock(&key, &token).await;
    }
    let passed = seconds[ROUNDS - 1] - seconds[0];
    assert!(passed < ROUNDS - 1, "none waits for the second to end: {seconds:?}");
    site.end().await;
}

#[tokio::test]
async fn a_snapshot_tells_how_the_instance_stands() {
    let site = Site::start(3).await;
    site.lock(&[("key", "job"), ("owner", "billing"), ("ttl_ms", "600000")]).await;
    let snapshot = site.watch().await.next().await.unwrap();
    assert_eq!(snapshot["able"], 3);
    assert_eq!(snapshot["needed"], 2);
    assert_eq!(snapshot["quorum"], true);
    let nodes = snapshot["nodes"].as_array().unwrap();
    for (said, node) in nodes.iter().zip(site.cluster.nodes()) {
        assert_eq!(said["address"], node.address());
        assert_eq!(said["up"], true);
        assert_eq!(said["able"], true);
        assert_eq!(said["error"], Value::Null);
        assert!(said["latency_us"].as_u64().unwrap() > 0, "{said}");
    }
    assert_eq!(nodes.len(), 3);
    let lock = &snapshot["locks"][0];
    assert_eq!(lock["key"], "job");
    assert_eq!(lock["owner"], "billing");
    let remaining = lock["remaining_ms"].as_u64().unwrap();
    assert!((1..=600_000).contains(&remaining), "{remaining}");
    assert_eq!(snapshot["locks_total"], 1);
    assert_eq!(snapshot["waiting"], 0);
    assert!(snapshot["version"].is_string());
    site.end().await;
}

#[tokio::test]
async fn what_happened_before_the_first_viewer_came_is_in_the_charts() {
    let site = Site::start(3).await;
    site.lock(&[("key", "job")]).await;
    for _ in 0..2 {
        assert_eq!(site.post("/lock", &[("key", "job")]).await.status(), StatusCode::CONFLICT);
    }
    let sum = |snapshot: &Value, name: &str| -> u64 {
        let seconds = snapshot["series"][name].as_array().unwrap();
        seconds.iter().map(|count| count.as_u64().unwrap()).sum()
    };
    let counted = |snapshot: &Value| [sum(snapshot, "acquired"), sum(snapshot, "refused")];
    let mut events = site.watch().await;
    events.until("all is counted", |snapshot| counted(snapshot) == [1, 2]).await;
    let next = events.next().await.unwrap();
    assert_eq!(counted(&next), [1, 2], "and counted once");
    site.end().await;
}

#[tokio::test]
async fn who_waits_is_counted_while_it_waits() {
    let site = Site::start(3).await;
    let token = site.lock(&[("key", "job"), ("ttl_ms", "600000")]).await;
    let mut events = site.watch().await;
    let waiting = site.post("/lock", &[("key", "job"), ("wait_ms", "60000")]);
    let waiting = async { assert_eq!(waiting.await.status(), StatusCode::OK) };
    let looking = async {
        events.until("one waits", |snapshot| snapshot["waiting"] == 1).await;
        site.unlock("job", &token).await;
        events.until("none waits", |snapshot| snapshot["waiting"] == 0).await;
    };
    within(LIMIT, "the lock is handed on", async { tokio::join!(waiting, looking) }).await;
    site.end().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_service_closes_and_none_begins_then() {
    let site = Site::start(3).await;
    let mut events = site.watch().await;
    events.next().await.unwrap();
    site.service.close();
    let ended = async { while events.next().await.is_some() {} };
    within(LIMIT, "the stream ends", ended).await;
    let refused = site.get("/v1/events").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    site.end().await;
}

#[tokio::test]
async fn more_viewers_than_may_look_are_refused_until_one_leaves() {
    let site = Site::start(3).await;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        let mut events = site.watch().await;
        events.next().await.unwrap();
        viewers.push(events);
    }
    let refused = site.get("/v1/events").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/problem+json");
    viewers.pop();
    eventually("there is a seat again", async || {
        let status = site.get("/v1/events").send().await.unwrap().status();
        if status == StatusCode::OK { Ok(()) } else { Err(status) }
    })
    .await;
    drop(viewers);
    site.end().await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_not_what_it_missed() {
    let site = Site::start(3).await;
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let answer = site.service.router().oneshot(request).await.unwrap();
    // Not read meanwhile, and with no buffer of any system in between.
    let mut slow = pin!(answer.into_body().into_data_stream());
    within(LIMIT, "the first", slow.next()).await.unwrap().unwrap();

    let mut quick = site.watch().await;
    let token = site.lock(&[("key", "job")]).await;
    quick.until("it is held", |snapshot| keys(snapshot) == ["job"]).await;
    site.unlock("job", &token).await;
    quick.until("it is not held", |snapshot| keys(snapshot).is_empty()).await;

    let next = within(LIMIT, "the newest", slow.next()).await.unwrap().unwrap();
    assert!(!String::from_utf8(next.to_vec()).unwrap().contains("job"));
    drop(quick);
    site.end().await;
}

#[tokio::test]
async fn no_token_is_in_any_event() {
    let settings = Settings::new().bearer_token("s3cret-bearer");
    let site = Site::with(start(3).await, settings).await;
    let bearer = |request: reqwest::RequestBuilder| request.bearer_auth("s3cret-bearer").send();
    let form = [("key", "job"), ("owner", "billing")];
    let answer = bearer(site.http.post(site.url("/lock")).form(&form)).await.unwrap();
    let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    let mut answer = bearer(site.get("/v1/events")).await.unwrap();
    let mut text = String::new();
    while text.matches("event: snapshot").count() < 3 {
        let chunk = within(LIMIT, "more events", answer.chunk()).await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("billing"), "{text}");
    for secret in [&*token, "s3cret", "redis://"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    drop(answer);
    site.end().await;
}

#[tokio::test]
async fn the_stream_is_for_those_with_the_bearer_token_and_the_files_are_for_all() {
    let settings = Settings::new().bearer_token("s3cret-bearer");
    let site = Site::with(start(1).await, settings).await;
    for (path, status) in [
        ("/", StatusCode::OK),
        ("/page.css", StatusCode::OK),
        ("/page.js", StatusCode::OK),
        ("/v1/events", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(site.get(path).send().await.unwrap().status(), status, "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn each_file_says_what_it_is_and_what_it_may_do() {
    let site = Site::start(1).await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = site.get(path).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(headers[header::CONTENT_TYPE], kind);
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        let text = answer.text().await.unwrap();
        for outside in ["http://", "https://", "//cdn", "innerHTML", "eval("] {
            let own = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(outside), "{outside} in {path}");
        }
    }
    let events = site.get("/v1/events").send().await.unwrap();
    assert_eq!(events.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(events.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(events.headers()["x-accel-buffering"], "no");
    drop(events);
    site.end().await;
}

#[tokio::test]
async fn sampler_and_streams_keep_no_client_alive() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let service = Service::new(redlock.clone(), Settings::new()).unwrap();
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let answer = service.router().oneshot(request).await.unwrap();
    let mut stream = pin!(answer.into_body().into_data_stream());
    within(LIMIT, "the first", stream.next()).await.unwrap().unwrap();
    for node in cluster.nodes() {
        eventually("it has asked the node", async || match connections(node).await {
            0 => Err(()),
            _ => Ok(()),
        })
        .await;
    }

    // Not closed: dropped is enough.
    drop((service, redlock));
    for node in cluster.nodes() {
        connected(node, 0).await;
    }
    let ended = async { while stream.next().await.is_some() {} };
    within(LIMIT, "the stream ends", ended).await;
}
