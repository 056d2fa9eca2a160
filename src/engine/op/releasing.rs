//! Release and rollback: compare-and-delete wherever the key may be, until each
//! node has answered or the key has ended by itself.

use rand::Rng as _;

use super::{Ended, Head, Setting, notes::Tally, vote::vote};
use crate::{
    claim::{Claim, Released},
    config::Config,
    engine::{pacing::RELEASE_PAUSE, request::Reply},
    error::{Error, ErrorKind},
    exchange::{Ask, News, Outcome},
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Backoff, Moment, NodeId, NodeSet, Release, ReleaseVerdict, Vote},
};

/// How a lock is let go of; by default, one that was never held.
#[derive(Default)]
pub(in crate::engine) struct Ending {
    /// Where the outcome goes, if anyone waits for it.
    pub(in crate::engine) reply: Option<Reply<Released>>,
    /// The deadline for the answer, if it is not the node timeout.
    pub(in crate::engine) answer_by: Option<Moment>,
    /// What to publish for waiters; nothing for an attempt that was lost.
    pub(in crate::engine) news: Option<News>,
}

/// A release: it goes on, without the caller, until every node that may hold
/// the key has answered or the key is gone by itself.
#[derive(Debug)]
pub(in crate::engine) struct Releasing {
    count: Release,
    reply: Option<Reply<Released>>,
    pub(super) news: Option<News>,
    /// The nodes that will be asked again, and when.
    retries: Vec<(Moment, NodeId)>,
    /// Nodes that answered "no such key" and are asked one more time anyway.
    looked: NodeSet,
    /// Nodes that bury nothing, and are asked for a plain release.
    pub(super) plainly: NodeSet,
    pause: Backoff,
    /// Until when the acquire of a lock that was taken over may still arrive, where its key may
    /// live for longer than that.
    arrives_until: Option<Moment>,
    /// The next deadline: first the caller's, then the key's own end.
    deadline: Option<Moment>,
    /// Whether it may still change something.
    is_open: bool,
}

impl Releasing {
    pub(in crate::engine) fn new(
        claim: &Claim,
        asked: NodeSet,
        ending: Ending,
        give_up_at: Moment,
        config: &Config,
    ) -> Self {
        // Where another client took the lock, any of the nodes may have had it.
        let had = if claim.is_adopted() { NodeSet::EMPTY } else { claim.granted() };
        Self {
            count: Release::new(config.quorum, asked, had),
            reply: ending.reply,
            news: ending.news,
            retries: Vec::new(),
            looked: NodeSet::EMPTY,
            plainly: NodeSet::EMPTY,
            pause: RELEASE_PAUSE,
            arrives_until: None,
            deadline: Some(give_up_at),
            is_open: true,
        }
    }

    pub(super) fn handle_deletion(
        &mut self,
        head: &mut Head,
        ask: Ask,
        node: NodeId,
        offered_at: Moment,
        setting: &mut Setting<'_>,
    ) {
        self.count.handle_vote(node, Vote::Granted);
        self.note_real(&head.claim, setting);
        // Where another client acquired the lock, a deletion is all that there is to wait for.
        if !head.claim.is_adopted() && may_be_set_again(&head.claim, ask, node) {
            let gone_by = head.claim.gone_by();
            self.ask_later(head, node, offered_at, gone_by, setting);
        }
        self.look_behind(head, setting);
    }

    /// Counts anything but a plain deletion.
    pub(super) fn handle_outcome(
        &mut self,
        head: &mut Head,
        ask: Ask,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        setting: &mut Setting<'_>,
    ) {
        if matches!(outcome, Outcome::Withdrawn) {
            return self.count.handle_withdrawn(node);
        }
        let was_lost = matches!(outcome, Outcome::Lost(_));
        let (vote, error) = vote(outcome);
        if ask == Ask::Bury && self.buries_nothing(head, node, error.as_ref()) {
            head.again.insert(node);
            return;
        }
        self.count.handle_vote(node, vote);
        if vote == Vote::Granted {
            self.note_real(&head.claim, setting);
        }
        let (now, gone_by) = (setting.now, self.until(&head.claim, vote));
        let may_be_set = may_be_set_again(&head.claim, ask, node);
        // A node that has buried what may arrive late has said all that there is to say.
        let is_final = head.claim.sent().is_some() && vote == Vote::Refused;
        let must = must_ask_again(vote, error.as_ref(), head.claim.is_adrift(node));
        let again = may_be_set || must && !is_final;
        if let Some(error) = error {
            head.notes.fail(node, error);
        }
        if again && now < gone_by && was_lost {
            // The node keeps it until there is a connection again.
            head.again.insert(node);
        } else if again && (now < gone_by || vote == Vote::Refused) {
            self.ask_later(head, node, offered_at, gone_by, setting);
        }
        self.look_behind(head, setting);
    }

