//! Release and rollback: compare-and-delete wherever the key may be, until each
//! node has answered or the key has ended by itself.

use std::{sync::Arc, time::Duration};

use rand::Rng as _;

use super::{
    dispatch::vote,
    op::{Ending, Job, Op, Releasing},
    run::{Driver, Timer},
};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    exchange::{Answer, Outcome},
    guard::Released,
    mutant::{self, Mutant},
    node_error::NodeError,
    protocol::{Backoff, Moment, NodeId, NodeSet, Release, ReleaseVerdict, Vote},
};

/// Pauses before a node that could not release is asked again.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

impl Driver {
    /// Takes back what an attempt that was lost may have set.
    pub(super) fn roll_back(&mut self, claim: Arc<Claim>, now: Moment) {
        self.begin_release(claim, Ending::default(), now);
    }

    pub(super) fn begin_release(&mut self, claim: Arc<Claim>, ending: Ending, now: Moment) {
        let Ending { reply, answer_by, expired, news } = ending;
        let mut asked = claim.suspects();
        if mutant::is(Mutant::RollbackOfGrantsOnly) {
            asked = claim.granted();
        }
        // Once a release is on its way, the lock is not held, whatever comes.
        claim.end();
        let give_up_at = answer_by.unwrap_or_else(|| now.after(self.patience_to_release(&claim)));
        // Of a lock that was taken elsewhere, any of them may have it.
        let had = if claim.is_adopted() { NodeSet::EMPTY } else { claim.granted() };
        let count = Release::new(self.config.quorum, asked, had);
        let (retrying, looked) = (NodeSet::EMPTY, NodeSet::EMPTY);
        let releasing =
            Releasing { count, reply, news, retrying, looked, pause: PAUSE, open: true };
        self.releasing = self.releasing.saturating_add(1);
        let ttl = claim.ttl;
        let mut op = Op::new(claim, ttl, Job::Release(releasing), now, give_up_at);
        if expired {
            op.tell(&self.config, ReleaseVerdict::AlreadyExpired, now);
        }
        self.start(op, asked, now);
    }

    /// How long a release may take. Also of a short lock, which may have been
    /// extended since.
    pub(super) fn patience_to_release(&self, claim: &Claim) -> Duration {
        self.config.node_timeout(claim.ttl.max(self.config.ttl))
    }

    pub(super) fn count_release(&mut self, id: usize, node: NodeId, outcome: Outcome, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Release(releasing) = &mut op.job else { return };
        if matches!(outcome, Outcome::Withdrawn) {
            releasing.count.handle_withdrawn(node);
            return;
        }
        let in_time = now < op.claim.gone_by();
        let lost = matches!(outcome, Outcome::Lost(_));
        if matches!(outcome, Outcome::Answered(Answer::NotPublished)) && !self.mute.contains(node) {
            self.mute.insert(node);
            let node = self.config.endpoints.get(node.index()).map(|e| Arc::clone(e.label()));
            tracing::warn!(
                node = node.as_deref(),
                "node does not let us PUBLISH: who waits for a lock asks now and then instead. \
                 Allow +publish &redlock:*"
            );
        }
        let (vote, error) = vote(outcome);
        releasing.count.handle_vote(node, vote);
        let again = match (vote, &error) {
            (Vote::Failed | Vote::Unknown, error) => {
                error.as_ref().is_none_or(NodeError::is_transient)
            }
            // The acquire may still arrive there, after this release: that the
            // key is not there yet says nothing.
            (Vote::Refused, _) => op.claim.is_adrift(node),
            (Vote::Granted, _) => false,
        };
        let again = again && !mutant::is(Mutant::ReleaseOnce);
        if let Some(error) = error {
            op.notes.fail(node, error);
        }
        if lost && again && in_time {
            // The node keeps it until there is a connection again.
            self.ask(id, NodeSet::EMPTY.with(node), now);
        } else if again && in_time {
            releasing.retrying.insert(node);
            let at = now.after(releasing.pause.next_delay(self.rng.next_u64()));
            self.timers.push(at, Timer::Release { id, number: op.number, node });
        }
        self.look_behind(id, now);
    }

    /// Of a lock that another client has taken, the acquire may still be on its
    /// way to nodes that do not have it. They are asked once more when a node
    /// timeout has passed, the longest there is, after which no client of the same
    /// settings sends an acquire. Not of a token that no node knows: then it is
    /// none, or has ended.
    fn look_behind(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id).filter(|op| op.claim.is_adopted()) else { return };
        let Job::Release(releasing) = &mut op.job else { return };
        if releasing.count.deleted().is_empty() || now >= op.claim.gone_by() {
            return;
        }
        let at = now.after(self.config.node_timeout(self.config.max_ttl()));
        let asked = releasing.looked.union(releasing.retrying).union(op.awaited);
        for node in releasing.count.absent().minus(asked).iter() {
            // Of one that is adrift, the next look is planned at each answer.
            if !op.claim.is_adrift(node) {
                releasing.looked.insert(node);
                releasing.retrying.insert(node);
                self.timers.push(at, Timer::Release { id, number: op.number, node });
            }
        }
    }

    pub(super) fn release_again(&mut self, id: usize, node: NodeId, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Release(releasing) = &mut op.job else { return };
        if releasing.retrying.contains(node) {
            releasing.retrying.remove(node);
            self.ask(id, NodeSet::EMPTY.with(node), now);
        }
    }

    /// First the caller's patience ends; later, when the key has ended by
    /// itself, ours does.
    pub(super) fn time_out_release(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Release(releasing) = &mut op.job else { return };
        let gone_by = op.claim.gone_by();
        releasing.count.handle_timeout();
        if now < gone_by {
            op.due = Some(self.timers.push(gone_by, Timer::Op { id, number: op.number }));
        } else {
            // What hangs in a connection is still owed; the rest has ended.
            releasing.retrying = NodeSet::EMPTY;
        }
    }

    /// Tells the caller, if it has not been told and there is something to
    /// tell; and stops counting a release that goes on only to be sure.
    pub(super) fn conclude_release(&mut self, id: usize, now: Moment) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Job::Release(releasing) = &mut op.job else { return };
        let settled = releasing.count.owed().is_empty();
        if releasing.reply.is_some()
            && let Some(verdict) = releasing.count.verdict()
        {
            op.tell(&self.config, verdict, now);
        }
        if settled {
            self.close_release(id);
        }
    }

    /// Counts a release as done, once.
    pub(super) fn close_release(&mut self, id: usize) {
        let Some(op) = self.ops.get_mut(id) else { return };
        if let Job::Release(releasing) = &mut op.job
            && std::mem::take(&mut releasing.open)
        {
            self.releasing = self.releasing.saturating_sub(1);
        }
    }
}

impl Op {
    /// Answers whoever waits for this release, once.
    fn tell(&mut self, config: &Config, verdict: ReleaseVerdict, now: Moment) {
        let Job::Release(releasing) = &mut self.job else { return };
        let Some(reply) = releasing.reply.take() else { return };
        let answer = match verdict {
            ReleaseVerdict::Released => Ok(Released::Released),
            ReleaseVerdict::AlreadyExpired => Ok(Released::AlreadyExpired),
            ReleaseVerdict::Unconfirmed => {
                let message = format!(
                    "the release of lock {} is not confirmed by enough nodes: it goes on in the \
                     background, and what is left ends with its ttl",
                    self.claim.key
                );
                let error = Error::new(ErrorKind::NoQuorum, message);
                Err(error.with_nodes(self.reports(config, now)))
            }
        };
        // A caller that is gone needs no answer.
        let _ = reply.send(answer);
    }
}
