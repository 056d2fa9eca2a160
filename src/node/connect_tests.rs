//! Making a connection, in a world that does what the test wants: names with addresses that are
//! dead, look-ups that take their time, servers that hang up while we log in. The clock is
//! tokio's, which is paused, and connections are in memory: so nobody waits.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use rand::rngs::StdRng;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::{Notify, mpsc},
};

use super::{
    connect::{Connected, connect},
    endpoint::Endpoint,
    login::Purpose,
};
use crate::{
    node_error::{NodeError, NodeErrorKind},
    protocol::Moment,
    world::{Pending, Place, Stream, System, World},
};

/// What answers a look-up, and what becomes of a connection.
#[derive(Debug)]
struct Fake {
    addresses: Vec<SocketAddr>,
    /// Whether a look-up waits until it is told to go on.
    is_slow: bool,
    go_on: Notify,
    look_ups: AtomicUsize,
    /// Where the server's ends of connections go.
    accepts: mpsc::UnboundedSender<DuplexStream>,
}

/// The server's side.
type Listener = mpsc::UnboundedReceiver<DuplexStream>;

/// A name with these addresses.
fn name(addresses: impl Into<Vec<SocketAddr>>) -> (Arc<Fake>, Listener) {
    let (accepts, listener) = mpsc::unbounded_channel();
    let fake = Fake {
        addresses: addresses.into(),
        is_slow: false,
        go_on: Notify::new(),
        look_ups: AtomicUsize::new(0),
        accepts,
    };
    (Arc::new(fake), listener)
}

fn slow_name(addresses: impl Into<Vec<SocketAddr>>) -> (Arc<Fake>, Listener) {
    let (fake, listener) = name(addresses);
    let fake = Fake { is_slow: true, ..Arc::into_inner(fake).unwrap() };
    (Arc::new(fake), listener)
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 6379)) // of RFC 5737: nobody has it
}

fn address_v6(last: u8) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()], 6379)) // of RFC 3849, too
}

fn is(place: SocketAddr, last: u8) -> bool {
    [address(last), address_v6(last)].contains(&place)
}

/// Answers nothing, refuses, and serves.
const DEAD: u8 = 1;
const REFUSING: u8 = 2;
const ALIVE: u8 = 3;

#[derive(Debug, Clone)]
struct Handle(Arc<Fake>);

impl World for Handle {
    fn now(&self) -> Moment {
        System.now()
    }

    fn wall(&self) -> SystemTime {
        System.wall()
    }

    fn sleep(&self, span: Duration) -> Pending<()> {
        Box::pin(tokio::time::sleep(span))
    }

    fn look_up(&self, _host: &str, _port: u16) -> Pending<io::Result<Vec<SocketAddr>>> {
        let fake = Arc::clone(&self.0);
        fake.look_ups.fetch_add(1, SeqCst);
        Box::pin(async move {
            if fake.is_slow {
                fake.go_on.notified().await;
            }
            Ok(fake.addresses.clone())
        })
    }

    fn dial(&self, place: &Place) -> Pending<io::Result<Stream>> {
        let Place::Tcp(place) = place else { panic!("no sockets here") };
        if is(*place, DEAD) {
            return Box::pin(std::future::pending());
        }
        let outcome: io::Result<Stream> = if is(*place, REFUSING) {
            Err(io::ErrorKind::ConnectionRefused.into())
        } else {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            self.0.accepts.send(theirs).unwrap();
            Ok(Box::new(ours))
        };
        Box::pin(std::future::ready(outcome))
    }

    fn rng(&self) -> StdRng {
        System.rng()
    }
}

const OLD_SERVER: &str = "-ERR unknown command 'HELLO'\r\n";
const REST: &str = "+OK\r\n+OK\r\n-NOPERM no\r\n-NOPERM no\r\n$-1\r\n+OK\r\n:1\r\n";

/// How much of the paused clock's time `call` takes.
#[expect(clippy::disallowed_methods, reason = "the clock is paused: this is no time")]
async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let begun = tokio::time::Instant::now();
    let outcome = call.await;
    (outcome, begun.elapsed())
}

async fn try_once(fake: &Arc<Fake>, endpoint: &Arc<Endpoint>) -> Result<Connected, NodeError> {
    let world = Arc::new(Handle(Arc::clone(fake)));
    connect(Arc::clone(endpoint), world, Purpose::Commands).await
}

fn endpoint() -> Arc<Endpoint> {
    Arc::new(Endpoint::from_url("redis://lock1:6379", 1).unwrap())
}

/// Reads until the probe has been said, if it is, and answers with `replies`.
async fn answer(listener: &mut Listener, replies: &str) -> (Vec<u8>, DuplexStream) {
    let mut stream = listener.recv().await.unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"$0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0);
    }
    stream.write_all(replies.as_bytes()).await.unwrap();
    (said, stream)
}