    /// A lock that was taken over is real, since a node had it. The client that had it before may
    /// have lengthened it without knowing of what came of that, so at nodes that do not answer its
    /// key may live for as long as any.
    fn note_real(&mut self, claim: &Claim, setting: &Setting<'_>) {
        if claim.is_taken_over() && self.arrives_until.is_none() {
            self.arrives_until = Some(claim.gone_by());
            let config = setting.config;
            claim.may_live_until(config.gone_by(setting.now, config.max_ttl().as_duration()));
        }
    }

    /// Until when a node is asked that has answered like this: one without the key until an acquire
    /// can't arrive any more, and others until the key is gone.
    fn until(&self, claim: &Claim, vote: Vote) -> Moment {
        let arrives_until = self.arrives_until.filter(|_| vote == Vote::Refused);
        arrives_until.unwrap_or_else(|| claim.gone_by())
    }

    /// Whether the node is to be asked for a plain release, since it lets the user bury nothing, or
    /// has something else at the key of the fence: then it may have deleted the lock's key.
    fn buries_nothing(&mut self, head: &Head, node: NodeId, error: Option<&NodeError>) -> bool {
        match error.map(NodeError::kind) {
            Some(NodeErrorKind::NotPermitted) => {}
            Some(NodeErrorKind::ForeignFence) => self.count.note_unheard(node),
            _ => return false,
        }
        head.claim.note_not_buried();
        self.plainly.insert(node);
        true
    }

    /// Asks `node` once more, in a while; or at once and for the last time, where the key is gone by
    /// itself and the answer is from before that.
    fn ask_later(
        &mut self,
        head: &mut Head,
        node: NodeId,
        offered_at: Moment,
        gone_by: Moment,
        setting: &mut Setting<'_>,
    ) {
        let now = setting.now;
        let last = last_look(gone_by);
        if now < gone_by {
            let pause = self.pause.next_delay(setting.rng.next_u64());
            let at = now.after(pause);
            self.retries.push((last.map_or(at, |last| at.min(last)), node));
        } else if last.is_some_and(|last| offered_at < last) {
            // The late acquire may have arrived after this answer was given. It can't
            // arrive from now on, so one more look is final.
            head.again.insert(node);
        }
    }

    /// Another client's acquire may still be on its way to nodes that lack the
    /// key, so those are asked once more when a node timeout has passed, the
    /// longest there is, after which no client of the same settings sends an
    /// acquire. Not if no node knew the token: then there was no such lock, or it
    /// has ended.
    fn look_behind(&mut self, head: &Head, setting: &Setting<'_>) {
        let (claim, config, now) = (&head.claim, setting.config, setting.now);
        let is_late = now >= self.until(claim, Vote::Refused);
        if !claim.is_adopted() || self.count.deleted().is_empty() || is_late {
            return;
        }
        let at = now.after(config.node_timeout(config.max_ttl()));
        let planned =
            self.retries.iter().fold(NodeSet::EMPTY, |nodes, (_, node)| nodes.with(*node));
        let asked = self.looked.union(planned).union(head.awaited).union(head.again);
        for node in self.count.absent().minus(asked).iter() {
            // Where the acquire is adrift and not buried, each answer plans the next look.
            let is_buried = claim.sent().is_some() && !claim.is_not_buried();
            if is_buried || !claim.is_adrift(node) {
                self.looked.insert(node);
                self.retries.push((at, node));
            }
        }
    }

