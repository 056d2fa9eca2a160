//! What this level does with messages that a node publishes. There is no client:
//! the tests hold the connections themselves.

use super::*;
use crate::{
    names::Place,
    plan::{Deposed, Memory, Planned, Refusal},
    profile::Profile,
    tests::array,
};

const RELEASE: &str = include_str!("../../../src/node/release.lua");

/// A stage with drivers and no users, so that only the test does anything.
struct Quiet(Run);

impl Quiet {
    fn with(faults: Vec<Planned>) -> Self {
        let mut plan = Plan::draw(0, Profile::Calm);
        plan.clients.iter_mut().for_each(|client| client.users = 0);
        plan.faults = faults;
        let stage = Stage::new(plan.clone(), false);
        let net = Net::new(Arc::clone(&stage), &plan);
        Self(Run::new(&plan, stage, net))
    }

    fn open(&self, client: usize) -> usize {
        self.open_to(client, 0)
    }

    /// A connection to the first server that the node is, or to the next one, as a dial makes it.
    fn open_to(&self, client: usize, term: u8) -> usize {
        let mut state = self.0.net.state();
        let left = self.0.stage.truth().nodes[0].cut_at(&mut state.rng);
        state.open(client, Place { node: 0, term }, left)
    }

    fn say(&self, conn: usize, args: &[&str]) {
        let mut bytes = array(args).into_bytes();
        let now = self.0.stage.truth().now;
        while !bytes.is_empty() {
            let written = self.0.net.state().write(now, conn, &bytes).unwrap();
            bytes.drain(..written);
        }
    }

    fn until(&mut self, seconds: u64) {
        let at = seconds * SECOND;
        self.0.net.state().push(at, Event::Wake(Waker::noop().clone()));
        assert!(self.0.until(|run| run.stage.truth().now >= at));
    }