/// How long it takes to connect to an old server behind a name.
async fn time_to_connect(addresses: &[SocketAddr]) -> Duration {
    let (fake, mut listener) = name(addresses);
    let (replies, endpoint) = ([OLD_SERVER, REST].concat(), endpoint());
    let serving = answer(&mut listener, &replies);
    let connecting = async { tokio::join!(try_once(&fake, &endpoint), serving).0 };
    let (connected, took) = timed(connecting).await;
    connected.unwrap();
    took
}

#[tokio::test(start_paused = true)]
async fn dead_addresses_first_cost_a_quarter_of_a_second_each() {
    let took = time_to_connect(&[DEAD, DEAD, ALIVE].map(address)).await;
    assert_eq!(took.as_millis() / 10, 50);
}

#[tokio::test(start_paused = true)]
async fn a_dead_address_of_either_family_first_costs_a_quarter_of_a_second() {
    for addresses in [[address_v6(DEAD), address(ALIVE)], [address(DEAD), address_v6(ALIVE)]] {
        let took = time_to_connect(&addresses).await;
        assert_eq!(took.as_millis() / 10, 25, "{addresses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_costs_nothing() {
    assert_eq!(time_to_connect(&[REFUSING, ALIVE].map(address)).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn each_step_is_named_where_it_fails() {
    let (fake, _listener) = name([]);
    let error = try_once(&fake, &endpoint()).await.err().unwrap();
    assert_eq!(error.to_string(), "no connection, connecting: the name has no address");
    let (fake, _listener) = name([address(DEAD)]);
    let error = try_once(&fake, &endpoint()).await.err().unwrap();
    assert_eq!(error.to_string(), "no connection in 1s, connecting");
    let (fake, _listener) = slow_name([address(ALIVE)]);
    let error = try_once(&fake, &endpoint()).await.err().unwrap();
    assert_eq!(error.to_string(), "no connection in 1s, looking up its name");
}

/// A look-up that takes longer than an attempt is not begun again: the attempt that finds it
/// done goes on with it.
#[tokio::test(start_paused = true)]
async fn a_slow_look_up_serves_the_attempt_that_comes_when_it_is_done() {
    let (fake, mut listener) = slow_name([address(ALIVE)]);
    let endpoint = endpoint();
    for _ in 0..3 {
        let error = try_once(&fake, &endpoint).await.err().unwrap();
        assert_eq!(error.kind(), NodeErrorKind::Unreachable, "{error}");
    }
    assert_eq!(fake.look_ups.load(SeqCst), 1);
    fake.go_on.notify_one();
    let replies = [OLD_SERVER, REST].concat();
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), answer(&mut listener, &replies));
    connected.unwrap();
    assert_eq!(fake.look_ups.load(SeqCst), 1);
    fake.go_on.notify_one();
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), answer(&mut listener, &replies));
    connected.unwrap();
    assert_eq!(fake.look_ups.load(SeqCst), 2, "the next attempt asks anew");
}

/// twemproxy does so with every command that it does not know.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_twice_on_the_greeting_is_asked_without_it() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let endpoint = endpoint();
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), async {
        drop(answer(&mut listener, "").await);
    });
    let error = connected.err().unwrap();
    assert!(error.to_string().contains("logging in, at HELLO"), "by chance, perhaps: {error}");
    let serving = async {
        let (greeted, first) = answer(&mut listener, "").await;
        drop(first);
        let (plain, stream) = answer(&mut listener, "+OK\r\n:1\r\n").await;
        (greeted, plain, stream)
    };
    let (connected, (greeted, plain, _stream)) = tokio::join!(try_once(&fake, &endpoint), serving);
    assert!(!connected.unwrap().server.greets);
    let has = |said: &[u8], word: &[u8]| said.windows(word.len()).any(|window| window == word);
    assert!(has(&greeted, b"HELLO") && has(&greeted, b"SETINFO") && has(&greeted, b"INFO"));
    assert!(!has(&plain, b"HELLO") && !has(&plain, b"INFO"), "only what a lock needs");
    assert!(plain.starts_with(b"*6\r\n$3\r\nSET"));
}

