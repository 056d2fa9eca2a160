//! An extension: a round that can only add. Whatever becomes of it, the
//! validity that the holder had before runs on.
//!
//! A caller may want it, the engine that renews a lock, or the next holder: a
//! hand-over is an extension in place of a release and an acquire.

use std::time::Duration;

use super::{Ended, Head, Setting, notes::Tally, vote::vote};
use crate::{
    claim::{Claim, Released},
    config::Config,
    engine::{
        keep::Kept,
        request::{Patience, Reply},
        waiter::Waiter,
    },
    error::{Error, ErrorKind, NodeReport},
    exchange::{Answer, Ask, Outcome},
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeId, NodeSet, Number, Round, Vote},
    spelled::Spelled,
};

/// An extension under way.
#[derive(Debug)]
pub(in crate::engine) struct Extension {
    round: Round,
    lease: Lease,
    /// When the nodes' time is over.
    whole: Moment,
    /// Taken out at the verdict.
    asker: Option<Asker>,
    /// Whether a quorum agreed in time. Nodes that then say that they do not
    /// have the key are given it again.
    won: bool,
    /// The nodes that have said so since.
    missing: NodeSet,
}

/// What wants an extension.
#[derive(Debug)]
pub(in crate::engine) enum Asker {
    /// A caller that waits for the answer.
    Caller(Reply<()>),
    /// The engine itself, for a lock that it renews.
    Keeper(Kept),
    /// The next holder.
    Next(Box<HandOver>),
}

/// A lock on its way from one task to the next.
#[derive(Debug)]
pub(in crate::engine) struct HandOver {
    pub(in crate::engine) waiter: Box<Waiter>,
    /// The previous holder's reply channel.
    pub(in crate::engine) reply: Option<Reply<Released>>,
    /// The deadline for answering the previous holder, whatever comes of it.
    pub(in crate::engine) answer_by: Moment,
    /// Until when the previous holder had the lock.
    pub(in crate::engine) until: Moment,
    /// The number of the next holder, if it has one.
    pub(in crate::engine) number: Option<Number>,
}

impl HandOver {
    /// The deadline of the hand-over, for both holders.
    fn give_up_at(&self, at: Moment) -> Moment {
        match self.waiter.request.patience {
            Patience::Until(limit) => at.min(limit),
            _ => at,
        }
    }
}

impl Extension {
    /// An extension of `head.claim` to `lease`, and the nodes to ask: all that
    /// may have the key. The round ends by the present deadline `until`, unless
    /// that is moved: after it, nothing could be extended.
    pub(in crate::engine) fn new(
        head: &mut Head,
        lease: Lease,
        asker: Asker,
        until: Moment,
        config: &Config,
    ) -> (Self, NodeSet) {
        let (now, timeout) = (head.started_at, config.node_timeout(head.ttl));
        let whole = match &asker {
            // The previous holder waits: the rest of the time is for a release.
            Asker::Next(hand_over) => hand_over.give_up_at(now.after(timeout / 2)),
            _ => now.after(timeout),
        };
        let give_up_at = whole.min(until);
        let mut round = Round::new(config.quorum, until.min(lease.until), give_up_at);
        let suspects = head.claim.suspects();
        for node in NodeId::all(config.quorum.nodes()) {
            if !suspects.contains(node) {
                round.handle_vote(node, Vote::Refused, now);
            }
        }
        head.claim.may_live_until(lease.gone_by);
        (head.give_up_at, head.cut_short) = (give_up_at, give_up_at < whole);
        let (won, missing) = (false, NodeSet::EMPTY);
        (Self { round, lease, whole, asker: Some(asker), won, missing }, suspects)
    }

    pub(super) fn handle_outcome(
        &mut self,
        head: &mut Head,
        node: NodeId,
        outcome: Outcome,
        latency: Duration,
        now: Moment,
    ) {
        // The key is there: it is the number that is too low.
        let is_stale = matches!(outcome, Outcome::Answered(Answer::Stale(_)));
        let (vote, error) = vote(outcome);
        if is_stale && !mutant::is(Mutant::StaleIsGone) {
            return self.round.handle_vote(node, vote, now);
        }
        if self.won && vote == Vote::Refused && error.is_none() {
            self.missing.insert(node);
        }
        match vote {
            Vote::Granted => head.claim.note_grant(node, latency),
            Vote::Refused => head.claim.note_gone(node),
            Vote::Failed | Vote::Unknown => {}
        }
        if let Some(error) = error {
            head.notes.fail(node, error);
        }
        self.round.handle_vote(node, vote, now);
    }

    pub(super) fn handle_timeout(&mut self, head: &mut Head, now: Moment) {
        if !self.put_off(head, now) {
            self.round.handle_timeout(now);
        }
    }

