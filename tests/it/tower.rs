//! Requests that take turns: who is let in, who waits, and what the others are
//! answered.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use axum::{Extension, Router, extract::Request, http::Method, routing::post};
use bytes::Bytes;
use redlock_quorum::{
    Held, Redlock,
    testing::Cluster,
    tower::{LockLayer, Reason},
};
use tokio::sync::Barrier;

use crate::{
    support::{
        LIMIT, assert_no_keys_but, builder, client, connect, finish, ms, seen, start,
        take_elsewhere, within,
    },
    tower_stand::{App, answer, layer, send},
};

async fn kill_majority(cluster: &Cluster) {
    for node in &cluster.nodes()[..2] {
        node.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_one_key_are_never_inside_together() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock).wait(LIMIT)).await;
    let requests: Vec<_> = (0..50).map(|_| answer(app.post("/quick", "order"))).collect();
    for done in futures_util::future::join_all(requests).await {
        assert_eq!(done, (200, None, "held: Some(true)".to_owned()));
    }
    assert_eq!((app.inside.most.load(SeqCst), app.inside.total.load(SeqCst)), (1, 50));
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn requests_for_different_keys_do_not_wait_for_each_other() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    // Nobody gets out before both are in.
    let both = Arc::new(Barrier::new(2));
    let handler = async move || {
        both.wait().await;
    };
    let router = Router::new().route("/", post(handler).layer(layer(&redlock)));
    let app = App::serve(router, Arc::default()).await;
    let (one, two) = tokio::join!(answer(app.post("/", "1")), answer(app.post("/", "2")));
    assert_eq!((one.0, two.0), (200, 200));
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_handler_has_its_locks_fencing_number_where_the_layer_asks_for_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let handler = async |Extension(held): Extension<Held>| match held.fencing_number() {
        Some(number) => number.to_string(),
        None => "none".to_owned(),
    };
    let router = Router::new()
        .route("/", post(handler).layer(layer(&redlock).fenced()))
        .route("/plain", post(handler).layer(layer(&redlock)));
    let app = App::serve(router, Arc::default()).await;
    let mut last: u64 = 0;
    for _ in 0..3 {
        let number = answer(app.post("/", "order")).await.2.parse().unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
    }
    assert_eq!(answer(app.post("/plain", "order")).await.2, "none");
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(&cluster, &["order:fence"]).await;
}

#[tokio::test]
async fn who_comes_while_it_is_held_is_refused_and_told_when_to_come_again() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock).ttl(Duration::from_secs(100))).await;
    let held = app.enter("order").await;
    let (status, after, text) = answer(app.post("/quick", "order")).await;
    assert_eq!(status, 409);
    assert!(after.is_some_and(|after| (50..=100).contains(&after)), "{after:?}");
    assert!(text.contains("another request") && !text.contains("order"), "{text}");
    assert_eq!(answer(app.post("/quick", "other")).await.0, 200);
    // Another program's lock counts the same.
    take_elsewhere(cluster.nodes(), "taken").await;
    assert_eq!(answer(app.post("/quick", "taken")).await.0, 409);
    let locked = App::start(layer(&redlock).busy_status(axum::http::StatusCode::LOCKED)).await;
    assert_eq!(answer(locked.post("/quick", "order")).await.0, 423);
    app.inside.go.notify_one();
    assert_eq!(held.await.unwrap().text().await.unwrap(), "done");
    seen(&redlock).await;
    assert_eq!(answer(app.post("/quick", "order")).await.0, 200);
    redlock.shutdown(LIMIT).await.unwrap();
}

#[tokio::test]
async fn who_waits_is_let_in_and_no_more_than_may_wait() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock).wait(LIMIT).max_queued(1)).await;
    let held = app.enter("order").await;
    let queued = tokio::spawn(answer(app.post("/quick", "order")));
    // Whoever is refused shows that the other has the place.
    let refused = crate::support::eventually("the place is taken", async || {
        let request = app.post("/quick", "order").timeout(ms(300));
        match request.send().await {
            Ok(response) => Ok(response),
            Err(error) => Err(error),
        }
    })
    .await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    app.inside.go.notify_one();
    assert_eq!(held.await.unwrap().status(), 200);
    let (status, _, text) = within(LIMIT, "it is let in", queued).await.unwrap();
    assert_eq!((status, &*text), (200, "held: Some(true)"));
    assert_eq!(answer(app.post("/quick", "order")).await.0, 200, "the place is free");
    assert_eq!(app.inside.most.load(SeqCst), 1);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn without_a_quorum_it_is_unavailable_and_what_needs_no_lock_passes() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    let app = App::start(layer(&redlock)).await;
    kill_majority(&cluster).await;
    let (status, after, text) = answer(app.post("/quick", "order")).await;
    assert_eq!((status, after), (503, Some(1)), "{text}");
    assert!(text.contains("unavailable"), "{text}");
    assert_eq!(answer(app.request("POST", "/quick")).await, (200, None, "held: None".into()));
    for method in ["GET", "OPTIONS"] {
        let request = app.request(method, "/quick").header("key", "order");
        assert_eq!(answer(request).await.0, 200, "{method}");
    }
}

#[tokio::test]
async fn which_methods_are_locked_for_is_said() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "taken").await;
    for (layer, refused) in [
        (layer(&redlock), &["POST", "PUT", "PATCH", "DELETE"][..]),
        (layer(&redlock).methods([Method::PUT, Method::GET]), &["PUT", "GET"]),
        (layer(&redlock).all_methods(), &["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"]),
    ] {
        let app = App::start(layer).await;
        for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"] {
            let status = answer(app.request(method, "/quick").header("key", "taken")).await.0;
            let expected = if refused.contains(&method) { 409 } else { 200 };
            assert_eq!(status, expected, "{method} of {refused:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_locked_is_a_bad_request_and_never_let_in() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock)).await;
    for key in ["", &"k".repeat(1025)] {
        let (status, after, text) = answer(app.post("/quick", key)).await;
        assert_eq!((status, after), (400, None), "{text}");
    }
    let endless = App::start(layer(&redlock).ttl(Duration::from_secs(1 << 40))).await;
    assert_eq!(answer(endless.post("/quick", "k")).await.0, 400);
    let inside = [&app, &endless].map(|app| app.inside.total.load(SeqCst));
    assert_eq!(inside, [0, 0]);
    assert_eq!(answer(app.post("/quick", &"k".repeat(1024))).await.0, 200);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_refusal_is_worded_as_the_application_wants() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "taken").await;
    let layer = layer(&redlock).on_reject(|rejection| {
        assert_eq!((rejection.reason(), rejection.status().as_u16()), (Reason::Busy, 409));
        assert!(rejection.retry_after().is_some());
        assert!(rejection.error().is_some_and(|error| error.to_string().contains("taken")));
        let response = axum::http::Response::builder().status(418).header("x", "y");
        response.body(Bytes::from("my own")).unwrap()
    });
    let app = App::start(layer).await;
    let response = send(app.post("/quick", "taken")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x"]),
        (418, &"y".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "my own");
}

#[tokio::test]
async fn it_shows_neither_password_nor_key() {
    let redlock = Redlock::builder().nodes(["redis://:s3cret@127.0.0.1:1"]).build().unwrap();
    let layer = LockLayer::new(redlock, |_: &Request| Some("k3y"));
    let service = tower::Layer::layer(&layer, ());
    let shown = format!("{layer:?} {layer:#?} {service:?}");
    assert!(shown.contains("LockLayer") && shown.contains("LockService"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("k3y"), "{shown}");
}
