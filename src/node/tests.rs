//! A node, and a listener, against a socket that says what the test wants it to:
//! order, owing, and what becomes of a broken connection. Time is an argument; only the
//! socket is real.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Endpoint, Form, Listener, Node, Order, native::Native};
use crate::{
    exchange::{Answer, Ask, Event, Heard, News, Outcome, Ticket},
    key::Key,
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId},
    world::System,
};

const START: Moment = Moment::from_nanos(1_000_000_000);
const TIMEOUT: Duration = Duration::from_millis(100);

fn the_node() -> NodeId {
    NodeId::all(1).next().unwrap()
}

struct Peer {
    listener: TcpListener,
}

impl Peer {
    async fn bind() -> (Self, Arc<Endpoint>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        (Self { listener }, Arc::new(Endpoint::from_url(&url, 1).unwrap()))
    }

    async fn listen() -> (Self, Node) {
        let (peer, endpoint) = Self::bind().await;
        (peer, Node::new(the_node(), endpoint, Arc::new(System)))
    }

    /// Accepts a connection and answers what it says first.
    async fn accept(&self) -> TcpStream {
        self.accept_as(OLD).await
    }

    /// Does the same as a server that answers the greeting with `said`.
    async fn accept_as(&self, said: &str) -> TcpStream {
        let mut stream = self.greeted(PROBED).await;
        let rest = "+OK\r\n+OK\r\n-NOPERM no\r\n-NOPERM no\r\n$-1\r\n+OK\r\n:1\r\n";
        stream.write_all(format!("{said}{rest}").as_bytes()).await.unwrap();
        stream
    }

    /// Does the same for a connection that only listens.
    async fn accept_listener(&self) -> TcpStream {
        let mut stream = self.greeted(NAMED).await;
        stream.write_all(format!("{OLD}+OK\r\n+OK\r\n").as_bytes()).await.unwrap();
        stream
    }

    /// Accepts a connection and reads what it says first, up to `last`.
    async fn greeted(&self, last: &str) -> TcpStream {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(last.as_bytes()) {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0, "it says all that");
        }
        stream
    }
}

/// How a server answers that is older than the greeting.
const OLD: &str = "-ERR unknown command 'HELLO'\r\n";

/// The ends of what is said first on a connection that listens, and on one for commands.
const NAMED: &str = concat!(env!("CARGO_PKG_VERSION"), "\r\n");
const PROBED: &str = "$13\r\nredlock:probe\r\n$13\r\nredlock:probe\r\n$0\r\n\r\n";

const VALKEY_9: &str = "*4\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n9.0.0\r\n";

fn order(op: usize, ask: Ask) -> Order {
    let is_release = ask == Ask::Release;
    let keep_until = START.after(if is_release { Duration::from_secs(60) } else { TIMEOUT });
    let ticket = Ticket { op, claim: op, ask };
    Order {
        ticket,
        keep_until,
        timeout: TIMEOUT,
        form: Form::Short,
        replies: 1,
        is_release,
        reserved: false,
    }
}

/// Offers a command to `node`, which ends nothing by that.
fn offer(node: &mut Node, order: &Order, command: &[u8], now: Moment) -> Result<(), NodeError> {
    let mut events = Vec::new();
    let outcome = node.offer(order, command, now, &mut events);
    assert!(events.is_empty(), "{events:?}");
    outcome
}

