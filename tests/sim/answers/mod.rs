//! What a call may answer: it must answer in time, and say what is true.

mod locks;
mod retry;

use std::time::Duration;

use redlock_quorum::{Error, ErrorKind, NodeAnswer, NodeErrorKind};

use crate::{
    plan::{Fault, Planned, Refusal, SECOND},
    profile::Profile,
    stage::{Told, Truth},
    trace::{Kind, Lane},
    violation::Check,
};

/// An acquire gives up when less than this is left of its wait.
const LAST_ATTEMPT: Duration = Duration::from_millis(2);

/// A waiter that expects to be told asks this often at least.
const LONGEST_SILENCE: u64 = 10 * SECOND;

/// The shortest node timeout that the library sets by itself. To make a connection
/// may take as long.
const LEAST_NODE_TIMEOUT: Duration = Duration::from_millis(5);

fn is_extension(what: &str) -> bool {
    matches!(what, "extend" | "resume")
}

fn is_acquire(what: &str) -> bool {
    matches!(what, "try" | "wait" | "lock" | "run")
}

/// A call under way.
pub struct Call {
    client: usize,
    /// Calls are numbered in the order in which they began.
    pub number: u64,
    what: &'static str,
    key: Vec<u8>,
    since: u64,
    clock: u64,
    stalled: u64,
    told: Vec<Told>,
    closed: bool,
    /// Whether a quorum of nodes had one value at the key when it began.
    ruled: bool,
}

impl Call {
    pub fn what(&self) -> &'static str {
        self.what
    }

    pub fn client(&self) -> usize {
        self.client
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// When it began, in true time.
    pub fn since(&self) -> u64 {
        self.since
    }
}

impl Truth {
    pub fn begin_call(&mut self, client: usize, what: &'static str, key: &[u8]) -> Call {
        *self.counts.calls.entry(what).or_default() += 1;
        self.trace.note(self.now, Lane::Client(client), Kind::Call, || {
            format!("{what} {}", String::from_utf8_lossy(key))
        });
        self.next_call += 1;
        let number = self.next_call;
        if is_acquire(what) {
            self.enter(client, key);
            if what != "try" {
                self.crowds.entry((client, key.to_vec())).or_default().line.push(number);
            }
        }
        Call {
            client,
            number,
            what,
            key: key.to_vec(),
            since: self.now,
            clock: self.clock(client),
            stalled: self.stalled(client),
            closed: self.clients[client].closed,
            ruled: self.plan.scene.is_some() && self.is_ruled(key),
            told: (0..self.nodes.len()).map(|node| self.told(client, node, key)).collect(),
        }
    }

    /// A call has ended by itself. Checks that it was in time and that its answer
    /// is true.
    pub fn end_call(&mut self, call: &Call, limit: Duration, error: Option<&Error>) {
        let elapsed = self.elapsed(call);
        self.trace.note(self.now, Lane::Client(call.client), Kind::Answer, || {
            let outcome = error.map_or("done".into(), |error| format!("{error:?}"));
            format!("{} -> {outcome}", call.what)
        });
        if elapsed > limit.saturating_add(self.oracle.tick) {
            self.violate(
                Check::CallIsLate,
                format!("{} took {elapsed:?}, and has {limit:?}", call.what),
            );
        }
        let acquires = is_acquire(call.what) && call.what != "run";
        match error {
            Some(error) => self.check_error(call, elapsed, error),
            None if acquires && call.closed => {
                self.violate(
                    Check::LockOfClosed,
                    format!("{} of a closed client got its lock", call.what),
                );
            }
            None => {}
        }
        if error.is_some() && acquires {
            self.check_was_wanted(call);
        }
        if error.is_none() && acquires {
            self.check_turn(call.number, call.client, &call.key);
        }
        self.drop_call(call);
    }

