//! The engine: it decides everything about locks, and touches nothing.
//!
//! Requests, answers, news and the time go in. What to ask the nodes comes out
//! ([`Output`]), the time of the next timeout, and each caller's answer, through the
//! channel that came with its request. It has no socket, no `Context` and no clock,
//! so that a test can step it by hand, in any order of events.
//!
//! The naming rule is that of `protocol`: `handle_*` takes what the world did, and
//! `poll_*` says what the driver must do next. An operation (`op`) counts answers
//! until it ends in a value; [`Engine::after`], in `follow`, says what comes after
//! the end. One thing comes before it: nodes that an extension found without the key
//! are healed at once. `mutant::is(..)` marks a wrong turn that a test must notice, and
//! is the constant `false` outside the simulator's build: read past it. What a vote count means is decided by
//! `protocol`, whose turn it is by `turn`, what is renewed by `keep`.

mod acquire;
mod again;
mod chance;
mod explain;
mod follow;
mod hold;
mod keep;
mod let_go;
mod look;
mod op;
mod output;
mod pacing;
mod request;
mod shutdown;
mod stand;
#[cfg(test)]
#[cfg(redlock_sim)]
mod stepper;
mod turn;
mod waiter;

use std::{collections::VecDeque, fmt, sync::Arc};

use rand::rngs::StdRng;

use self::{
    chance::Chance,
    keep::Keep,
    op::{Head, Kind, Op, Ops, Setting},
    shutdown::Closing,
    turn::{Timer, Turns},
};
pub(crate) use self::{
    keep::Kept,
    output::{Output, Question, Time},
    request::{
        AcquireRequest, ExtendRequest, LookRequest, Patience, Renew, Reply, Request, Shared, Won,
    },
    turn::Wish,
};
use crate::{
    config::Config,
    exchange::{Answer, Ask, Event, Heard, Outcome, Ticket},
    node_error::NodeError,
    protocol::{Moment, NodeId, NodeSet, Numbers},
};

/// Everything that is decided for one client.
pub(crate) struct Engine {
    config: Arc<Config>,
    chance: Chance,
    numbers: Numbers,
    ops: Ops,
    turns: Turns,
    keep: Keep,
    outputs: VecDeque<Output>,
    /// Operations that may have ended by the answers counted last.
    ripe: Vec<usize>,
    /// Operations whose caller has not been told yet.
    undecided: usize,
    /// Releases that may still change something.
    releasing: usize,
    /// Set by a shutdown: no more acquires.
    closed: bool,
    closings: Vec<Closing>,
    /// Nodes that did not answer when they were asked last: they decide nothing for others.
    silent: NodeSet,
    /// Nodes that do not let us publish.
    no_publish: NodeSet,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("ops", &self.ops)
            .field("turns", &self.turns)
            .field("keep", &self.keep)
            .field("outputs", &self.outputs)
            .field("releasing", &self.releasing)
            .field("closed", &self.closed)
            .field("closings", &self.closings)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(config: Arc<Config>, rng: StdRng) -> Self {
        Self {
            chance: Chance::new(rng),
            numbers: Numbers::default(),
            ops: Ops::new(),
            turns: Turns::new(Arc::clone(&config)),
            keep: Keep::new(),
            outputs: VecDeque::new(),
            ripe: Vec::new(),
            undecided: 0,
            releasing: 0,
            closed: false,
            closings: Vec::new(),
            silent: NodeSet::EMPTY,
            no_publish: NodeSet::EMPTY,
            config,
        }
    }

    /// A caller wants something.
    pub(crate) fn handle_request(&mut self, request: Request, time: Time) {
        match request {
            Request::Acquire(waiter, _queued) => self.begin_acquire(waiter, time),
            Request::Clock(micros) => self.numbers.set_clock(micros, time.now),
            Request::Extend(request, _queued) => self.begin_extend(request, time),
            Request::Look(request, _queued) => self.begin_look(request, time.now),
            Request::Keep(kept) => self.begin_keeping(kept, time),
            Request::Release { claim, reply } => self.let_go(claim, reply, time),
            Request::Leave(claim) => self.leave(&claim, time),
            Request::Shutdown { deadline, reply } => self.begin_shutdown(deadline, reply),
        }
    }

    /// Counts how a question to a node ended. What follows is for
    /// [`Self::settle_answered`], when all that came at once have been counted: a
    /// rollback must know of every node that was never asked.
    pub(crate) fn handle_answer(&mut self, event: Event, now: Moment) {
        let Event { node, ticket: Ticket { op: id, ask, .. }, outcome, offered_at } = event;
        if self.count(id, ask, node, outcome, offered_at, now) {
            self.ripe.push(id);
        }
    }