/// Drives `node` until it has given `events` events, or `done` says so.
async fn drive(node: &mut Node, now: Moment, mut done: impl FnMut(&[Event]) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    let driving = poll_fn(|cx| {
        node.poll(cx, now, now, &mut || 0, &mut events);
        if done(&events) { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout(Duration::from_secs(10), driving)
        .await
        .expect("the node did not get there");
    events
}

/// Drives `node` once: it is `now`, and the socket has been looked at.
async fn pass(node: &mut Node, now: Moment) {
    let mut events = Vec::new();
    poll_fn(|cx| {
        node.poll(cx, now, now, &mut || 0, &mut events);
        Poll::Ready(())
    })
    .await;
    assert!(events.is_empty(), "{events:?}");
}

/// Reads `len` bytes off the peer's side while the node is driven.
async fn receive(node: &mut Node, peer: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    tokio::select! {
        read = peer.read_exact(&mut bytes) => drop(read.unwrap()),
        _ = drive(node, START, |_| false) => {}
    }
    bytes
}

async fn connected(node: &mut Node, peer: &Peer) -> TcpStream {
    driving(node, peer.accept()).await
}

/// What `peering` gives while the node is driven.
async fn driving<T>(node: &mut Node, peering: impl Future<Output = T>) -> T {
    tokio::select! {
        outcome = peering => outcome,
        _ = drive(node, START, |_| false) => unreachable!("it never says done"),
    }
}

#[tokio::test]
async fn what_is_offered_first_is_written_first_and_answered_first() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap(); // before there is a connection
    offer(&mut node, &order(2, Ask::Release), b"2", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 2).await, b"12");
    offer(&mut node, &order(3, Ask::Set), b"3", START).unwrap();
    offer(&mut node, &order(4, Ask::Release), b"4", START).unwrap();
    assert_eq!(receive(&mut node, &mut stream, 2).await, b"34");

    stream.write_all(b"+OK\r\n:1\r\n$-1\r\n:0\r\n").await.unwrap();
    let events = drive(&mut node, START, |events| events.len() == 4).await;
    let ops: Vec<_> = events.iter().map(|event| event.ticket.op).collect();
    assert_eq!(ops, [1, 2, 3, 4]);
    assert!(matches!(events[0].outcome, Outcome::Answered(Answer::Granted)));
    assert!(matches!(events[2].outcome, Outcome::Answered(Answer::Refused)));
}

#[tokio::test]
async fn a_release_takes_back_an_acquire_that_was_not_sent_and_no_other() {
    let (peer, mut node) = Peer::listen().await;
    let of = |claim, order: Order| Order { ticket: Ticket { claim, ..order.ticket }, ..order };
    offer(&mut node, &of(7, order(1, Ask::Set)), b"1", START).unwrap();
    offer(&mut node, &of(8, order(2, Ask::Set)), b"2", START).unwrap();
    let mut events = Vec::new();
    let release = of(7, order(3, Ask::Release));
    node.offer(&release, b"3", START.after(TIMEOUT / 2), &mut events).unwrap();
    let [acquire, release] = &events[..] else { panic!("{events:?}") };
    let (op, outcome) = (acquire.ticket.op, &acquire.outcome);
    assert!(
        matches!(outcome, Outcome::NotSent(e) if e.kind() == NodeErrorKind::Unreachable) && op == 1
    );
    assert!(matches!(release.outcome, Outcome::Withdrawn) && release.ticket.op == 3);
    assert_eq!((acquire.offered_at, release.offered_at), (START, START.after(TIMEOUT / 2)));

    offer(&mut node, &of(7, order(4, Ask::Release)), b"4", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 2).await, b"24");
    offer(&mut node, &of(8, order(5, Ask::Release)), b"5", START).unwrap();
    assert_eq!(receive(&mut node, &mut stream, 1).await, b"5", "what was sent must be undone");
}

#[tokio::test]
async fn a_node_that_owes_is_asked_for_nothing_but_releases_until_it_answers() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 1).await, b"1");

    let late = START.after(TIMEOUT);
    let on_time = offer(&mut node, &order(2, Ask::Set), b"", late);
    assert!(on_time.is_ok(), "nobody has looked whether the answer is there");
    pass(&mut node, late).await;
    for op in 2..100_000 {
        let refusal = offer(&mut node, &order(op, Ask::Set), b"x", late).unwrap_err();
        assert_eq!(refusal.kind(), NodeErrorKind::Owing);
    }
    offer(&mut node, &order(2, Ask::Release), b"2", late).unwrap();
    assert_eq!(receive(&mut node, &mut stream, 1).await, b"2", "and nothing before it");

    stream.write_all(b"+OK\r\n+OK\r\n:1\r\n").await.unwrap();
    drive(&mut node, late, |events| events.len() == 3).await;
    assert!(
        offer(&mut node, &order(3, Ask::Set), b"3", late).is_ok(),
        "it answered: it is asked again"
    );
}

#[tokio::test]
async fn a_node_that_owes_the_answer_to_a_release_owes() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Release), b"1", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    receive(&mut node, &mut stream, 1).await;
    assert!(offer(&mut node, &order(2, Ask::Set), b"2", START).is_ok());
    pass(&mut node, START.after(TIMEOUT)).await;
    let refusal = offer(&mut node, &order(3, Ask::Set), b"3", START.after(TIMEOUT)).unwrap_err();
    assert_eq!(refusal.kind(), NodeErrorKind::Owing);
}