    /// Where the deadline that ends a round has been moved by another extension,
    /// the round has until then, for what was sent. Says whether it has.
    fn put_off(&mut self, head: &mut Head, now: Moment) -> bool {
        if self.round.verdict().is_some() || head.claim.has_ended() {
            return false;
        }
        let until = head.claim.until();
        let give_up_at = until.min(self.whole);
        (head.give_up_at, head.cut_short) = (give_up_at, give_up_at < self.whole);
        if give_up_at <= now {
            return false;
        }
        self.round.put_off(until.min(self.lease.until), give_up_at);
        true
    }

    pub(super) fn ask(&self, head: &Head) -> Ask {
        match (&self.asker, head.number) {
            (_, None) => Ask::Extend,
            _ if mutant::is(Mutant::HeirKeepsTheNumber) => Ask::ExtendFenced,
            _ if mutant::is(Mutant::HandsOnUncompared) => Ask::ExtendFenced,
            (Some(Asker::Next(_)), Some(_)) => Ask::HandOver,
            _ => Ask::ExtendFenced,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.round.poll_timeout()
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.asker.is_some()
    }

    /// Whether there is a verdict that nobody was told of, or a node to be healed.
    pub(super) fn is_ripe(&self) -> bool {
        self.asker.is_some() && self.round.verdict().is_some() || self.has_missing()
    }

    /// Whether it is for a lock that the engine renews, and not decided.
    pub(super) fn is_renewal(&self) -> bool {
        matches!(self.asker, Some(Asker::Keeper(_)))
    }

    /// The next holder, if it is for one and not decided.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn waiter(&self) -> Option<&Waiter> {
        match &self.asker {
            Some(Asker::Next(hand_over)) => Some(&hand_over.waiter),
            _ => None,
        }
    }

    /// Whether nodes were found without the key since it was won.
    pub(super) fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Takes the nodes that have lost the key, as was heard since it was won.
    pub(in crate::engine) fn take_missing(&mut self) -> NodeSet {
        std::mem::take(&mut self.missing)
    }

    /// The verdict, once.
    pub(super) fn end(&mut self, head: &Head, setting: &Setting<'_>) -> Option<Ended> {
        self.round.verdict()?;
        let (claim, now) = (&head.claim, setting.now);
        match self.asker.take()? {
            Asker::Next(hand_over) => {
                let (lease, granted) = (self.lease, self.round.granted());
                Some(Ended::HandedOver { hand_over, lease, granted })
            }
            // It was released or let go of meanwhile: nobody holds it.
            Asker::Keeper(kept) if claim.has_ended() => Some(Ended::Abandoned(kept)),
            Asker::Keeper(kept) => {
                let key_is_gone = self.key_is_gone(setting.config);
                let outcome = self.outcome(head, setting.config, now);
                Some(Ended::Renewed { kept, outcome, key_is_gone })
            }
            Asker::Caller(reply) => {
                let outcome = self.outcome(head, setting.config, now);
                Some(Ended::Extended { reply, outcome })
            }
        }
    }

    /// Moves the deadline out if a quorum agreed by the deadline that holds now:
    /// another extension may have moved it meanwhile.
    fn outcome(&mut self, head: &Head, config: &Config, now: Moment) -> Result<(), Error> {
        let enough = self.round.granted().len() >= config.quorum.votes();
        self.won = enough && head.claim.prolong(self.lease, now);
        if self.won { Ok(()) } else { Err(self.explain(head, config, now)) }
    }

    /// Whether too many nodes say that the key is gone: that is no sign of load.
    fn key_is_gone(&self, config: &Config) -> bool {
        self.round.refused().len() > config.quorum.spare()
    }

    /// Why a lock was not extended, and whether that shows that it is lost.
    fn explain(&self, head: &Head, config: &Config, now: Moment) -> Error {
        let (claim, quorum): (&Claim, _) = (&head.claim, config.quorum);
        let granted = self.round.granted().len();
        let key = &claim.key;
        let (kind, message) = if self.key_is_gone(config) {
            (ErrorKind::Lost, format!("lock {key} is lost: its key is gone from too many nodes"))
        } else if now >= claim.until() {
            (ErrorKind::Lost, format!("lock {key} is lost: it expired before it was extended"))
        } else {
            let stays = match claim.until() {
                Moment::NEVER => "as it was".to_owned(), // by its token, of unknown age
                until => format!("held for {}", Spelled(until.since(now))),
            };
            let message = format!(
                "lock {key} was not extended: {granted} of {} nodes did, {} are needed; it stays \
                 {stays}",
                quorum.nodes(),
                quorum.votes()
            );
            (ErrorKind::NoQuorum, message)
        };
        let silent = head.late(self.round.suspects(), now);
        let tally = Tally { granted: self.round.granted(), refused: self.round.refused(), silent };
        let reports = head.reports(tally, config, now).into_iter();
        Error::new(kind, message).with_nodes(reports.map(NodeReport::of_an_extension).collect())
    }
}
