//! A network that holds back what a client sent, and delivers it after the
//! client has hung up: what a router, a proxy or a slow link may do.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

/// A proxy before one server. Dropping it leaves its connections to end with
/// the test's runtime.
pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The connections that are held: all that were open when `hold` was called.
    holding: AtomicBool,
    passing: AtomicUsize,
    held: Mutex<Vec<Arc<Held>>>,
    connections: AtomicUsize,
}

/// One held connection.
#[derive(Default)]
struct Held {
    bytes: Mutex<Vec<u8>>,
    cut: Notify,
    pass: Notify,
    deliver: Notify,
    delivered: AtomicBool,
    refused: AtomicBool,
}

impl Proxy {
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                shared.connections.fetch_add(1, SeqCst);
                let held = Arc::new(Held::default());
                shared.held.lock().unwrap().push(Arc::clone(&held));
                tokio::spawn(relay(client, upstream, Arc::clone(&shared), held));
            }
        });
        Self { url, state }
    }

    /// From now on keeps what is sent on the connections that are open.
    pub fn hold(&self) {
        self.state.holding.store(true, SeqCst);
    }

    /// How many bytes are kept.
    pub fn held_bytes(&self) -> usize {
        self.state.held.lock().unwrap().iter().map(|held| held.bytes.lock().unwrap().len()).sum()
    }

    /// Lets the first `bytes` through that each connection keeps.
    pub fn pass(&self, bytes: usize) {
        self.state.passing.store(bytes, SeqCst);
        self.state.held.lock().unwrap().iter().for_each(|held| held.pass.notify_one());
    }

    /// Keeps nothing any more.
    pub fn open(&self) {
        self.state.holding.store(false, SeqCst);
        self.pass(usize::MAX);
    }

    /// Breaks those connections towards the client, keeping what it sent; new
    /// ones pass.
    pub fn cut(&self) {
        self.state.holding.store(false, SeqCst);
        self.state.held.lock().unwrap().iter().for_each(|held| held.cut.notify_one());
    }

    /// Delivers what was kept to the server. `true` once it has answered.
    pub fn deliver(&self) {
        self.state.held.lock().unwrap().iter().for_each(|held| held.deliver.notify_one());
    }

    pub fn delivered(&self) -> bool {
        self.state.held.lock().unwrap().iter().any(|held| held.delivered.load(SeqCst))
    }

    /// Whether the server has answered to what was kept that its fence is above that.
    pub fn was_stale(&self) -> bool {
        self.state.held.lock().unwrap().iter().any(|held| held.refused.load(SeqCst))
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }
}

async fn relay(client: TcpStream, upstream: TcpStream, state: Arc<State>, held: Arc<Held>) {
    let (from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    tokio::select! {
        () = forward(from_client, &mut to_server, &state, &held) => {}
        () = answer(&mut from_server, to_client) => {}
        () = held.cut.notified() => {}
    }
    // Both halves of the client are gone; what it sent may still arrive.
    held.deliver.notified().await;
    let bytes = std::mem::take(&mut *held.bytes.lock().unwrap());
    if !bytes.is_empty() {
        to_server.write_all(&bytes).await.unwrap();
        let mut reply = [0; 5];
        from_server.read_exact(&mut reply).await.unwrap();
        held.delivered.store(&reply == b"+OK\r\n", SeqCst);
        held.refused.store(matches!(reply, [b':', b'1'..=b'9', ..]), SeqCst);
    }
}

async fn forward(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, state: &State, held: &Held) {
    let mut chunk = [0; 4096];
    loop {
        let read = tokio::select! {
            biased;
            () = held.pass.notified() => {
                let first = {
                    let mut kept = held.bytes.lock().unwrap();
                    let bytes = state.passing.load(SeqCst).min(kept.len());
                    kept.drain(..bytes).collect::<Vec<_>>()
                };
                to.write_all(&first).await.unwrap();
                continue;
            }
            read = from.read(&mut chunk) => read,
        };
        let Ok(len @ 1..) = read else { return };
        if state.holding.load(SeqCst) {
            held.bytes.lock().unwrap().extend_from_slice(&chunk[..len]);
        } else if to.write_all(&chunk[..len]).await.is_err() {
            return;
        }
    }
}

async fn answer(from: &mut OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut chunk).await {
        if to.write_all(&chunk[..len]).await.is_err() {
            return;
        }
    }
}