#[tokio::test]
async fn a_short_locks_timeout_does_not_cost_a_long_lock_its_vote() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    receive(&mut node, &mut stream, 1).await;
    let late = START.after(TIMEOUT);
    pass(&mut node, late).await;
    let patience = |timeout| Order { timeout, ..order(2, Ask::Set) };
    assert!(offer(&mut node, &patience(TIMEOUT), b"2", late).is_err());
    assert!(offer(&mut node, &patience(2 * TIMEOUT), b"2", late).is_ok());
}

#[tokio::test]
async fn a_release_that_waited_long_for_a_connection_gets_its_time_to_be_answered() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Release), b"1", START).unwrap();
    let later = START.after(Duration::from_secs(30));
    let mut stream = tokio::select! {
        stream = peer.accept() => stream,
        _ = drive(&mut node, later, |_| false) => unreachable!("it never says done"),
    };
    tokio::select! {
        command = stream.read_u8() => assert_eq!(command.unwrap(), b'1'),
        _ = drive(&mut node, later, |_| false) => unreachable!("it never says done"),
    }
    stream.write_all(b":1\r\n").await.unwrap();
    let events = drive(&mut node, later, |events| !events.is_empty()).await;
    assert!(matches!(events[0].outcome, Outcome::Answered(Answer::Granted)), "{events:?}");
}

#[tokio::test]
async fn a_broken_connection_ends_what_was_sent_and_a_new_one_is_made() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    offer(&mut node, &order(2, Ask::Release), b"2", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 2).await, b"12");
    stream.write_all(b"+OK\r\n").await.unwrap();
    drive(&mut node, START, |events| events.len() == 1).await;
    drop(stream);
    let events = drive(&mut node, START, |events| events.len() == 1).await;
    assert_eq!(events[0].ticket.op, 2);
    assert!(
        matches!(&events[0].outcome, Outcome::Lost(e) if e.kind() == NodeErrorKind::ConnectionLost)
    );

    offer(&mut node, &order(2, Ask::Release), b"again", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 5).await, b"again");
}

#[tokio::test]
async fn a_node_that_is_down_refuses_at_once_and_keeps_releases() {
    let (peer, mut node) = Peer::listen().await;
    drop(peer);
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    offer(&mut node, &order(2, Ask::Release), b"2", START).unwrap();
    let events = drive(&mut node, START, |events| !events.is_empty()).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].ticket.op, 1);
    assert!(
        matches!(&events[0].outcome, Outcome::NotSent(e) if e.kind() == NodeErrorKind::Unreachable)
    );
    let refusal = offer(&mut node, &order(3, Ask::Set), b"3", START).unwrap_err();
    assert_eq!(refusal.kind(), NodeErrorKind::Unreachable);

    let gone = START.after(Duration::from_secs(60));
    let events = drive(&mut node, gone, |events| !events.is_empty()).await;
    assert_eq!(events[0].ticket.op, 2, "the key has ended: nobody needs the release");
}

#[tokio::test]
async fn a_silent_connection_is_given_up_in_the_end() {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    receive(&mut node, &mut stream, 1).await;
    assert_eq!(node.poll_timeout(), START.after(Duration::from_secs(10)));
    let given_up_at = node.poll_timeout();
    let events = drive(&mut node, given_up_at, |events| !events.is_empty()).await;
    assert!(matches!(events[0].outcome, Outcome::Lost(_)));
}

#[tokio::test]
async fn garbage_ends_the_connection_and_is_no_answer() {
    let (peer, mut node) = Peer::listen().await;
    for (garbage, op) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], 1), (b"*3\r\n:1\r\n", 2)] {
        let now = START.after(Duration::from_secs(op as u64)); // past any pause
        let order = Order { keep_until: now.after(TIMEOUT), ..order(op, Ask::Release) };
        offer(&mut node, &order, b"1", now).unwrap();
        let mut stream = tokio::select! {
            stream = peer.accept() => stream,
            _ = drive(&mut node, now, |_| false) => unreachable!("it never says done"),
        };
        tokio::select! {
            command = stream.read_u8() => assert_eq!(command.unwrap(), b'1'),
            _ = drive(&mut node, now, |_| false) => unreachable!("it never says done"),
        }
        stream.write_all(garbage).await.unwrap();
        let events = drive(&mut node, now, |events| !events.is_empty()).await;
        assert!(
            matches!(&events[0].outcome, Outcome::Lost(e) if e.kind() == NodeErrorKind::Protocol)
        );
    }
}

