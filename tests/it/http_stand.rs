//! The lock service in this process, on a port of its own, and a client.

use std::time::Duration;

use redlock_quorum::{
    Redlock,
    http::{Service, Settings},
    testing::Cluster,
};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{LIMIT, builder, eventually, within};

/// Longer than any test, and within what a service allows by default.
pub const TTL_MS: u64 = 600_000;

pub const FORM: &str = "application/x-www-form-urlencoded";

/// A service that is served until this is dropped.
pub struct Served {
    pub redlock: Redlock,
    pub service: Service,
    pub address: String,
    client: Client,
    serving: JoinHandle<()>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Served {
    pub async fn new(cluster: &Cluster) -> Self {
        Self::with(cluster, settings()).await
    }

    pub async fn with(cluster: &Cluster, settings: Settings) -> Self {
        Self::of(builder(cluster).build().unwrap(), settings).await
    }

    pub async fn of(redlock: Redlock, settings: Settings) -> Self {
        let service = Service::new(redlock.clone(), settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = service.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { redlock, service, address, client: Client::new(), serving }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    /// Posts a form, whose encoding is the caller's.
    pub async fn form(&self, path: &str, body: impl Into<String>) -> Answer {
        send(self.request("POST", path).header(CONTENT_TYPE, FORM).body(body.into())).await
    }

    pub async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        send(request.body(body.to_owned())).await
    }

    /// Takes `key` by `/lock`, and gives its token.
    pub async fn lock(&self, key: &str) -> String {
        let answer = self.form("/lock", format!("key={key}&ttl_ms={TTL_MS}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.token()
    }

    /// Begins to wait for `key` by `/lock`, and returns when it waits.
    pub async fn wait_for(&self, key: &str, waiting: usize) -> JoinHandle<Answer> {
        let body = format!("key={key}&ttl_ms={TTL_MS}&wait_ms=60000");
        let request = self.request("POST", "/lock").header(CONTENT_TYPE, FORM).body(body);
        let task = tokio::spawn(send(request));
        self.shows(&format!("redlock_waiting {waiting}")).await;
        task
    }

    /// Waits until `/metrics` has that line.
    pub async fn shows(&self, line: &str) {
        eventually(line, async || {
            let text = self.get("/metrics").await.body;
            if text.lines().any(|shown| shown == line) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// A connection on which that has been sent.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        stream
    }

    /// What is answered to those bytes, until the service hangs up.
    pub async fn answer_to(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.raw(request).await;
        let mut answer = Vec::new();
        within(LIMIT, "it hangs up", stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Those of a test: nothing ends by itself in it.
pub fn settings() -> Settings {
    Settings::new().ttl(Duration::from_millis(TTL_MS))
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = within(LIMIT, "it answers", request.send()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = within(LIMIT, "the body comes", response.text()).await.unwrap();
    Answer { status, headers, body }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap())
    }

    pub fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn token(&self) -> String {
        self.value()["token"].as_str().unwrap_or_else(|| panic!("no token: {self:?}")).to_owned()
    }

    /// The number of seconds in `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").map(|seconds| seconds.parse().unwrap())
    }

    pub fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body));
    }
}