/// A server that is not greeted does not say that it is a replica, so two hang-ups by chance,
/// however long apart, must not be enough.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_something_in_between_has_not_hung_up_twice() {
    let replica = ("*2\r\n$4\r\nrole\r\n$7\r\nreplica\r\n", NodeErrorKind::ReadOnly);
    let full = ("-ERR max number of clients reached\r\n", NodeErrorKind::TooManyClients);
    for (says, kind) in [replica, full] {
        let (fake, mut listener) = name([address(ALIVE)]);
        let endpoint = endpoint();
        for replies in ["", says, ""] {
            let serving = async { drop(answer(&mut listener, replies).await) };
            let (connected, ()) = tokio::join!(try_once(&fake, &endpoint), serving);
            let error = connected.err().unwrap();
            let is_greeting = error.to_string().contains("logging in, at HELLO");
            assert_eq!(is_greeting, replies.is_empty(), "{error}");
            assert_eq!(error.kind() == kind, !is_greeting, "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_cuts_both_connections_has_not_hung_up_twice() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let endpoint = endpoint();
    for purpose in [Purpose::Listening, Purpose::Commands] {
        let world = Arc::new(Handle(Arc::clone(&fake)));
        let serving = async {
            let mut stream = listener.recv().await.unwrap();
            assert_ne!(stream.read_buf(&mut Vec::new()).await.unwrap(), 0);
        };
        let trying = connect(Arc::clone(&endpoint), world, purpose);
        let (connected, ()) = tokio::join!(trying, serving);
        let error = connected.err().unwrap();
        assert!(error.to_string().contains("logging in, at HELLO"), "{error}");
    }
}

/// The least ACL refuses a courtesy or two. That is no reason for a login to fail, nor is it the
/// reason where one is cut behind it.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_cut_behind_a_refused_courtesy_is_a_broken_connection() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let hello = "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n-NOPERM no 'client|setinfo'\r\n";
    let endpoint = endpoint();
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), async {
        drop(answer(&mut listener, hello).await);
    });
    let error = connected.err().unwrap();
    assert_eq!(error.kind(), NodeErrorKind::Unreachable, "{error}");
    assert!(error.is_transient() && error.to_string().contains("logging in, at CLIENT"), "{error}");
}

/// What a server says before it has heard anything is why it hangs up.
#[tokio::test(start_paused = true)]
async fn who_is_sent_away_at_the_door_is_told_why() {
    let (fake, mut listener) = name([address(ALIVE)]);
    for (said, kind) in [
        ("-ERR max number of clients reached\r\n", NodeErrorKind::TooManyClients),
        ("-DENIED Redis is running in protected mode\r\n", NodeErrorKind::Protected),
    ] {
        let endpoint = endpoint();
        let (connected, _) = tokio::join!(try_once(&fake, &endpoint), async {
            drop(answer(&mut listener, said).await);
        });
        assert_eq!(connected.err().unwrap().kind(), kind);
    }
}

/// Where the reserved key has ended before its release, nothing was deleted, and a server that
/// forbids that would pass.
#[tokio::test(start_paused = true)]
async fn a_probe_that_came_to_nothing_is_made_again() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let endpoint = endpoint();
    let late = [OLD_SERVER, REST].concat().replace(":1", ":0");
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), async {
        let (_, mut stream) = answer(&mut listener, &late).await;
        let mut said = Vec::new();
        while !said.ends_with(b"$0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0);
        }
        assert!(said.starts_with(b"*6\r\n$3\r\nSET"));
        let refusal = "+OK\r\n-ERR The user executing the script can't run this command\r\n";
        stream.write_all(refusal.as_bytes()).await.unwrap();
        stream
    });
    let error = connected.err().unwrap();
    assert_eq!(error.kind(), NodeErrorKind::NotPermitted, "{error}");
}

/// Nothing was set there, so that nothing was deleted says nothing.
#[tokio::test(start_paused = true)]
async fn a_full_server_is_asked_once() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let rest = REST.replace("+OK\r\n:1", "-OOM command not allowed\r\n:0");
    let (replies, endpoint) = ([OLD_SERVER, &rest].concat(), endpoint());
    let (connected, _) = tokio::join!(try_once(&fake, &endpoint), answer(&mut listener, &replies));
    let refuses = connected.unwrap().server.refuses;
    assert_eq!(refuses.map(|error| error.kind()), Some(NodeErrorKind::OutOfMemory));
}

/// Envoy greets in a server's place, and moves all clients of one of its workers at once.
#[tokio::test(start_paused = true)]
async fn a_proxy_whose_clients_share_a_database_is_refused_where_the_url_names_one() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let hello = "*2\r\n$6\r\nserver\r\n$17\r\nenvoy-redis-proxy\r\n";
    for (url, selected, is_refused) in [("redis://h", "", false), ("redis://h/1", "+OK\r\n", true)]
    {
        let endpoint = Arc::new(Endpoint::from_url(url, 1).unwrap());
        let replies = [selected, hello, REST].concat();
        let (connected, _) =
            tokio::join!(try_once(&fake, &endpoint), answer(&mut listener, &replies));
        let kind = connected.err().map(|error| error.kind());
        assert_eq!(kind, is_refused.then_some(NodeErrorKind::SharedDatabase), "{url}");
    }
}

/// A user without a password is logged in, too: its keys must not be set as another's.
#[tokio::test(start_paused = true)]
async fn a_user_without_a_password_is_logged_in() {
    let (fake, mut listener) = name([address(ALIVE)]);
    let endpoint = Arc::new(Endpoint::from_url("redis://locks@h", 1).unwrap());
    let replies = ["+OK\r\n", OLD_SERVER, REST].concat();
    let (connected, (said, _)) =
        tokio::join!(try_once(&fake, &endpoint), answer(&mut listener, &replies));
    connected.unwrap();
    assert!(said.starts_with(b"*3\r\n$4\r\nAUTH\r\n$5\r\nlocks\r\n$0\r\n\r\n"));
}
