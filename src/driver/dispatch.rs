//! Files operations, puts their questions to the nodes, and routes each answer
//! back to the operation it belongs to.

use slab::Slab;

use super::{
    op::{Acquiring, Job, Op},
    run::{Driver, Timer},
};
use crate::{
    exchange::{Answer, Ask, Event, News, Outcome, Ticket},
    mutant::{self, Mutant},
    node::{self, Form, Order, Request},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId, NodeSet, Vote},
};

/// Above this much room for operations, it is given back when there are none.
const KEEP_OPS: usize = 1024;

impl Driver {
    pub(super) fn is_current(&self, id: usize, number: u64) -> bool {
        self.ops.get(id).is_some_and(|op| op.number == number)
    }

    /// Files `op`, asks `targets`, and sees to it that it ends in time.
    pub(super) fn start(&mut self, mut op: Op, targets: NodeSet, now: Moment) {
        op.number = self.op_number;
        self.op_number = self.op_number.wrapping_add(1);
        let timer = |id| Timer::Op { id, number: op.number };
        let entry = self.ops.vacant_entry();
        let id = entry.key();
        op.due = op.poll_timeout().map(|at| self.timers.push(at, timer(id)));
        entry.insert(op);
        self.ask(id, targets, now);
        self.settle(id, now);
    }

    /// Offers what operation `id` asks for to `targets`, all before anything
    /// else is offered to any of them: their order is the order of the locks.
    pub(super) fn ask(&mut self, id: usize, targets: NodeSet, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let ask = op.ask();
        let is_release = ask == Ask::Release;
        let keep_until = if is_release { op.claim.gone_by() } else { op.give_up_at };
        let timeout = self.config.node_timeout(op.ttl);
        let ticket = Ticket { op: id, claim: op.claim.id(), ask };
        let reserved = op.keeps();
        // As yet in no form.
        let (form, replies) = (Form::Short, 0);
        let mut order = Order { ticket, keep_until, timeout, form, replies, is_release, reserved };

        let (key, token) = (op.claim.key.as_bytes(), op.claim.token.as_bytes());
        let request = Request { ask, key, token, ttl: op.ttl, news: op.news() };
        let mut declined = Vec::new();
        for target in targets.iter() {
            let Some(node) = self.nodes.get_mut(target.index()) else { continue };
            let scriptless = op.scriptless.contains(target);
            let form = if scriptless { Form::Whole } else { node.form(ask) };
            // Once for all nodes that get the same.
            if order.replies == 0 || order.form != form {
                self.encoded.clear();
                order.form = form;
                let again = request.news.filter(|_| scriptless).map(News::again);
                let request = Request { news: again.or(request.news), ..request };
                order.replies = node::encode(&mut self.encoded, form, request);
            }
            match node.offer(&order, &self.encoded, now, &mut self.events) {
                Ok(()) => {
                    op.awaited.insert(target);
                    self.offered.insert(target);
                }
                Err(error) => declined.push((target, error)),
            }
        }
        for (node, error) in declined {
            self.count(id, node, Outcome::NotSent(error), now, now);
        }
    }

    pub(super) fn count_event(&mut self, event: Event, now: Moment) {
        let Event { node, ticket: Ticket { op: id, .. }, outcome, offered_at } = event;
        let Some(op) = self.ops.get_mut(id) else { return };
        op.awaited.remove(node);
        let unknown = matches!(outcome, Outcome::Answered(Answer::NoScript));
        // Behind the lock's release, it would set the key again for nobody.
        let late = matches!(op.job, Job::Heal) && op.claim.has_ended();
        if unknown && !late && !op.scriptless.contains(node) {
            op.scriptless.insert(node);
            self.ask(id, NodeSet::EMPTY.with(node), now);
        } else {
            self.count(id, node, outcome, offered_at, now);
        }
    }

    /// Counts what a node said or did not say. Acting on it is [`Self::settle`]'s.
    fn count(
        &mut self,
        id: usize,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        now: Moment,
    ) {
        let Some(op) = self.ops.get_mut(id) else { return };
        match op.job {
            Job::Acquire(_) => op.count_acquire(node, outcome, offered_at, now),
            Job::Extend { .. } => self.count_extend(id, node, outcome, offered_at, now),
            Job::Heal => self.count_heal(id, node, outcome, now.since(offered_at)),
            Job::Release(_) => self.count_release(id, node, outcome, now),
            Job::Inspect { .. } => self.count_inspect(id, node, outcome),
            Job::Look(_) => self.count_look(id, node, outcome, now.since(offered_at)),
        }
    }

    /// Tells the caller if the outcome is clear, and removes what is over.
    pub(super) fn settle(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get(id) else { return };
        match op.job {
            Job::Acquire(_) => self.conclude_acquire(id, now),
            Job::Extend { .. } => self.conclude_extend(id, now),
            Job::Heal => {}
            Job::Release(_) => self.conclude_release(id, now),
            Job::Inspect { .. } => self.conclude_inspect(id, now),
            Job::Look(_) => self.conclude_look(id, now),
        }
        if self.ops.get(id).is_some_and(Op::is_over) {
            self.close_release(id);
            if !mutant::is(Mutant::OperationsPileUp) {
                let due = self.ops.remove(id).due;
                due.and_then(|due| self.timers.cancel(due));
                if self.ops.is_empty() && self.ops.capacity() > KEEP_OPS {
                    self.ops = Slab::with_capacity(KEEP_OPS);
                }
            }
        }
    }

    pub(super) fn time_out(&mut self, id: usize, now: Moment) {
        if self.put_off(id, now) {
            return;
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        match &mut op.job {
            Job::Acquire(Acquiring { round, .. }) | Job::Extend { round, .. } => {
                round.handle_timeout(now);
            }
            Job::Heal => {}
            Job::Release(_) => self.time_out_release(id, now),
            Job::Inspect { .. } | Job::Look(_) => {} // its timeout is what `settle` looks at
        }
        self.settle(id, now);
    }
}

/// A node's outcome as a vote, and what to remember of it.
pub(super) fn vote(outcome: Outcome) -> (Vote, Option<NodeError>) {
    match outcome {
        Outcome::Answered(Answer::Granted | Answer::NotPublished) => (Vote::Granted, None),
        Outcome::Answered(Answer::Refused) => (Vote::Refused, None),
        // Something else is at the key: so it is not ours.
        Outcome::Answered(Answer::Failed(error)) if error.kind() == NodeErrorKind::ForeignKey => {
            (Vote::Refused, Some(error))
        }
        Outcome::Answered(Answer::Failed(error)) if error.surely_had_no_effect() => {
            (Vote::Failed, Some(error))
        }
        Outcome::Lost(error) if mutant::is(Mutant::LostIsNo) => (Vote::Failed, Some(error)),
        Outcome::Answered(Answer::Failed(error)) | Outcome::Lost(error) => {
            (Vote::Unknown, Some(error))
        }
        Outcome::NotSent(error) => (Vote::Failed, Some(error)),
        Outcome::Withdrawn => (Vote::Failed, None),
        // Not an answer to what was asked: it says nothing about the key.
        Outcome::Answered(
            Answer::Remaining(_)
            | Answer::Free
            | Answer::Taken(_)
            | Answer::Serves(_)
            | Answer::NoScript,
        ) => (Vote::Unknown, Some(NodeError::new(NodeErrorKind::Protocol))),
    }
}