    /// Asks again where it is time. First the caller's patience ends; later, when
    /// the key has ended by itself, ours does.
    pub(super) fn handle_timeout(&mut self, head: &mut Head, due: Moment, now: Moment) {
        self.retries.retain(|(at, node)| {
            let waits = *at > due;
            if !waits {
                head.again.insert(*node);
            }
            waits
        });
        if self.deadline.is_none_or(|at| at > due) {
            return;
        }
        self.count.handle_timeout();
        let gone_by = head.claim.gone_by();
        self.deadline = Some(gone_by).filter(|gone_by| now < *gone_by);
        if self.deadline.is_none() {
            // A node that still owes an answer stays awaited. One where an acquire is
            // adrift is asked a last time. At all others the key has expired.
            self.retries.drain(..).for_each(|(_, node)| head.again.insert(node));
            head.again = asked_last(head.again, head.claim.adrift());
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        // Most releases are confirmed at once.
        if self.retries.is_empty() {
            return self.deadline;
        }
        self.retries.iter().map(|(at, _)| *at).chain(self.deadline).min()
    }

    pub(super) fn is_ripe(&self) -> bool {
        self.reply.is_some() && self.count.verdict().is_some()
            || self.is_open && self.count.unconfirmed().is_empty()
            || !self.retries.is_empty()
    }

    /// Whether no caller and no node is left to be told.
    pub(super) fn is_done(&self) -> bool {
        self.reply.is_none() && self.retries.is_empty()
    }

    /// The nodes that may still have the key.
    pub(in crate::engine) fn left(&self) -> NodeSet {
        if self.is_open { self.count.unconfirmed() } else { NodeSet::EMPTY }
    }

    /// Whether it has just become certain that it changes nothing any more, or
    /// it is given up.
    pub(in crate::engine) fn close_if_done(&mut self, is_over: bool) -> bool {
        let is_done = self.is_open && (is_over || self.count.unconfirmed().is_empty());
        self.is_open &= !is_done;
        is_done
    }

    /// Answers the caller, once.
    pub(super) fn end(&mut self, head: &Head, setting: &Setting<'_>) -> Option<Ended> {
        let verdict = self.count.verdict()?;
        let reply = self.reply.take()?;
        let outcome = match verdict {
            ReleaseVerdict::Released => Ok(Released::Released),
            ReleaseVerdict::AlreadyExpired => Ok(Released::AlreadyExpired),
            ReleaseVerdict::Unconfirmed => Err(self.explain(head, setting)),
        };
        Some(Ended::Released { reply, outcome })
    }

    fn explain(&self, head: &Head, setting: &Setting<'_>) -> Error {
        let message = format!(
            "the release of lock {} is not confirmed by enough nodes: it goes on in the \
             background, and what is left ends with its ttl",
            head.claim.key
        );
        // A node that never had the key was not asked.
        let tally = Tally {
            granted: self.count.deleted(),
            refused: self.count.absent(),
            silent: self.count.unconfirmed(),
        };
        let reports = head.reports(tally, setting.config, setting.now);
        Error::new(ErrorKind::NoQuorum, message).with_nodes(reports)
    }
}

/// The nodes that are asked to delete the key of `claim`: all that may hold it.
pub(in crate::engine) fn suspects_to_release(claim: &Claim) -> NodeSet {
    if mutant::is(Mutant::RollbackOfGrantsOnly) {
        return claim.granted();
    }
    claim.suspects()
}

/// When a node is asked for the last time whether it has the key of an acquire that
/// is adrift: not before such a request can't come any more.
fn last_look(gone_by: Moment) -> Option<Moment> {
    if mutant::is(Mutant::LastLookForgotten) {
        return None;
    }
    Some(gone_by)
}

/// The nodes of a release that are asked a last time when the key has ended: of those
/// that were to be `asked` again, those where an acquire is `adrift`.
fn asked_last(asked: NodeSet, adrift: NodeSet) -> NodeSet {
    if mutant::is(Mutant::LastLookForgotten) {
        return NodeSet::EMPTY;
    }
    asked.and(adrift)
}

/// Whether what may still arrive at `node` sets the key again, whatever it has answered: numbers
/// were sent there, more than once perhaps, and this answer is not to their burial; or something
/// without a number may arrive, which a burial does not stop.
fn may_be_set_again(claim: &Claim, ask: Ask, node: NodeId) -> bool {
    if mutant::is(Mutant::NothingIsBuried) {
        return false;
    }
    let has_plain = claim.is_not_buried() && !mutant::is(Mutant::PlainCountsAsBuried);
    let is_stopped = ask == Ask::Bury && !has_plain;
    claim.sent().is_some() && claim.is_adrift(node) && !is_stopped
}

/// Whether a node is to be asked again after such an answer.
fn must_ask_again(vote: Vote, error: Option<&NodeError>, is_adrift: bool) -> bool {
    if mutant::is(Mutant::ReleaseOnce) {
        return false;
    }
    match vote {
        Vote::Granted => false,
        // The acquire may still arrive there, after this release: that the key is
        // not there yet says nothing.
        Vote::Refused => is_adrift,
        Vote::Failed | Vote::Unknown => error.is_none_or(NodeError::is_transient),
    }
}