    /// A call is over, however it ended.
    pub fn drop_call(&mut self, call: &Call) {
        if is_acquire(call.what) {
            self.leave(call.client, &call.key);
            let crowd = self.crowds.entry((call.client, call.key.clone())).or_default();
            crowd.line.retain(|number| *number != call.number);
        }
    }

    /// A call got its lock. Earlier calls of the same client for that key must have
    /// got theirs, or be gone.
    pub fn check_turn(&mut self, number: u64, client: usize, key: &[u8]) {
        let crowd = self.crowds.entry((client, key.to_vec())).or_default();
        let first = crowd.line.first().copied();
        if crowd.line.contains(&number) && first != Some(number) {
            let key = String::from_utf8_lossy(key);
            let what = format!("client {client}: a call for `{key}` overtook an earlier one");
            return self.violate(Check::Turn, what);
        }
        crowd.line.retain(|other| *other != number);
    }

    /// Whether other calls or locks of the same client were at the key meanwhile,
    /// or shortly before: their locks are released in the background.
    fn had_company(&self, call: &Call) -> bool {
        let crowd = self.crowds.get(&(call.client, call.key.clone())).cloned().unwrap_or_default();
        let before = |left: u64| left + SECOND >= call.since;
        crowd.size > 1 || crowd.left_at.is_some_and(before)
    }

    /// How long the call has taken on its client's clock, without the time for
    /// which the process stood still.
    fn elapsed(&self, call: &Call) -> Duration {
        let passed = self.clock(call.client) - call.clock;
        let stalled = self.stalled(call.client) - call.stalled;
        Duration::from_nanos(passed.saturating_sub(stalled))
    }

    /// Whether a node has granted or refused an acquire for the call's key since it
    /// began, or told that the key there lives.
    fn told_since(&self, call: &Call, node: usize) -> (bool, bool, bool) {
        let (before, after) = (call.told[node], self.told(call.client, node, &call.key));
        let (refused, alive) = (after.refused > before.refused, after.alive > before.alive);
        (after.granted > before.granted, refused, alive)
    }

    fn check_error(&mut self, call: &Call, elapsed: Duration, error: &Error) {
        self.check_retry_after(call, error);
        if let Some(what) = self.untrue_kind(call, elapsed, error) {
            let what = format!("{} said {error:?}, but {what}", call.what);
            return self.violate(Check::UntrueError(error.kind()), what);
        }
        for (node, report) in error.nodes().iter().enumerate() {
            if self.is_lie(call, elapsed, error, node) {
                let what = format!("{}: node {node} did not do this: {report}", call.what);
                let is_vote = report.error().is_none() && self.nodes[node].has_strays();
                let check = if is_vote { Check::VoteOfReplica } else { Check::InnocentNode };
                return self.violate(check, what);
            }
        }
    }

    /// Why the kind of an error is not true, if it isn't.
    fn untrue_kind(&self, call: &Call, elapsed: Duration, error: &Error) -> Option<String> {
        let acquires = is_acquire(call.what);
        let refused = (0..self.nodes.len()).any(|node| self.told_since(call, node).1);
        match error.kind() {
            ErrorKind::Contended if call.what == "try" => {
                (!refused).then(|| "no node had refused".to_owned())
            }
            ErrorKind::Timeout if matches!(call.what, "wait" | "run") => {
                let alone = !refused && !self.had_company(call);
                alone.then(|| "no node had refused, nor another task of the client".to_owned())
            }
            ErrorKind::Expired if acquires => {
                let life = self.plan.habits.ttl + self.plan.grace_span();
                let drift = life / 100 + Duration::from_millis(2);
                let passed =
                    elapsed + Duration::from_nanos(self.stalled(call.client) - call.stalled);
                let valid = self.plan.habits.ttl.saturating_sub(drift);
                (passed < valid).then(|| format!("only {passed:?} had passed"))
            }
            // The answer came so late that nothing of the ttl was left.
            ErrorKind::Expired if call.what == "resume" => None,
            ErrorKind::NoQuorum => self.check_failures(call, error),
            ErrorKind::Lost => None, // the user checks it, with the lock at hand
            ErrorKind::Closed => {
                let closed = self.clients[call.client].closed;
                (!closed).then(|| "the client is not closed".to_owned())
            }
            ErrorKind::Timeout if call.what == "shutdown" => None,
            ErrorKind::Contended
            | ErrorKind::Timeout
            | ErrorKind::Expired
            | ErrorKind::InvalidConfig
            | ErrorKind::Busy => Some("that is no answer to it".to_owned()),
            _ => Some("the oracle does not know that kind".to_owned()),
        }
    }

