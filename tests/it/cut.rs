//! Connections that are cut while they are made, at any byte that real servers send: ordinary
//! broken connections, whatever was refused in the login before, and made anew soon.
//!
//! That it is soon is seen by how often it is tried: what someone has to change first is tried
//! every 5 s (a connection that listens: every minute), so that many tries would be too late here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use redlock_quorum::{Builder, Error, NodeErrorKind, Redlock, Tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    certs::Authority,
    permissions::ENOUGH,
    support::{LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, listening, set_up, start, wait_for},
    tls::Server,
};

/// So many tries in a row are over well before [`LIMIT`], if they are made soon.
const TRIES: usize = 7;

/// More than a server says in a handshake and a login.
const MOST_BYTES: usize = 8_000;

/// A way to a server that cuts some connections.
struct Cutter {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// So many connections are still cut,
    cuts: AtomicUsize,
    /// each when the server has said so many bytes on it.
    after: AtomicUsize,
    /// Those for commands are spared.
    spares_commands: AtomicBool,
}

impl Cutter {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    fn cut(&self, connections: usize, after: usize) {
        self.state.after.store(after, SeqCst);
        self.state.cuts.store(connections, SeqCst);
    }

    fn has_cut_all(&self) -> bool {
        self.state.cuts.load(SeqCst) == 0
    }
}

async fn pass(mut client: TcpStream, server: String, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let mut first = [0; 4096];
    let Ok(len @ 1..) = client.read(&mut first).await else { return };
    if server.write_all(&first[..len]).await.is_err() {
        return;
    }
    let is_for_commands = first.windows(13).any(|window| window == b"redlock:probe");
    let is_spared = is_for_commands && state.spares_commands.load(SeqCst);
    let one_less = |left: usize| left.checked_sub(1);
    if is_spared || state.cuts.fetch_update(SeqCst, SeqCst, one_less).is_err() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let after = state.after.load(SeqCst) as u64;
    let ((mut from_client, mut to_client), (from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let mut from_server = from_server.take(after);
    tokio::select! {
        _ = copy(&mut from_server, &mut to_client) => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}

/// What is said of the only node, if its connection was cut before it could be used.
fn cut_while_made(error: &Error) -> Option<String> {
    let told = error.nodes()[0].error().unwrap();
    let is_made = told.kind() == NodeErrorKind::ConnectionLost;
    assert!(is_made || told.kind() == NodeErrorKind::Unreachable, "{error}");
    assert!(told.is_transient(), "{error}");
    (!is_made).then(|| told.to_string())
}

/// Cuts the first connection of new clients, each a little later than the one before, until it
/// is cut too late to matter. Gives the first place of each step that was named.
async fn cut_everywhere(
    cutter: &Cutter,
    step: usize,
    client: impl Fn() -> Builder,
) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for after in (0..MOST_BYTES).step_by(step) {
        cutter.cut(1, after);
        let redlock = client().build().unwrap();
        let outcome = redlock.try_lock("job").await;
        let told = outcome.as_ref().err().and_then(cut_while_made);
        drop(outcome);
        redlock.lock("job").wait(LIMIT).await.unwrap().release().await.unwrap();
        redlock.shutdown(LIMIT).await.unwrap();
        let Some(told) = told else { break };
        let (_, step) = told.split_once(", ").expect("where it was cut");
        // Without a reason, it was slow.
        let step = step.split_once(": ").map_or(step, |(step, _)| step);
        places.entry(step.to_owned()).or_insert(after);
    }
    assert!(cutter.has_cut_all() && !places.contains_key("connecting"), "{places:?}");
    places
}

/// It is tried so often that it is up in time, though so many connections are cut.
async fn tried_soon(cutter: &Cutter, after: usize, builder: Builder) {
    cutter.cut(TRIES, after);
    let redlock = builder.build().unwrap();
    redlock.lock("job").wait(LIMIT).await.unwrap().release().await.unwrap();
    assert!(cutter.has_cut_all());
    redlock.shutdown(LIMIT).await.unwrap();
}

/// With the least ACL, servers refuse courtesies in the middle of the login.
#[tokio::test]
async fn a_login_that_is_cut_anywhere_is_a_broken_connection_and_tried_soon() {
    let cluster = start(1).await;
    set_up(cluster.nodes(), &format!("ACL SETUSER locker on >pw {ENOUGH}")).await;
    let cutter = Cutter::before(cluster.nodes()[0].address()).await;
    let url = format!("redis://locker:pw@127.0.0.1:{}", cutter.port);
    let builder = || {
        let builder = Redlock::builder().nodes([&url]).key_prefix("app:").ttl(TTL);
        builder.node_timeout(NODE_TIMEOUT)
    };
    let places = cut_everywhere(&cutter, 4, builder).await;
    for command in ["AUTH", "HELLO", "CLIENT SETINFO", "INFO", "GET", "SET", "EVAL"] {
        let step = format!("logging in, at {command}");
        assert!(places.contains_key(&step), "{command}: {places:?}");
    }
    let behind_a_refusal = places["logging in, at SET"];
    tried_soon(&cutter, behind_a_refusal, builder()).await;

    // The same where it waits.
    let (holder, waiter) = (builder().build().unwrap(), builder().build().unwrap());
    let guard = holder.lock("job").wait(LIMIT).await.unwrap();
    cutter.state.spares_commands.store(true, SeqCst);
    cutter.cut(TRIES, places["logging in, at CLIENT SETINFO"]);
    let waiting = wait_for(&waiter, "job");
    listening(cluster.nodes(), "app:job").await;
    assert!(cutter.has_cut_all());
    guard.release().await.unwrap();
    crate::support::got(waiting).await.release().await.unwrap();
    for redlock in [holder, waiter] {
        redlock.shutdown(LIMIT).await.unwrap();
    }
    assert_no_keys(&cluster).await;
}

/// Only a server's alert is a matter of settings.
#[tokio::test]
async fn a_tls_handshake_that_is_cut_anywhere_is_a_broken_connection_and_tried_soon() {
    let authority = Authority::new();
    let Some(server) = Server::start(&authority.sign(&["127.0.0.1"]), None).await else { return };
    let url = server.url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let cutter = Cutter::before(format!("127.0.0.1:{port}")).await;
    let url = format!("rediss://127.0.0.1:{}", cutter.port);
    let builder = || {
        let tls = Tls::new().root_pem(authority.pem()).unwrap();
        Redlock::builder().nodes([&url]).tls(tls).ttl(TTL).node_timeout(NODE_TIMEOUT)
    };
    let places = cut_everywhere(&cutter, 96, builder).await;
    assert!(places.contains_key("in the TLS handshake"), "{places:?}");
    tried_soon(&cutter, 96, builder()).await;
}
