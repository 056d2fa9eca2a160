//! What must be true of a stepped world after each step, and when nothing more can happen.
//! It moves nothing.

use super::{
    caller::{Caller, Client},
    node::Store,
    scenario::BEGIN,
    world::World,
};
use crate::{engine::Engine, protocol::Moment};

impl World {
    /// Says what is wrong, if anything is.
    pub(super) fn violation(&mut self) -> Option<String> {
        // No caller depends on a node that may never answer.
        let depends = |client: &Client| {
            client.callers.iter().any(Caller::waits)
                && client.engine.poll_timeout() == Moment::NEVER
        };
        if self.clients.iter().any(depends) {
            return Some("a caller waits, and nothing is due".into());
        }
        if self.scenario.wins.is_some_and(|within| self.now > BEGIN.after(within))
            && let Some(what) = self.nobody_won()
        {
            return Some(what);
        }
        if let Some(client) = self.clients.iter().find(|it| it.attempts > self.scenario.asks) {
            return Some(format!("a client asks {} times", client.attempts));
        }
        let (now, majority) = (self.now, self.scenario.nodes / 2 + 1);
        let nodes = &self.nodes;
        let won = self.clients.iter_mut().flat_map(|client| &mut client.callers);
        let mut holders = 0;
        for lock in won.flat_map(|caller| &mut caller.locks) {
            let is_held = lock.claim.until() > now;
            if is_held && lock.is_over {
                return Some("a lock that was over is held again".into());
            }
            lock.is_over |= !is_held;
            let has_token = |store: &&Store| {
                let value = store.as_ref().filter(|(_, until)| now < *until);
                value.is_some_and(|(token, _)| token == lock.claim.token.as_bytes())
            };
            let votes = nodes.iter().filter(has_token).count();
            if is_held && votes < majority {
                return Some(format!("a lock is held by {votes} nodes"));
            }
            holders += usize::from(is_held);
        }
        if holders > 1 {
            return Some(format!("{holders} locks are held"));
        }
        self.disorder()
    }

    /// Says which two fencing numbers are in the wrong order, if any are: those of two calls of
    /// which one was over when the other began; or the same twice.
    fn disorder(&self) -> Option<String> {
        let callers = self.clients.iter().flat_map(|client| &client.callers);
        let locks = callers.flat_map(|caller| &caller.locks);
        let numbers = locks.filter_map(|lock| Some((lock.claim.fence()?, lock)));
        let numbers: Vec<_> = numbers.collect();
        for (place, (number, lock)) in numbers.iter().enumerate() {
            // A quorum has noted each before it was had, and no fence falls.
            let noted = self.fences.iter().filter(|fence| **fence >= number.get()).count();
            if noted <= self.scenario.nodes / 2 {
                return Some(format!("{number:?} is noted by {noted} nodes"));
            }
            for (other, later) in &numbers[place + 1..] {
                let is_wrong = lock.had_in < later.asked_in && number >= other
                    || later.had_in < lock.asked_in && other >= number
                    || number == other;
                if is_wrong {
                    return Some(format!("{number:?} and {other:?} in the wrong order"));
                }
            }
        }
        None
    }

    /// When nothing more can happen: says what is left, a key for nobody, a caller
    /// without an answer, or an operation.
    pub(super) fn left_behind(&self) -> Option<String> {
        // Who is never told that a node has the key after all leaves it there.
        let may_be_left = self.denials < self.scenario.denials;
        let is_left = |store: &Store| store.as_ref().is_some_and(|(_, until)| self.now < *until);
        let left = self.nodes.iter().position(is_left).filter(|_| !may_be_left);
        if let Some(node) = left {
            return Some(format!("a key is left at node {node}"));
        }
        let mut clients = self.clients.iter();
        if clients.any(|client| client.callers.iter().any(Caller::waits)) {
            return Some("a caller waits, and nothing will happen".into());
        }
        if let Some(what) = self.nobody_won() {
            return Some(what);
        }
        let mut engines = self.clients.iter().map(|client| &client.engine);
        let is_busy = |engine: &Engine| engine.operations() > 0 || engine.callers() > 0;
        engines.any(is_busy).then(|| "an operation never ends".into())
    }

    fn nobody_won(&self) -> Option<String> {
        let is_undisturbed = self.losses == self.scenario.losses
            && self.drops == self.scenario.drops
            && self.stalls == self.scenario.stalls;
        let mut callers = self.clients.iter().flat_map(|client| &client.callers);
        let is_lost =
            self.scenario.wins.is_some() && is_undisturbed && !callers.any(Caller::has_won);
        is_lost.then(|| "nobody has got the lock".into())
    }
}