    /// Whether an error says of a node what it did not do.
    fn is_lie(&self, call: &Call, elapsed: Duration, error: &Error, node: usize) -> bool {
        let (granted, refused, alive) = self.told_since(call, node);
        let acquires = is_acquire(call.what);
        match error.nodes()[node].answer() {
            NodeAnswer::Granted => acquires && !granted,
            NodeAnswer::Refused { .. } => is_extension(call.what) || acquires && !refused && !alive,
            NodeAnswer::Gone => !is_extension(call.what),
            // The lock ended while a connection was still being made.
            NodeAnswer::Failed(failure)
                if failure.kind() == NodeErrorKind::Unreachable
                    && is_extension(call.what)
                    && error.kind() == ErrorKind::Lost
                    && elapsed < LEAST_NODE_TIMEOUT =>
            {
                false
            }
            NodeAnswer::Failed(failure) if failure.kind() == NodeErrorKind::Quarantined => {
                !self.was_quarantined(call, node)
            }
            NodeAnswer::Failed(failure) => !self.may_fail(call, node, failure.kind()),
            NodeAnswer::NotAwaited => false,
            // Only `inspect` gives these, and no user calls it.
            NodeAnswer::Free | NodeAnswer::Held { .. } => true,
            _ => true, // an answer that the oracle does not know
        }
    }

    /// Whether a node has said to an acquire of the call's client that it has forgotten.
    fn was_quarantined(&self, call: &Call, node: usize) -> bool {
        let told = self.told(call.client, node, &call.key);
        is_acquire(call.what) && told.quarantined > call.told[node].quarantined
    }

    fn may_fail(&self, call: &Call, node: usize, kind: NodeErrorKind) -> bool {
        // Commands that wait for a failing node fill its queue.
        let full = kind == NodeErrorKind::Overloaded && self.plan.profile == Profile::Burst;
        let ahead = kind == NodeErrorKind::ClockAhead && self.plan.walls_apart;
        full || ahead || self.plan.slow_anyway || self.had_trouble(call.client, node, call.since)
    }

    /// A quorum may be out of reach only where enough nodes had trouble, or, for
    /// an extension, where enough nodes never had the lock.
    fn check_failures(&self, call: &Call, error: &Error) -> Option<String> {
        let spare = self.plan.nodes.len() - self.plan.quorum();
        let failed = error.nodes().iter().filter(|report| report.error().is_some()).count();
        let refused = |node: usize| {
            let answer = error.nodes().get(node).map(|report| report.answer());
            is_extension(call.what) && matches!(answer, Some(NodeAnswer::Gone))
        };
        let ahead = |node: usize| {
            let failure = error.nodes().get(node).and_then(|report| report.error());
            let is_ahead = failure.is_some_and(|it| it.kind() == NodeErrorKind::ClockAhead);
            is_ahead && self.plan.walls_apart
        };
        let troubled = (0..self.plan.nodes.len())
            .filter(|node| {
                refused(*node)
                    || ahead(*node)
                    || self.was_quarantined(call, *node)
                    || self.had_trouble(call.client, *node, call.since)
            })
            .count();
        if self.plan.slow_anyway || troubled > spare {
            // An extension that began shortly before the lock's deadline may have
            // had no time for any node to answer or fail.
            (failed == 0 && !is_extension(call.what))
                .then(|| "it names no node that failed".to_owned())
        } else {
            Some(format!("only {troubled} nodes had trouble"))
        }
    }