    /// Acts on the answers that have been counted.
    pub(crate) fn settle_answered(&mut self, time: Time) {
        let mut ripe = std::mem::take(&mut self.ripe);
        for id in ripe.drain(..) {
            self.settle(id, time);
        }
        // What that caused is in `ripe` already: keep it, and the room.
        ripe.append(&mut self.ripe);
        self.ripe = ripe;
    }

    /// Notes that `node` was not asked. After the last such node,
    /// [`Self::settle_declined`] is to be called.
    pub(crate) fn handle_declined(
        &mut self,
        op: usize,
        ask: Ask,
        node: NodeId,
        why: NodeError,
        now: Moment,
    ) {
        self.count(op, ask, node, Outcome::NotSent(why), now, now);
    }

    /// Acts on what was counted by [`Self::handle_declined`].
    pub(crate) fn settle_declined(&mut self, op: usize, time: Time) {
        self.settle(op, time);
        // A renewal that was declined has made room for the next.
        self.renew_waiting(time);
    }

    /// What came on a connection that listens.
    pub(crate) fn handle_heard(&mut self, node: NodeId, heard: Heard, time: Time) {
        let draw = self.chance.draw();
        let turn = self.turns.handle_heard(node, heard, draw, time.now);
        self.take_turn(turn, time);
    }

    /// Does what was due by `due`.
    pub(crate) fn handle_due(&mut self, due: Moment, time: Time) {
        while let Some(kept) = self.keep.pop_due(due) {
            let to_renew = self.keep.look_after(kept, time.now);
            self.renew(to_renew, time);
        }
        while let Some(id) = self.ops.pop_due(due) {
            let Some((op, mut setting)) = self.op_and_setting(id, time.now) else { continue };
            op.handle_timeout(due, &mut setting);
            let silent = std::mem::take(&mut op.head.silent);
            self.silent = self.silent.union(silent);
            self.ask_again(id);
            self.settle(id, time);
        }
        while let Some(timer) = self.turns.pop_due(due) {
            if let Timer::Once { number, looks: true } = timer {
                if let Some(waiter) = self.turns.take_once(number) {
                    self.look_again(waiter, time.now);
                }
                continue;
            }
            let turn = self.turns.handle_timer(timer, time.now);
            self.take_turn(turn, time);
        }
    }

    /// Renews what waits for it, as far as there is room.
    pub(crate) fn renew_waiting(&mut self, time: Time) {
        while let Some(kept) = self.keep.next_waiting(time.now) {
            self.renew(Some(kept), time);
        }
    }

