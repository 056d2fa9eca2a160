//! An application behind the layer, on a port of its own, with handlers that a
//! test holds in its hand, and a client.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, body::Body, extract::Request, routing::any};
use redlock_quorum::{Held, Redlock, tower::LockLayer};
use reqwest::{Client, RequestBuilder, Response};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};

use crate::support::{LIMIT, eventually, within};

/// How a request's key is named in these tests: by a header, whose absence is no
/// lock.
pub fn key(request: &Request) -> Option<Vec<u8>> {
    request.headers().get("key").map(|key| key.as_bytes().to_vec())
}

pub type Keyed = fn(&Request) -> Option<Vec<u8>>;

/// The layer of these tests.
pub fn layer(redlock: &Redlock) -> LockLayer<Keyed> {
    LockLayer::new(redlock.clone(), key as Keyed)
}

/// What the handlers do, and how many are in them.
#[derive(Default)]
pub struct Inside {
    pub now: AtomicUsize,
    pub most: AtomicUsize,
    pub total: AtomicUsize,
    /// Handlers for `/held` stay until they are let go, one by one.
    pub go: Notify,
    /// What the last of those sees of its lock.
    pub lock: Mutex<Option<Held>>,
    /// Handlers that were left by being dropped.
    pub dropped: AtomicUsize,
}

/// Counts who is inside, by whichever way it is left.
pub struct Entered(Arc<Inside>, bool);

impl Entered {
    pub fn new(inside: &Arc<Inside>) -> Self {
        let now = inside.now.fetch_add(1, SeqCst) + 1;
        inside.most.fetch_max(now, SeqCst);
        inside.total.fetch_add(1, SeqCst);
        Self(Arc::clone(inside), false)
    }

    pub fn leave(mut self) {
        self.1 = true;
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
        self.0.dropped.fetch_add(usize::from(!self.1), SeqCst);
    }
}

/// The application, served until this is dropped.
pub struct App {
    pub inside: Arc<Inside>,
    address: String,
    client: Client,
    serving: JoinHandle<()>,
}

impl App {
    /// Three handlers behind `layer`: one returns at once, one when it is let go,
    /// one panics.
    pub async fn start(layer: LockLayer<Keyed>) -> Self {
        let inside = Arc::<Inside>::default();
        let (quick, held) = (Arc::clone(&inside), Arc::clone(&inside));
        let router = Router::new()
            .route(
                "/quick",
                any(async move |request: Request| {
                    let entered = Entered::new(&quick);
                    let held = request.extensions().get::<Held>().map(Held::is_held);
                    tokio::task::yield_now().await;
                    entered.leave();
                    format!("held: {held:?}")
                }),
            )
            .route(
                "/held",
                any(async move |request: Request| {
                    *held.lock.lock().unwrap() = request.extensions().get::<Held>().cloned();
                    let entered = Entered::new(&held);
                    held.go.notified().await;
                    entered.leave();
                    "done"
                }),
            )
            .route("/panic", any(async || -> &'static str { panic!("on purpose") }))
            .layer(layer);
        Self::serve(router, inside).await
    }

    pub async fn serve(router: Router, inside: Arc<Inside>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inside, address, client: Client::new(), serving }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub fn post(&self, path: &str, key: &str) -> RequestBuilder {
        self.request("POST", path).header("key", key)
    }

    /// Posts to `/held`, and returns when it is inside.
    pub async fn enter(&self, key: &str) -> JoinHandle<Response> {
        let before = self.inside.total.load(SeqCst);
        let task = tokio::spawn(send(self.post("/held", key)));
        eventually("it is inside", async || {
            let total = self.inside.total.load(SeqCst);
            if total > before { Ok(()) } else { Err(total) }
        })
        .await;
        task
    }

    /// Waits until the last who entered has lost its lock.
    pub async fn lost(&self) {
        let lock = self.inside.lock.lock().unwrap().clone().unwrap();
        within(LIMIT, "it is lost", lock.lost_token().cancelled()).await;
    }

    /// Waits until nobody is inside any more.
    pub async fn empty(&self) {
        eventually("nobody is inside", async || {
            let now = self.inside.now.load(SeqCst);
            if now == 0 { Ok(()) } else { Err(now) }
        })
        .await;
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub async fn send(request: RequestBuilder) -> Response {
    within(LIMIT, "it answers", request.send()).await.unwrap()
}

/// Status, `Retry-After` and text.
pub async fn answer(request: RequestBuilder) -> (u16, Option<u64>, String) {
    let response = send(request).await;
    let after = response.headers().get("retry-after");
    let after = after.map(|after| after.to_str().unwrap().parse().unwrap());
    (response.status().as_u16(), after, response.text().await.unwrap())
}

/// A body whose end a test decides on.
pub fn stream(permits: Arc<Semaphore>) -> Body {
    let frames = futures_util::stream::unfold((permits, 0), async |(permits, sent)| {
        permits.acquire().await.ok()?.forget();
        Some((Ok::<_, std::io::Error>("frame"), (permits, sent + 1)))
    });
    Body::from_stream(frames)
}