    /// An acquire that gave up waiting must have waited.
    pub fn check_patience(&mut self, call: &Call, wait: Duration) {
        let elapsed =
            self.elapsed(call) + Duration::from_nanos(self.stalled(call.client) - call.stalled);
        if elapsed + LAST_ATTEMPT + self.oracle.tick < wait {
            let what = format!("{} gave up after {elapsed:?} of {wait:?}", call.what);
            self.violate(Check::WaitTooShort, what);
        }
    }

    /// A caller has given up a wait that had no limit: the call should have ended
    /// by itself if too many nodes were down for too long.
    pub fn check_gave_up(&mut self, call: &Call, ttl: Duration) {
        let spare = self.plan.nodes.len() - self.plan.quorum();
        let gone = |node: &&crate::node::Node| node.gone_since().is_some_and(|at| at < call.since);
        // While the client tries to connect anew, it does not know yet that a node
        // is down.
        let longest = ttl + 2 * self.plan.node_timeout(call.client, ttl) + Duration::from_secs(2);
        // Nor where it has asked nobody since: behind a holder, it does so every few seconds.
        let asked = self.clients[call.client].asked.get(&call.key);
        let waited = match asked {
            None => self.now - call.since,
            Some(asked) => asked.iter().find(|at| **at >= call.since).map_or(0, |at| self.now - at),
        };
        if self.nodes.iter().filter(gone).count() > spare
            && self.elapsed(call).min(Duration::from_nanos(waited)) > longest
        {
            let what = format!("{} waits for nodes that are gone for {longest:?}", call.what);
            self.violate(Check::CallWithoutEnd, what);
        }
    }

    /// A caller has given up waiting. If nothing was wrong and nobody held the lock,
    /// somebody must have asked for it shortly before.
    pub fn check_not_forgotten(&mut self, call: &Call) {
        // A release that no node may publish is noticed at the polling floor.
        let is_mute = |planned: &Planned| {
            matches!(planned.fault, Fault::Refuse { how: Refusal::NoPubSub, .. })
        };
        let is_told = !self.plan.faults.iter().any(is_mute);
        let longest = if is_told { SECOND } else { SECOND + LONGEST_SILENCE };
        let idle = |since: u64| self.now.saturating_sub(since) > longest;
        let asked = self.asked_at.get(&call.key).copied().unwrap_or_default();
        // A release that a node did not publish is noticed at the polling floor.
        let since = self.now.saturating_sub(SECOND + LONGEST_SILENCE);
        let clients = || 0..self.plan.clients.len();
        let well = |node: &usize| clients().all(|client| !self.had_trouble(client, *node, since));
        let able = (0..self.nodes.len()).filter(well).count() >= self.plan.quorum();
        let left = self.crowds.iter().filter(|((_, key), _)| *key == call.key);
        let left = left.filter_map(|(_, crowd)| crowd.left_at).max().unwrap_or_default();
        let stalled = self.is_stalled(call.client) || self.stalled(call.client) > call.stalled;
        // A lock that was left to its ttl is waited for, and need not be asked for.
        let values = self.nodes.iter().flat_map(|node| node.living(self.now - SECOND));
        let values = values.filter(|(key, _)| *key == call.key).map(|(_, token)| token);
        let values: Vec<_> = values.collect();
        let votes = |token: &&[u8]| values.iter().filter(|other| *other == token).count();
        let is_left = values.iter().any(|token| votes(token) >= self.plan.quorum());
        let free =
            !self.is_in_hand(&call.key) && !is_left && idle(left) && !stalled && !call.closed;
        if free && able && idle(asked) && idle(call.since) && !self.plan.slow_anyway {
            let key = String::from_utf8_lossy(&call.key);
            let what = format!("{} waits for `{key}`, and nobody asks the nodes for it", call.what);
            self.violate(Check::Forgotten, what);
        }
    }
}
