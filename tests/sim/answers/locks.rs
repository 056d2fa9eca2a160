//! What a call may say about a lock: that it is extended, lost or released.

use std::time::Duration;

use redlock_quorum::{Error, ErrorKind, Released, sim::Peek};

use super::Call;
use crate::{profile::Profile, stage::Truth, violation::Check};

impl Truth {
    /// A call has not got its lock: where nothing was wrong, somebody else must have had it, or
    /// wanted it. That a fencing number was too low is no reason.
    pub fn check_was_wanted(&mut self, call: &Call) {
        let closed = self.clients[call.client].closed;
        let is_new = self.plan.strict.is_none_or(|strict| strict.bootstrapped);
        let calm = self.plan.faults.is_empty() && !self.plan.slow_anyway && !closed && is_new;
        let wants = |asked: &Vec<u64>| asked.last().is_some_and(|at| *at >= call.since);
        let another = |client: usize| {
            client != call.client && self.clients[client].asked.get(&call.key).is_some_and(wants)
        };
        let locked =
            |node: usize| self.told(call.client, node, &call.key).locked > call.told[node].locked;
        let is_wanted = self.had_company(call)
            || (0..self.clients.len()).any(another)
            || (0..self.nodes.len()).any(locked);
        // Time goes in steps of a tick at the slower level: this is two round trips and a login.
        let step = self.oracle.tick.saturating_sub(Duration::from_millis(1));
        let needed = Duration::from_nanos(8 * self.plan.latency.1) + 4 * step;
        if calm && !is_wanted && self.elapsed(call) >= needed {
            let what = format!("{} got no lock, and nobody else wanted it", call.what);
            self.violate(Check::FreeAndRefused, what);
        }
    }

    /// Work under a renewed lock has lost it: something must have been wrong.
    pub fn check_innocent_loss(&mut self, error: &Error) {
        if self.plan.faults.is_empty() && !self.plan.slow_anyway {
            let what = format!("run lost its lock, and nothing was wrong: {error}");
            self.violate(Check::InnocentLoss, what);
        }
    }

    /// A lock was extended: a majority of the nodes must have it.
    pub fn check_extended(&mut self, client: usize, key: &[u8], peek: &Peek) {
        if !self.plan.within_assumptions() {
            return;
        }
        let votes = self.votes(key, peek.token());
        if votes < self.plan.quorum() {
            let what = format!("client {client} extended a lock that {votes} nodes have");
            self.violate(Check::ExtendedByTooFew, what);
        }
    }

    /// A client said that a lock is lost: it must have ended, or its key be gone.
    pub fn check_lost(&mut self, client: usize, key: &[u8], peek: &Peek, was_until: u64) {
        let clock = self.clock(client);
        if clock < peek.until() {
            let what = format!("client {client} was told its lock is lost, and it is held");
            self.violate(Check::LostAndHeld, what);
        }
        let gone = self.votes(key, peek.token()) < self.plan.quorum();
        if clock < was_until && !gone && self.plan.within_assumptions() {
            let what = format!("client {client} was told its lock is lost, and it was not");
            self.violate(Check::UntrueError(ErrorKind::Lost), what);
        }
    }

    /// A client said that no lock with that token exists any more.
    pub fn check_not_there(&mut self, call: &Call, token: &[u8]) {
        let votes = self.votes(&call.key, token);
        if votes >= self.plan.quorum() && self.plan.within_assumptions() {
            let what = format!("{} said that it is lost, and {votes} nodes have it", call.what);
            self.violate(Check::UntrueError(ErrorKind::Lost), what);
        }
    }

    /// A release has answered: what it says must be true.
    pub fn check_released(
        &mut self,
        call: &Call,
        token: &[u8],
        released: Released,
        (was_held, was_over): (bool, bool),
        had: usize,
    ) {
        let kept = self.plan.within_assumptions();
        // A node that is down may have forgotten the key, and a clock that is set
        // back may make an expired key live again.
        let known = self.plan.profile != Profile::Amnesia
            && self.plan.strict.is_none()
            && self.plan.grace.is_none_or(|grace| !grace.exceeded)
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
            // (Beyond the assumptions, a node may have forgotten the key since.)
            Released::AlreadyExpired if kept && was_held && had >= self.plan.quorum() => {
                format!("already expired, said a client, and {had} nodes had it")
            }
            Released::Released | Released::AlreadyExpired => return,
            _ => "the oracle does not know it".to_owned(),
        };
        self.violate(Check::UntrueRelease(released), lie);
    }

    /// Whether the lock was extended after `since`, as it is when it is handed on.
    fn was_extended(&self, token: &[u8], since: u64) -> bool {
        self.extended_at.get(token).is_some_and(|at| *at >= since)
    }
}
