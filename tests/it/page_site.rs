//! The service on a port of its own, as the page's tests want it: with nodes that
//! can be killed, and a client of HTTP that is no browser.

use std::net::SocketAddr;

use redlock_quorum::{
    Redlock,
    http::{Service, Settings},
    testing::Cluster,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, builder, client, eventually, ms, start, within};

/// A service that is served.
pub struct Site {
    pub cluster: Cluster,
    pub service: Service,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Site {
    pub async fn start(nodes: usize) -> Self {
        Self::with(start(nodes).await, Settings::new()).await
    }

    pub async fn with(cluster: Cluster, settings: Settings) -> Self {
        let redlock = client(&cluster);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, cluster, redlock, settings)
    }

    /// With a client that soon notices that a node hangs.
    pub async fn impatient(nodes: usize) -> Self {
        let cluster = start(nodes).await;
        let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, cluster, redlock, Settings::new())
    }

    fn on(listener: TcpListener, cluster: Cluster, redlock: Redlock, settings: Settings) -> Self {
        let service = Service::new(redlock, settings).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, service.router()).with_graceful_shutdown(stopped);
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        let http = reqwest::Client::new();
        Self { cluster, service, address, http, stop, serving }
    }

    /// Ends the service as its program does, and gives the nodes it stood on.
    pub async fn close(self) -> Cluster {
        self.service.close();
        self.stop.cancel();
        within(LIMIT, "the server ends", self.serving).await.unwrap();
        self.cluster
    }

    /// The same with the nodes.
    pub async fn end(self) {
        drop(self.close().await);
    }

    /// An instance at an address that another had.
    pub async fn at(address: SocketAddr, cluster: Cluster) -> Self {
        let listener =
            eventually("the port is free", async || TcpListener::bind(address).await).await;
        let redlock = client(&cluster);
        Self::on(listener, cluster, redlock, Settings::new())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let request = self.http.post(self.url(path)).form(form);
        within(LIMIT, path, request.send()).await.unwrap()
    }

    /// Takes a lock, and gives its token.
    pub async fn lock(&self, form: &[(&str, &str)]) -> String {
        let answer = self.post("/lock", form).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub async fn unlock(&self, key: &str, token: &str) {
        let answer = self.post("/unlock", &[("key", key), ("token", token)]).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// Opens the stream of events.
    pub async fn watch(&self) -> Events {
        let answer = within(LIMIT, "the stream opens", self.get("/v1/events").send()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Events { answer, rest: String::new() }
    }
}

/// A stream of events that is read.
pub struct Events {
    answer: Response,
    rest: String,
}

impl Events {
    /// The next snapshot as it was sent; none when the stream has ended.
    pub async fn next_text(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                return Some(event);
            }
            let chunk = within(LIMIT, "the next event", self.answer.chunk()).await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub async fn next(&mut self) -> Option<Value> {
        let event = self.next_text().await?;
        let data = event.strip_prefix("event: snapshot\ndata: ").unwrap();
        Some(serde_json::from_str(data).unwrap())
    }

    /// Reads on until a snapshot is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let snapshot = self.next().await.expect("the stream goes on");
            if wanted(&snapshot) { Ok(snapshot) } else { Err(snapshot) }
        })
        .await
    }
}
