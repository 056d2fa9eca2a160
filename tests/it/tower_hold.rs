//! For how long a request's lock is held: renewed, lost, given back, by whichever
//! way the request ends.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use axum::{Router, routing::post};
use redlock_quorum::{
    Redlock,
    testing::Cluster,
    tower::{Hold, LockLayer, OnLoss},
};
use tokio::sync::Semaphore;

use crate::{
    support::{
        LIMIT, assert_no_keys, builder, client, connect, eventually, finish, ms, ours_executed,
        run_on, start, within,
    },
    tower_stand::{App, Keyed, answer, layer, send, stream},
};

/// Waits until nobody holds `key`.
async fn free(redlock: &Redlock, key: &str) {
    eventually("it is free", async || {
        let seen = redlock.inspect(key).await.unwrap();
        if seen.votes() == 0 { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_takes_longer_than_the_ttl_keeps_its_lock() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let app = App::start(layer(&redlock).ttl(Duration::from_secs(3))).await;
    let held = app.enter("order").await;
    let before = ours_executed(&cluster.nodes()[0]).await;
    // Each a third of the ttl after the other, and a ttl is over after them.
    eventually("it is renewed four times", async || {
        let renewed = ours_executed(&cluster.nodes()[0]).await - before;
        if renewed >= 4 { Ok(()) } else { Err(renewed) }
    })
    .await;
    assert_eq!(answer(app.post("/quick", "order")).await.0, 409);
    app.inside.go.notify_one();
    assert_eq!(held.await.unwrap().status(), 200);
    finish(&redlock, &cluster).await;
}

/// A request under way whose lock is then taken away on the servers.
async fn lose(cluster: &Cluster, layer: LockLayer<Keyed>) -> (App, reqwest::Response) {
    let app = App::start(layer.ttl(Duration::from_secs(3))).await;
    let held = app.enter("order").await;
    run_on(cluster.nodes(), "SET order another PX 600000").await;
    app.lost().await;
    app.inside.go.notify_one();
    let response = held.await.unwrap();
    (app, response)
}

#[tokio::test]
async fn a_lost_lock_ends_the_handler() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (app, response) = lose(&cluster, layer(&redlock)).await;
    assert_eq!((response.status().as_u16(), response.headers().get("retry-after")), (503, None));
    assert!(response.text().await.unwrap().contains("lost"));
    assert_eq!((app.inside.dropped.load(SeqCst), app.inside.now.load(SeqCst)), (1, 0));
}

#[tokio::test]
async fn a_lost_lock_lets_the_handler_finish_where_it_shall() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (app, response) = lose(&cluster, layer(&redlock).on_loss(OnLoss::Finish)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "done");
    assert_eq!(app.inside.dropped.load(SeqCst), 0);
}

/// An application whose response goes on until `permits` end.
async fn streaming(layer: LockLayer<Keyed>) -> (App, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(1));
    let body = Arc::clone(&permits);
    let handler = async move || stream(Arc::clone(&body));
    let router = Router::new().route("/stream", post(handler).layer(layer));
    (App::serve(router, Arc::default()).await, permits)
}

#[tokio::test]
async fn it_is_held_until_the_response_or_until_its_bodys_end() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for hold in [Hold::UntilResponse, Hold::UntilBodyEnd] {
        let (app, permits) = streaming(layer(&redlock).hold(hold)).await;
        let mut response = send(app.post("/stream", "order")).await;
        assert_eq!(response.chunk().await.unwrap().unwrap(), "frame");
        if hold == Hold::UntilResponse {
            free(&redlock, "order").await;
        } else {
            assert!(redlock.inspect("order").await.unwrap().is_held());
            assert_eq!(answer(app.post("/stream", "order")).await.0, 409);
        }
        permits.add_permits(1);
        assert_eq!(response.chunk().await.unwrap().unwrap(), "frame");
        permits.close();
        assert_eq!(response.chunk().await.unwrap(), None, "complete");
        free(&redlock, "order").await;
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_body_is_cut_short_when_the_lock_is_lost_under_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let layer = layer(&redlock).hold(Hold::UntilBodyEnd).ttl(Duration::from_secs(3));
    let (app, _permits) = streaming(layer).await;
    let mut response = send(app.post("/stream", "order")).await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "frame");
    run_on(cluster.nodes(), "SET order another PX 600000").await;
    let next = within(LIMIT, "it ends", response.chunk()).await;
    assert!(next.is_err(), "not as if it were complete: {next:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock).wait(LIMIT).max_queued(1)).await;
    let held = app.enter("order").await;
    let queued = tokio::spawn(send(app.post("/held", "order")));
    eventually("it is queued", async || {
        let refused = app.post("/quick", "order").timeout(ms(300)).send().await;
        if refused.is_ok_and(|refused| refused.status() == 429) { Ok(()) } else { Err(()) }
    })
    .await;
    // The one that waits, then the one inside.
    queued.abort();
    let waits = tokio::spawn(async move { queued.await.unwrap_err().is_cancelled() });
    assert!(waits.await.unwrap());
    held.abort();
    app.empty().await;
    assert_eq!((app.inside.total.load(SeqCst), app.inside.dropped.load(SeqCst)), (1, 1));
    assert_no_keys(&cluster).await;
    assert_eq!(answer(app.post("/quick", "order")).await.0, 200, "the place is free");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_handler_that_panics_leaves_no_key() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let app = App::start(layer(&redlock)).await;
    let answer = within(LIMIT, "it ends", app.post("/panic", "order").send()).await;
    assert!(answer.is_err(), "{answer:?}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_release_that_fails_does_not_change_the_response() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    let app = App::start(layer(&redlock)).await;
    let held = app.enter("order").await;
    for node in &cluster.nodes()[..2] {
        node.kill().await.unwrap();
    }
    app.inside.go.notify_one();
    let response = held.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "done");
}