    /// Whether there is anything that the driver must do.
    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.turns.has_wish()
    }

    /// The next thing that the driver must do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.turns.poll_wish().map(Output::Listen))
    }

    /// When to call [`Self::handle_due`], and [`Self::answer_closings`], although
    /// nothing happened.
    pub(crate) fn poll_timeout(&self) -> Moment {
        let filed = [self.ops.poll_timeout(), self.keep.poll_timeout(), self.turns.poll_timeout()];
        let closings = self.closings.iter().map(|closing| closing.deadline);
        filed.into_iter().flatten().chain(closings).min().unwrap_or(Moment::NEVER)
    }

    /// The question `ask` of operation `op`, which is put to `targets` now.
    #[inline]
    pub(crate) fn question(
        &mut self,
        op: usize,
        ask: Ask,
        targets: NodeSet,
    ) -> Option<Question<'_>> {
        let operation = self.ops.get_mut(op)?;
        operation.note_put(ask, targets);
        let (head, claim) = (&operation.head, &operation.head.claim);
        let is_release = ask.is_release();
        let number = operation.number(ask);
        Some(Question {
            ticket: Ticket { op, claim: claim.id(), ask },
            key: claim.key.as_bytes(),
            token: claim.token.as_bytes(),
            ttl: head.ttl,
            fence: number.map(|number| self.config.fence(number)),
            news: operation.news(),
            scriptless: head.scriptless,
            keep_until: if is_release { claim.gone_by() } else { head.give_up_at },
            timeout: self.config.node_timeout(head.ttl),
            reserved: operation.keeps(),
        })
    }

    /// How many callers wait for something, releases included that go on without
    /// one.
    pub(crate) fn callers(&self) -> usize {
        self.undecided.saturating_add(self.releasing)
    }

    /// Whether anything may have to be released yet.
    pub(crate) fn has_releases(&self) -> bool {
        self.ops.has_releases()
    }

    /// Whether anything is to be listened to.
    pub(crate) fn listens(&self) -> bool {
        self.turns.listens()
    }

    /// How many operations are not over.
    #[cfg(redlock_sim)]
    pub(crate) fn operations(&self) -> usize {
        self.ops.len()
    }

    fn op_and_setting(&mut self, id: usize, now: Moment) -> Option<(&mut Op, Setting<'_>)> {
        let (config, closed, silent) = (&*self.config, self.closed, self.silent);
        let (rng, numbers) = (self.chance.rng(), &mut self.numbers);
        Some((self.ops.get_mut(id)?, Setting { config, closed, silent, rng, numbers, now }))
    }

    /// Files `op`, asks `targets`, and sees to it that it ends in time.
    fn start(&mut self, head: Head, kind: Kind, targets: NodeSet, time: Time) {
        let op = Op { head, kind };
        self.undecided = self.undecided.saturating_add(op.has_caller().into());
        let is_ripe = targets.is_empty() && !op.head.has_wishes() || op.is_decided();
        let (ask, has_wishes) = (op.ask(), op.head.has_wishes());
        let id = self.ops.insert(op);
        self.ask(id, ask, targets);
        if has_wishes {
            self.ask_again(id);
        }
        if is_ripe { self.settle(id, time) } else { self.ops.refile(id) }
    }

    #[inline]
    fn ask(&mut self, id: usize, ask: Ask, targets: NodeSet) {
        let Some(op) = self.ops.get_mut(id).filter(|_| !targets.is_empty()) else { return };
        op.head.awaited = op.head.awaited.union(targets);
        let mut targets = targets;
        if ask == Ask::Release && op.head.claim.sent().is_some() {
            let buried = op.to_bury(targets);
            if !buried.is_empty() {
                self.outputs.push_back(Output::Ask { op: id, ask: Ask::Bury, targets: buried });
            }
            targets = targets.minus(buried);
            if targets.is_empty() {
                return;
            }
        }
        self.outputs.push_back(Output::Ask { op: id, ask, targets });
    }

    /// Counts what a node said or did not say, and says whether there may be
    /// something to act on, which is [`Self::settle`]'s. A node that lacks the script is
    /// asked again.
    #[inline]
    fn count(
        &mut self,
        id: usize,
        ask: Ask,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        now: Moment,
    ) -> bool {
        let is_grant = outcome.is_grant();
        if is_grant {
            self.silent.remove(node);
        } else {
            self.note_outcome(node, &outcome);
        }
        let Some((op, mut setting)) = self.op_and_setting(id, now) else { return false };
        op.head.awaited.remove(node);
        if !is_grant && op.needs_text(node, &outcome) {
            op.head.scriptless.insert(node);
            if ask.sets() {
                // It is sent only now, however late that is.
                let gone_by = setting.config.lease(now, op.head.ttl).gone_by;
                op.head.claim.may_live_until(gone_by);
            }
            self.ask(id, ask, NodeSet::EMPTY.with(node));
            return false;
        }
        op.handle_outcome(ask, node, outcome, offered_at, &mut setting);
        let is_ripe = op.is_ripe();
        if op.head.has_wishes() {
            self.ask_again(id);
        }
        is_ripe
    }

    /// Notes what any outcome but a grant says of `node`, whatever was asked.
    fn note_outcome(&mut self, node: NodeId, outcome: &Outcome) {
        match outcome {
            Outcome::Answered(answer) => {
                self.silent.remove(node);
                if matches!(answer, Answer::NotPublished) {
                    self.note_not_published(node);
                }
            }
            Outcome::NotSent(_) | Outcome::Lost(_) => self.silent.insert(node),
            Outcome::Withdrawn => {}
        }
    }

    /// Asks the nodes again that the operation itself wants asked again.
    fn ask_again(&mut self, id: usize) {
        if let Some(op) = self.ops.get_mut(id) {
            let (main, head) = (op.ask(), &mut op.head);
            let asks = [
                (Ask::Look, std::mem::take(&mut head.looks)),
                (Ask::Value, std::mem::take(&mut head.values)),
                (main, std::mem::take(&mut head.again)),
            ];
            asks.into_iter().for_each(|(ask, targets)| self.ask(id, ask, targets));
        }
    }

    fn note_not_published(&mut self, node: NodeId) {
        if !self.no_publish.contains(node) {
            self.no_publish.insert(node);
            tracing::warn!(
                node = self.config.node_name(node).map(|name| &**name),
                "node does not let us PUBLISH: who waits for a lock asks now and then instead. \
                 Allow +publish &redlock:*"
            );
        }
    }

    /// Acts on what an operation came to, and removes it when it is over.
    fn settle(&mut self, id: usize, time: Time) {
        let Some((op, mut setting)) = self.op_and_setting(id, time.now) else { return };
        if let Some(ended) = op.end(&mut setting) {
            self.after(id, ended, time);
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        if op.has_wishes() {
            self.ask_again(id);
            self.heal_missing(id, time);
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        let is_over = op.is_over();
        if let Kind::Releasing(releasing) = &mut op.kind
            && releasing.close_if_done(is_over)
        {
            self.releasing = self.releasing.saturating_sub(1);
        }
        if is_over { self.ops.remove(id) } else { self.ops.refile(id) }
    }
}