    /// All that a connection has received since it was last read, and `end` if it is
    /// over.
    fn heard(&self, conn: usize) -> String {
        let mut heard = String::new();
        loop {
            match self.0.net.state().read(conn, 1000, Waker::noop()) {
                None => return heard,
                Some(Ok(bytes)) if !bytes.is_empty() => {
                    heard.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Some(_) => return heard + "end",
            }
        }
    }
}

fn message(payload: &str) -> String {
    array(&["message", "redlock:k", payload])
}

const SUBSCRIBED: &str = "*3\r\n$9\r\nsubscribe\r\n$9\r\nredlock:k\r\n:1\r\n";

fn from_to(from: u64, to: u64, fault: Fault) -> Planned {
    Planned { at: from * SECOND, lasts: (to - from) * SECOND, fault }
}

#[test]
fn messages_come_in_the_order_of_publishing_and_after_the_confirmation() {
    let mut quiet = Quiet::with(vec![from_to(0, 4, Fault::Slow { node: 0, by: SECOND / 2 })]);
    let (listener, other) = (quiet.open(0), quiet.open(1));
    quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
    for number in 0..50 {
        quiet.say(other, &["PUBLISH", "redlock:k", &number.to_string()]);
    }
    quiet.until(10);
    let answers = quiet.heard(other);
    let missed = answers.matches(":0\r\n").count();
    assert_eq!(answers, ":0\r\n".repeat(missed) + &":1\r\n".repeat(50 - missed));
    let expected: String = (missed..50).map(|number| message(&number.to_string())).collect();
    assert_eq!(quiet.heard(listener), SUBSCRIBED.to_owned() + &expected);
    assert!(missed < 50, "nothing was published after the subscription");
}

#[test]
fn listeners_are_notified_of_a_release_unless_the_node_forbids_it() {
    let how = Refusal::NoPubSub;
    let mut quiet =
        Quiet::with(vec![from_to(2, 4, Fault::Refuse { node: 0, how, per_mille: 1000 })]);
    let (listener, other) = (quiet.open(0), quiet.open(1));
    quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
    quiet.until(1);
    for (by, answer, heard) in
        [(1, ":1", SUBSCRIBED.to_owned() + &message("gone")), (3, ":2", String::new())]
    {
        quiet.until(by);
        quiet.say(other, &["SET", "k", "mine"]);
        quiet.say(other, &["EVAL", RELEASE, "1", "k", "mine", "gone"]);
        quiet.say(other, &["GET", "k"]);
        quiet.until(by + 1);
        assert_eq!(quiet.heard(other), format!("+OK\r\n{answer}\r\n$-1\r\n"));
        assert_eq!(quiet.heard(listener), heard);
    }
}

#[test]
fn a_node_that_may_not_be_subscribed_to_says_so() {
    let how = Refusal::NoPubSub;
    let mut quiet =
        Quiet::with(vec![from_to(0, 4, Fault::Refuse { node: 0, how, per_mille: 1000 })]);
    let listener = quiet.open(0);
    quiet.until(1);
    quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
    quiet.until(2);
    let heard = quiet.heard(listener);
    assert!(heard.starts_with("-NOPERM ") && heard.lines().count() == 1, "{heard}");
}

#[test]
fn a_message_waits_for_a_hung_node_and_for_a_cut_link() {
    let cut = Fault::Cut { client: 0, node: 0, up: false, down: true };
    let mut quiet = Quiet::with(vec![from_to(2, 5, Fault::Hang { node: 0 }), from_to(10, 15, cut)]);
    let (listener, other) = (quiet.open(0), quiet.open(1));
    quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
    quiet.until(1);
    assert_eq!(quiet.heard(listener), SUBSCRIBED);
    for (from, to) in [(2, 5), (10, 15)] {
        quiet.until(from + 1);
        quiet.say(other, &["PUBLISH", "redlock:k", "gone"]);
        quiet.until(to - 1);
        assert_eq!(quiet.heard(listener), "");
        quiet.until(to + 1);
        assert_eq!(quiet.heard(listener), message("gone"));
        assert_eq!(quiet.heard(other), ":1\r\n");
    }
}

#[test]
fn a_node_that_was_down_knows_no_subscriptions() {
    for memory in [Memory::Kept, Memory::Gone, Memory::Stale] {
        let crash = Fault::Crash { node: 0, memory, silent: false };
        let mut quiet = Quiet::with(vec![from_to(2, 3, crash)]);
        let (listener, other) = (quiet.open(0), quiet.open(1));
        quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
        quiet.until(1);
        // After so many commands, some of what the node knows is on the disk.
        (0..100).for_each(|_| quiet.say(other, &["PING"]));
        quiet.until(4);
        assert_eq!(quiet.heard(listener), SUBSCRIBED.to_owned() + "end");
        let again = quiet.open(1);
        quiet.say(again, &["PUBLISH", "redlock:k", "gone"]);
        quiet.until(5);
        assert_eq!(quiet.heard(again), ":0\r\n", "{memory:?}");
    }
}

#[test]
fn a_connection_that_is_over_is_told_nothing() {
    let broken = Fault::Break { client: 0, node: 0, late: SECOND / 10 };
    let mut quiet = Quiet::with(vec![from_to(2, 3, broken)]);
    let (broken, closed, other) = (quiet.open(0), quiet.open(1), quiet.open(1));
    for listener in [broken, closed] {
        quiet.say(listener, &["SUBSCRIBE", "redlock:k"]);
    }
    quiet.until(1);
    assert_eq!(quiet.heard(broken), SUBSCRIBED);
    // The node hears of a close at once, and of a break when the client closes.
    for (by, over, reached) in [(3, None, 2), (6, Some(closed), 1), (9, Some(broken), 0)] {
        quiet.until(by);
        if let Some(conn) = over {
            quiet.0.net.state().close(by * SECOND, conn);
        }
        quiet.until(by + 1);
        quiet.say(other, &["PUBLISH", "redlock:k", "gone"]);
        quiet.until(by + 2);
        assert_eq!(quiet.heard(other), format!(":{reached}\r\n"));
        assert_eq!(quiet.heard(broken), "end");
    }
}

const READ_ONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

#[test]
fn an_old_server_has_what_the_node_has_and_writes_nothing() {
    for deposed in [Deposed::Stays, Deposed::HangsUp] {
        let mut quiet =
            Quiet::with(vec![from_to(2, 4, Fault::Failover { node: 0, deposed, lags: false })]);
        let before = quiet.open(0);
        quiet.say(before, &["SET", "k", "mine"]);
        quiet.until(3);
        assert_eq!(
            quiet.0.stage.truth().look_up("n0").unwrap(),
            [Place { node: 0, term: 0 }.address()]
        );
        let (old, new) = (quiet.open_to(0, 0), quiet.open_to(0, 1));
        quiet.say(new, &["SET", "k", "yours", "NX"]);
        quiet.say(new, &["SET", "other", "yours"]);
        quiet.until(5);
        let stays = deposed == Deposed::Stays;
        for asked in if stays { vec![before, old] } else { vec![old] } {
            quiet.say(asked, &["SET", "k", "yours", "NX"]);
            quiet.say(asked, &["EVAL", RELEASE, "1", "k", "mine", ""]);
            quiet.say(asked, &["EVAL", RELEASE, "1", "k", "yours", ""]);
            quiet.say(asked, &["GET", "other"]);
        }
        quiet.until(6);
        let told = format!("{READ_ONLY}{READ_ONLY}:-1\r\n$5\r\nyours\r\n");
        assert_eq!(quiet.heard(new), "$-1\r\n+OK\r\n", "it has what the one before had");
        assert_eq!(quiet.heard(old), told);
        let then = if stays { &told } else { "end" };
        assert_eq!(quiet.heard(before), format!("+OK\r\n{then}"));
        assert_eq!(
            quiet.0.stage.truth().look_up("n0").unwrap(),
            [Place { node: 0, term: 1 }.address()]
        );
    }
}

#[test]
fn an_old_server_that_writes_says_what_it_is_and_the_node_never_hears_of_it() {
    let fault = Fault::Failover { node: 0, deposed: Deposed::Writes, lags: false };
    let mut quiet = Quiet::with(vec![from_to(2, 4, fault)]);
    let before = quiet.open(0);
    quiet.until(3);
    let (old, new) = (quiet.open_to(0, 0), quiet.open_to(0, 1));
    quiet.say(old, &["SET", "k", "mine"]);
    quiet.say(old, &["HELLO", "2"]);
    quiet.until(4);
    quiet.say(new, &["GET", "k"]);
    quiet.say(new, &["HELLO", "2"]);
    quiet.until(5);
    assert_eq!(quiet.heard(before), "end");
    let (old, new) = (quiet.heard(old), quiet.heard(new));
    assert!(old.starts_with("+OK\r\n*") && old.contains("\r\nreplica\r\n"), "{old}");
    assert!(new.starts_with("$-1\r\n*") && new.contains("\r\nmaster\r\n"), "{new}");
}

#[test]
fn a_login_is_cut_at_any_byte_of_its_answers() {
    let mut quiet = Quiet::with(vec![from_to(1, 4, Fault::CutLogin { node: 0, per_mille: 1000 })]);
    let whole = quiet.open(0);
    quiet.until(2);
    let cut: Vec<_> = (0..50).map(|_| quiet.open(0)).collect();
    for conn in cut.iter().chain([&whole]) {
        // A login's answers, and as much again.
        (0..200).for_each(|_| quiet.say(*conn, &["PING"]));
    }
    quiet.until(3);
    let whole = quiet.heard(whole);
    assert_eq!(whole, "+PONG\r\n".repeat(200));
    let lengths = cut.into_iter().map(|conn| {
        let heard = quiet.heard(conn);
        let heard = heard.strip_suffix("end").expect("it is cut");
        assert!(whole.starts_with(heard));
        heard.len()
    });
    let lengths: std::collections::BTreeSet<_> = lengths.collect();
    assert!(lengths.contains(&0) && lengths.len() > 20, "{lengths:?}");
}
