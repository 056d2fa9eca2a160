//! What calls may say: in time, and nothing but the truth.

use std::time::Duration;

use redlock_quorum::{Error, ErrorKind, NodeAnswer, NodeErrorKind, Released, sim::Peek};

use crate::{
    plan::SECOND,
    profile::Profile,
    stage::{Told, Truth},
    trace::{Kind, Lane},
    violation::Check,
};

/// With less left of its wait, an acquire gives up.
const LAST_ATTEMPT: Duration = Duration::from_millis(2);

/// The library's: within it, a connection may be made.
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
    /// In the order in which calls came.
    pub number: u64,
    what: &'static str,
    key: Vec<u8>,
    since: u64,
    clock: u64,
    stalled: u64,
    told: Vec<Told>,
    closed: bool,
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
            told: (0..self.nodes.len()).map(|node| self.told(client, node, key)).collect(),
        }
    }

    /// A call has ended by itself: was it in time, and is what it says true?
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

    /// A call got its lock: those of the same client that came before it must
    /// have had theirs, or be gone.
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

    /// Whether others of the same client were at the key meanwhile, or had
    /// been shortly before: their locks are released in the background.
    fn had_company(&self, call: &Call) -> bool {
        let crowd = self.crowds.get(&(call.client, call.key.clone())).cloned().unwrap_or_default();
        let before = |left: u64| left + SECOND >= call.since;
        crowd.size > 1 || crowd.left_at.is_some_and(before)
    }

    /// Whether a lock was extended since, as it is when it is handed on.
    fn was_extended(&self, token: &[u8], since: u64) -> bool {
        self.extended_at.get(token).is_some_and(|at| *at >= since)
    }

    /// On the client's clock, while its process ran.
    fn elapsed(&self, call: &Call) -> Duration {
        let passed = self.clock(call.client) - call.clock;
        let stalled = self.stalled(call.client) - call.stalled;
        Duration::from_nanos(passed.saturating_sub(stalled))
    }

    fn check_error(&mut self, call: &Call, elapsed: Duration, error: &Error) {
        let told = |truth: &Self, node| {
            let (before, after) = (call.told[node], truth.told(call.client, node, &call.key));
            let (refused, alive) = (after.refused > before.refused, after.alive > before.alive);
            (after.granted > before.granted, refused, alive)
        };
        let acquires = is_acquire(call.what);
        let refused = (0..self.nodes.len()).any(|node| told(self, node).1);
        let what = match error.kind() {
            ErrorKind::Contended if call.what == "try" => {
                (!refused).then(|| "no node had refused".to_owned())
            }
            ErrorKind::Timeout if matches!(call.what, "wait" | "run") => {
                let alone = !refused && !self.had_company(call);
                alone.then(|| "no node had refused, nor another task of the client".to_owned())
            }
            ErrorKind::Expired if acquires => {
                let drift = self.plan.habits.ttl / 100 + Duration::from_millis(2);
                let passed =
                    elapsed + Duration::from_nanos(self.stalled(call.client) - call.stalled);
                let valid = self.plan.habits.ttl.saturating_sub(drift);
                (passed < valid).then(|| format!("only {passed:?} had passed"))
            }
            // It was away for too long, which nobody says when it begins.
            ErrorKind::Expired if call.what == "resume" => None,
            ErrorKind::NoQuorum => self.check_failures(call, error),
            ErrorKind::Lost => None, // whoever asked checks it: it is about one lock
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
        };
        if let Some(what) = what {
            let what = format!("{} said {error:?}, but {what}", call.what);
            return self.violate(Check::UntrueError(error.kind()), what);
        }
        for (node, report) in error.nodes().iter().enumerate() {
            let (granted, refused, alive) = told(self, node);
            let lie = match report.answer() {
                NodeAnswer::Granted => acquires && !granted,
                NodeAnswer::Refused { .. } => acquires && !refused && !alive,
                // Whose lock ends while a connection is still being made.
                NodeAnswer::Failed(failure)
                    if failure.kind() == NodeErrorKind::Unreachable
                        && is_extension(call.what)
                        && error.kind() == ErrorKind::Lost
                        && elapsed < LEAST_NODE_TIMEOUT =>
                {
                    false
                }
                NodeAnswer::Failed(error) => !self.may_fail(call, node, error.kind()),
                NodeAnswer::NotAwaited => false,
                // No call of these users only looks.
                NodeAnswer::Free | NodeAnswer::Held { .. } => true,
                _ => true, // an answer that the oracle does not know
            };
            if lie {
                let what = format!("{}: node {node} did not do this: {report}", call.what);
                return self.violate(Check::InnocentNode, what);
            }
        }
    }

    fn may_fail(&self, call: &Call, node: usize, kind: NodeErrorKind) -> bool {
        // What waits for a node that fails fills its queue.
        let full = kind == NodeErrorKind::Overloaded && self.plan.profile == Profile::Burst;
        full || self.plan.slow_anyway || self.had_trouble(call.client, node, call.since)
    }

    /// A quorum may be out of reach only where enough nodes had trouble; or,
    /// for an extension, never had the lock.
    fn check_failures(&self, call: &Call, error: &Error) -> Option<String> {
        let spare = self.plan.nodes.len() - self.plan.quorum();
        let failed = error.nodes().iter().filter(|report| report.error().is_some()).count();
        let refused = |node: usize| {
            let answer = error.nodes().get(node).map(|report| report.answer());
            is_extension(call.what) && matches!(answer, Some(NodeAnswer::Refused { .. }))
        };
        let troubled = (0..self.plan.nodes.len())
            .filter(|node| refused(*node) || self.had_trouble(call.client, *node, call.since))
            .count();
        if self.plan.slow_anyway || troubled > spare {
            // An extension may have had no time, up to the lock's own deadline.
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

    /// Renewed work has lost its lock: something must have been wrong.
    pub fn check_innocent_loss(&mut self, error: &Error) {
        if self.plan.faults.is_empty() && !self.plan.slow_anyway {
            let what = format!("run lost its lock, and nothing was wrong: {error}");
            self.violate(Check::InnocentLoss, what);
        }
    }

    /// A lock was extended: by a majority, and it is held.
    pub fn check_extended(&mut self, client: usize, key: &[u8], peek: &Peek) {
        if !self.plan.profile.within_assumptions() {
            return;
        }
        let votes = self.votes(key, peek.token());
        if votes < self.plan.quorum() {
            let what = format!("client {client} extended a lock that {votes} nodes have");
            self.violate(Check::ExtendedByTooFew, what);
        }
    }

    /// A caller would have waited for ever, and there were no nodes to wait for.
    pub fn check_gave_up(&mut self, call: &Call, ttl: Duration) {
        let spare = self.plan.nodes.len() - self.plan.quorum();
        let gone = |node: &&crate::node::Node| node.gone_since().is_some_and(|at| at < call.since);
        // A second more: while it tries to connect anew, it does not know yet.
        let longest = ttl + 2 * self.plan.node_timeout(call.client, ttl) + Duration::from_secs(2);
        if self.nodes.iter().filter(gone).count() > spare && self.elapsed(call) > longest {
            let what = format!("{} waits for nodes that are gone for {longest:?}", call.what);
            self.violate(Check::CallWithoutEnd, what);
        }
    }

    /// A caller has waited long enough: while nothing was wrong and nobody had
    /// the lock, somebody must have asked for it.
    pub fn check_not_forgotten(&mut self, call: &Call) {
        let idle = |since: u64| self.now.saturating_sub(since) > SECOND;
        let asked = self.asked_at.get(&call.key).copied().unwrap_or_default();
        let well = |node: &usize| !self.had_trouble(call.client, *node, self.now - SECOND);
        let able = (0..self.nodes.len()).filter(well).count() >= self.plan.quorum();
        let left = self.crowds.iter().filter(|((_, key), _)| *key == call.key);
        let left = left.filter_map(|(_, crowd)| crowd.left_at).max().unwrap_or_default();
        let stalled = self.is_stalled(call.client) || self.stalled(call.client) > call.stalled;
        let free = !self.is_in_hand(&call.key) && idle(left) && !stalled && !call.closed;
        if free && able && idle(asked) && idle(call.since) && !self.plan.slow_anyway {
            let key = String::from_utf8_lossy(&call.key);
            let what = format!("{} waits for `{key}`, and nobody asks for it", call.what);
            self.violate(Check::Forgotten, what);
        }
    }

    /// A lock was said to be lost: it had ended, or its key is gone.
    pub fn check_lost(&mut self, client: usize, key: &[u8], peek: &Peek, was_until: u64) {
        let clock = self.clock(client);
        if clock < peek.until() {
            let what = format!("client {client} was told its lock is lost, and it is held");
            self.violate(Check::LostAndHeld, what);
        }
        let gone = self.votes(key, peek.token()) < self.plan.quorum();
        if clock < was_until && !gone && self.plan.profile.within_assumptions() {
            let what = format!("client {client} was told its lock is lost, and it was not");
            self.violate(Check::UntrueError(ErrorKind::Lost), what);
        }
    }

    /// Nobody has the lock by that token, it was said.
    pub fn check_not_there(&mut self, call: &Call, token: &[u8]) {
        let votes = self.votes(&call.key, token);
        if votes >= self.plan.quorum() && self.plan.profile.within_assumptions() {
            let what = format!("{} said that it is lost, and {votes} nodes have it", call.what);
            self.violate(Check::UntrueError(ErrorKind::Lost), what);
        }
    }

    /// A release was answered.
    pub fn check_released(
        &mut self,
        call: &Call,
        token: &[u8],
        released: Released,
        (was_held, was_over): (bool, bool),
        had: usize,
    ) {
        let kept = self.plan.profile.within_assumptions();
        // Of a node that is down nobody knows what it has forgotten, and a clock
        // that is set may take back what was over.
        let known = self.plan.profile != Profile::Amnesia
            && self.oracle.clock_set_at.is_none_or(|at| at + self.tick_nanos() < call.since);
        let votes = self.votes(&call.key, token);
        let spare = self.plan.nodes.len() - self.plan.quorum();
        let lie = match released {
            // It may have been handed on to another call of the same client.
            Released::Released
                if votes > spare && kept && !self.was_extended(token, call.since) =>
            {
                format!("released, said a client, and {votes} nodes have the key")
            }
            Released::Released if was_over || had < self.plan.quorum() && known => {
                format!("released, said a client, and only {had} nodes had it")
            }
            // (Else what had it a moment ago may have forgotten it since.)
            Released::AlreadyExpired if kept && was_held && had >= self.plan.quorum() => {
                format!("already expired, said a client, and {had} nodes had it")
            }
            Released::Released | Released::AlreadyExpired => return,
            _ => "the oracle does not know it".to_owned(),
        };
        self.violate(Check::UntrueRelease(released), lie);
    }
}