#[tokio::test]
async fn what_is_on_its_way_to_one_node_is_bounded() {
    let (peer, mut node) = Peer::listen().await;
    let taken =
        (0..100_000).take_while(|op| offer(&mut node, &order(*op, Ask::Set), b"x", START).is_ok());
    assert_eq!(taken.count(), super::link::MAX_IN_FLIGHT);
    let mut stream = connected(&mut node, &peer).await;
    receive(&mut node, &mut stream, super::link::MAX_IN_FLIGHT).await;
    let refusal = offer(&mut node, &order(0, Ask::Set), b"x", START).unwrap_err();
    assert_eq!(refusal.kind(), NodeErrorKind::Overloaded);
}

#[tokio::test]
async fn a_server_that_says_why_it_hangs_up_is_quoted() {
    for (text, kind) in [
        ("-ERR max number of clients reached\r\n", NodeErrorKind::TooManyClients),
        ("-DENIED Redis is running in protected mode\r\n", NodeErrorKind::Protected),
    ] {
        let (peer, mut node) = Peer::listen().await;
        offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
        let (mut stream, _) = tokio::select! {
            accepted = peer.listener.accept() => accepted.unwrap(),
            _ = drive(&mut node, START, |_| false) => unreachable!("it never says done"),
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let events = drive(&mut node, START, |events| !events.is_empty()).await;
        let Outcome::NotSent(error) = &events[0].outcome else { panic!("{events:?}") };
        assert_eq!(error.kind(), kind);
    }
}

/// A release has gone as a server's own command and its news, on a connection to
/// a server that says it has that command.
async fn released_natively(replies: u8) -> (Peer, Node, TcpStream) {
    let (peer, mut node) = Peer::listen().await;
    offer(&mut node, &order(1, Ask::Set), b"1", START).unwrap();
    let mut stream = driving(&mut node, peer.accept_as(VALKEY_9)).await;
    assert_eq!(receive(&mut node, &mut stream, 1).await, b"1");
    let form = node.form(Ask::Release);
    assert_eq!(form, Form::Native(Native::DelIfEq));
    offer(&mut node, &Order { form, replies, ..order(2, Ask::Release) }, b"2", START).unwrap();
    offer(&mut node, &order(3, Ask::Set), b"3", START).unwrap();
    assert_eq!(receive(&mut node, &mut stream, 2).await, b"23");
    (peer, node, stream)
}

#[tokio::test]
async fn two_replies_belong_to_a_release_and_its_news() {
    for (replies, said) in [(1, ":1\r\n"), (2, ":1\r\n:0\r\n")] {
        let (_peer, mut node, mut stream) = released_natively(replies).await;
        stream.write_all(format!("+OK\r\n{said}").as_bytes()).await.unwrap();
        let events = drive(&mut node, START, |events| events.len() == 2).await;
        assert_eq!(events[1].ticket.op, 2);
        assert!(matches!(events[1].outcome, Outcome::Answered(Answer::Granted)), "{events:?}");
        stream.write_all(b"$-1\r\n").await.unwrap();
        let events = drive(&mut node, START, |events| events.len() == 1).await;
        assert_eq!(events[0].ticket.op, 3);
        assert!(matches!(events[0].outcome, Outcome::Answered(Answer::Refused)), "{events:?}");
    }
}

#[tokio::test]
async fn a_release_that_was_half_answered_is_lost_and_what_follows_is_not_shifted() {
    let (peer, mut node, mut stream) = released_natively(2).await;
    stream.write_all(b"+OK\r\n:1\r\n").await.unwrap();
    drive(&mut node, START, |events| events.len() == 1).await;
    pass(&mut node, START).await;
    drop(stream);
    let events = drive(&mut node, START, |events| events.len() == 2).await;
    assert!(events.iter().all(|event| matches!(event.outcome, Outcome::Lost(_))), "{events:?}");

    offer(&mut node, &order(4, Ask::Set), b"4", START).unwrap();
    let mut stream = connected(&mut node, &peer).await;
    assert_eq!(receive(&mut node, &mut stream, 1).await, b"4");
    stream.write_all(b"$-1\r\n").await.unwrap();
    let events = drive(&mut node, START, |events| events.len() == 1).await;
    assert!(matches!(events[0].outcome, Outcome::Answered(Answer::Refused)), "{events:?}");
}

#[tokio::test]
async fn what_is_known_of_a_server_ends_with_the_connection() {
    let (peer, mut node, mut stream) = released_natively(1).await;
    stream.write_all(b"+OK\r\n").await.unwrap();
    drop(stream);
    drive(&mut node, START, |events| events.len() == 3).await;
    assert_eq!(node.form(Ask::Release), Form::Whole, "whichever server comes");
    let _older = connected(&mut node, &peer).await;
    offer(&mut node, &order(4, Ask::Set), b"4", START).unwrap();
    pass(&mut node, START).await;
    assert_eq!(node.form(Ask::Release), Form::Whole);
}

#[tokio::test]
async fn a_command_that_is_refused_in_spite_of_the_version_is_not_used_again() {
    for said in ["-NOPERM no", "-ERR unknown command 'DELIFEQ'", "-ERR never heard of"] {
        let (_peer, mut node, mut stream) = released_natively(2).await;
        stream.write_all(format!("+OK\r\n{said}\r\n:0\r\n").as_bytes()).await.unwrap();
        let events = drive(&mut node, START, |events| events.len() == 2).await;
        let again = matches!(events[1].outcome, Outcome::Answered(Answer::NoScript));
        let unclear = matches!(events[1].outcome, Outcome::Answered(Answer::Failed(_)));
        assert!(again || said.ends_with("heard of") && unclear, "{said}: {events:?}");
        assert_eq!(node.form(Ask::Release), Form::Whole, "{said}");
    }
    let (_peer, mut node, mut stream) = released_natively(2).await;
    stream.write_all(b"+OK\r\n-WRONGTYPE\r\n:0\r\n").await.unwrap();
    let events = drive(&mut node, START, |events| events.len() == 2).await;
    assert!(matches!(events[1].outcome, Outcome::Answered(Answer::Failed(_))), "{events:?}");
    assert_eq!(node.form(Ask::Release), Form::Native(Native::DelIfEq), "it is of that key");
}

/// Drives `listener` until it has said `count` things.
async fn hear(listener: &mut Listener, now: Moment, count: usize) -> Vec<Heard> {
    let mut heard = Vec::new();
    let driving = poll_fn(|cx| {
        listener.poll(cx, now, now, &mut || 0, &mut heard);
        if heard.len() >= count { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::time::timeout(Duration::from_secs(10), driving).await.expect("there is less to hear");
    heard.into_iter().map(|(_, heard)| heard).collect()
}

/// The peer's side of the listener's connection, once it has asked to listen.
async fn subscribing(peer: &Peer, listener: &mut Listener, now: Moment) -> TcpStream {
    let peering = async {
        let mut stream = peer.accept_listener().await;
        let command = b"*2\r\n$9\r\nSUBSCRIBE\r\n$9\r\nredlock:k\r\n";
        let mut asked = vec![0; command.len()];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, command);
        stream
    };
    tokio::select! {
        stream = peering => stream,
        _ = hear(listener, now, 1) => unreachable!("nothing was said"),
    }
}

#[tokio::test]
async fn a_listener_says_when_it_hears_and_when_it_does_not_any_more() {
    let (peer, endpoint) = Peer::bind().await;
    let mut listener = Listener::new(the_node(), endpoint, Arc::new(System));
    let key = Key::new(b"", b"k").unwrap();
    let confirmed = b"*3\r\n$9\r\nsubscribe\r\n$9\r\nredlock:k\r\n:1\r\n";
    listener.listen(&key);
    let mut now = START;
    for _ in 0..2 {
        let mut stream = subscribing(&peer, &mut listener, now).await;
        stream.write_all(confirmed).await.unwrap();
        assert_eq!(hear(&mut listener, now, 1).await, [Heard::Subscribed(key.clone())]);
        let message = b"*3\r\n$7\r\nmessage\r\n$9\r\nredlock:k\r\n$3\r\n7 2\r\n";
        stream.write_all(message).await.unwrap();
        let news = News { number: 7, age: 2 };
        assert_eq!(hear(&mut listener, now, 1).await, [Heard::Released(key.clone(), news)]);
        drop(stream);
        assert_eq!(hear(&mut listener, now, 1).await, [Heard::Deaf]);
        now = now.after(Duration::from_secs(10)); // past any pause
    }
    let stream = subscribing(&peer, &mut listener, now).await;
    drop(stream);
    while listener.poll_timeout() == Moment::NEVER {
        assert_eq!(hear(&mut listener, now, 0).await, [], "there was nothing to lose");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    listener.leave(&key);
    hear(&mut listener, now, 0).await;
    assert!(listener.is_off());
}
