//! The layer in other places than an axum route: a stack of layers, hyper alone,
//! tonic.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, body::Body, extract::Request, routing::post};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use redlock_quorum::tower::{LockLayer, Reason, path_key};
use tokio::net::TcpListener;
use tonic::{Code, transport::Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::{
    support::{client, finish, start, take_elsewhere},
    tower_stand::{App, answer, layer},
};

#[tokio::test]
async fn it_is_a_layer_of_a_router_and_of_its_routes() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "taken").await;
    let route = || Router::new().route("/", post(async || "done"));
    let stack = ServiceBuilder::new().layer(layer(&redlock)).concurrency_limit(1);
    for router in
        [route().layer(layer(&redlock)), route().route_layer(layer(&redlock)), route().layer(stack)]
    {
        let app = App::serve(router, Arc::default()).await;
        assert_eq!(answer(app.post("/", "free")).await.0, 200);
        assert_eq!(answer(app.post("/", "taken")).await.0, 409);
    }
    redlock.shutdown(crate::support::LIMIT).await.unwrap();
}

/// The limit's permit is with the service that was polled: calling another one
/// panics.
#[tokio::test]
async fn the_service_that_is_ready_is_the_one_that_is_called() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let inner =
        service_fn(async |_: Request| Ok::<_, Infallible>(http::Response::new(Body::from("done"))));
    let mut service =
        ServiceBuilder::new().layer(layer(&redlock)).concurrency_limit(1).service(inner);
    for _ in 0..3 {
        let request = http::Request::post("/").header("key", "k").body(Body::empty()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
    }
    drop(service);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_error_of_the_service_passes_through() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let inner = service_fn(async |_: Request| Err::<http::Response<Body>, _>("its own"));
    let service = ServiceBuilder::new().layer(layer(&redlock)).service(inner);
    let request = http::Request::post("/").header("key", "k").body(Body::empty()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap_err(), "its own");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn hyper_alone_serves_it() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "/taken").await;
    let path = |request: &http::Request<hyper::body::Incoming>| Some(path_key(request));
    let service =
        ServiceBuilder::new().layer(LockLayer::new(redlock.clone(), path)).service_fn(async |_| {
            Ok::<_, Infallible>(http::Response::new(Full::new(bytes::Bytes::from("done"))))
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                // How the client ends it is the client's affair.
                let _ = connection.await;
            });
        }
    });
    let client = reqwest::Client::new();
    for (path, status, text) in [
        ("/free", 200, "done"),
        ("/taken", 409, "another request"),
        ("/t%61ken?x", 409, "another request"),
    ] {
        let response = client.post(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.text().await.unwrap().contains(text));
    }
    serving.abort();
    redlock.shutdown(crate::support::LIMIT).await.unwrap();
}

#[tokio::test]
async fn tonic_answers_in_its_own_way() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let method = |request: &http::Request<tonic::body::Body>| Some(request.uri().path().to_owned());
    let layer = LockLayer::new(redlock.clone(), method).on_reject(|rejection| {
        let code =
            if rejection.reason() == Reason::Busy { Code::Aborted } else { Code::Unavailable };
        let response = http::Response::builder().header("content-type", "application/grpc");
        let response = response.header("grpc-status", i32::from(code).to_string());
        response.body(bytes::Bytes::new()).unwrap()
    });
    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let serving = tokio::spawn(
        Server::builder().layer(layer).add_service(health).serve_with_incoming(incoming),
    );
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = || HealthCheckRequest { service: String::new() };
    assert_eq!(client.check(request()).await.unwrap().into_inner().status, 1);
    // gRPC's methods are all POST.
    take_elsewhere(cluster.nodes(), "/grpc.health.v1.Health/Check").await;
    let refused = client.check(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
    serving.abort();
    redlock.shutdown(crate::support::LIMIT).await.unwrap();
}
