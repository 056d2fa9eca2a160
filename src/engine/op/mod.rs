//! One operation under way: which nodes were asked, what they said, and what
//! it came to.
//!
//! Each kind counts answers and ends in a value, [`Ended`]. None of them calls
//! another, starts one, or asks a node: nodes that it wants asked again it puts
//! into [`Head::again`], and the engine does the rest.

mod attempt;
mod behind;
mod extension;
mod fencing;
mod head;
mod healing;
mod looking;
mod notes;
mod releasing;
mod rivals;
mod split;
mod table;
mod vote;

use rand::rngs::StdRng;

use self::split::KeptVotes;
pub(super) use self::{
    attempt::Attempt,
    behind::Behind,
    extension::{Asker, Extension, HandOver},
    head::Head,
    healing::Healing,
    looking::Looking,
    releasing::{Ending, Releasing, suspects_to_release},
    rivals::Rivals,
    split::round_trip,
    table::Ops,
};
use super::{request::Reply, stand::Found, waiter::Waiter};
use crate::{
    claim::Released,
    config::Config,
    error::Error,
    exchange::{Answer, Ask, News, Outcome, Seen},
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeId, NodeSet, Number, Numbers, Round},
};

/// What an operation's methods may look at, besides the operation itself.
pub(super) struct Setting<'a> {
    pub(super) config: &'a Config,
    /// Whether the client was shut down.
    pub(super) closed: bool,
    /// The nodes that did not answer when they were asked last.
    pub(super) silent: NodeSet,
    pub(super) rng: &'a mut StdRng,
    /// What fencing numbers are made of.
    pub(super) numbers: &'a mut Numbers,
    pub(super) now: Moment,
}

/// An operation on one claim. It stays until every node that was asked has
/// answered or can't any more, also when its caller has long been told.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) head: Head,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Attempt(Attempt),
    Behind(Behind),
    Extension(Extension),
    Healing(Healing),
    Releasing(Releasing),
    Looking(Looking),
}

/// What an operation came to. [`Engine::after`](super::Engine) decides what
/// follows from it. What is rare and large is boxed, since it is moved often.
pub(super) enum Ended {
    /// An attempt has won the lock.
    Held { waiter: Box<Waiter>, lease: Lease, votes: usize },
    /// An attempt was refused, and by what is worth knowing.
    Refused { waiter: Box<Waiter>, round: Box<Round>, rolls_back: bool },
    /// What a lost attempt may have set is taken back: while a look behind its refusal goes on,
    /// or once more, where a look has found it at a node that had denied it.
    TakenBack,
    /// An attempt was lost, and all is known of it.
    Lost { waiter: Box<Waiter>, found: Box<Found>, rolls_back: bool },
    /// An extension for a caller is decided.
    Extended { reply: Reply<()>, outcome: Result<(), Error> },
    /// A renewal is decided.
    Renewed { kept: super::keep::Kept, outcome: Result<(), Error>, key_is_gone: bool },
    /// The lock of a renewal has ended meanwhile.
    Abandoned(super::keep::Kept),
    /// The extension for the next holder is decided: these nodes agreed.
    HandedOver { hand_over: Box<HandOver>, lease: Lease, granted: NodeSet },
    /// A release is decided, for the caller.
    Released { reply: Reply<Released>, outcome: Result<Released, Error> },
    /// All has been seen that can be.
    Seen { reply: Reply<Seen>, seen: Seen },
}

impl Op {
    /// What it asks of a node.
    pub(super) fn ask(&self) -> Ask {
        match &self.kind {
            Kind::Attempt(attempt) => attempt.ask(),
            Kind::Behind(_) => Ask::Value,
            Kind::Extension(extension) => extension.ask(&self.head),
            Kind::Healing(_) => self.head.number.map_or(Ask::Heal, |_| Ask::SetFenced),
            Kind::Releasing(_) => Ask::Release,
            Kind::Looking(looking) => looking.ask,
        }
    }

    /// The fencing number that goes with `ask`.
    pub(super) fn number(&self, ask: Ask) -> Option<Number> {
        let (head, claim) = (&self.head, &self.head.claim);
        match ask {
            Ask::Bury if mutant::is(Mutant::HoldersNumberIsBuried) => {
                claim.fence().or_else(|| claim.sent())
            }
            Ask::Bury => claim.sent(),
            _ => head.number,
        }
    }

    /// What it has seen at nodes, and whose it is.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn inside(&self) -> (Vec<&Rivals>, Option<&Waiter>) {
        match &self.kind {
            Kind::Attempt(attempt) => {
                let kept = attempt.kept.iter().flat_map(|kept| kept.seen());
                (kept.collect(), attempt.waiter.as_deref())
            }
            Kind::Behind(behind) => {
                let (rivals, waiter) = behind.inside();
                (vec![rivals], waiter)
            }
            Kind::Extension(extension) => (Vec::new(), extension.waiter()),
            Kind::Healing(_) | Kind::Releasing(_) | Kind::Looking(_) => (Vec::new(), None),
        }
    }

    /// Those of the nodes to release at where something with a number may still arrive: what is
    /// buried there can't set the key any more.
    pub(super) fn to_bury(&self, nodes: NodeSet) -> NodeSet {
        let claim = &self.head.claim;
        if mutant::is(Mutant::NothingIsBuried) {
            return NodeSet::EMPTY;
        }
        // What another client has sent for it, nobody here knows.
        let is_anothers = claim.is_adopted() && claim.sent().is_some();
        let buried = if is_anothers { nodes } else { nodes.and(claim.adrift()) };
        match &self.kind {
            Kind::Releasing(releasing) => buried.minus(releasing.plainly),
            _ => buried,
        }
    }

    /// These nodes are asked now.
    pub(super) fn note_put(&mut self, ask: Ask, nodes: NodeSet) {
        if let Kind::Attempt(attempt) = &mut self.kind
            && ask == Ask::SetFenced
        {
            attempt.note_put(nodes);
        }
    }

    /// What it publishes for waiters.
    pub(super) fn news(&self) -> Option<News> {
        match &self.kind {
            Kind::Releasing(releasing) => releasing.news,
            _ => None,
        }
    }

    /// Whether it keeps a lock that is held, without anyone having asked.
    pub(super) fn keeps(&self) -> bool {
        match &self.kind {
            Kind::Extension(extension) => extension.is_renewal(),
            Kind::Healing(_) => true,
            _ => false,
        }
    }

    /// Whether a caller still waits for its outcome.
    pub(super) fn has_caller(&self) -> bool {
        match &self.kind {
            Kind::Attempt(attempt) => attempt.is_undecided(),
            Kind::Behind(behind) => behind.is_undecided(),
            Kind::Extension(extension) => extension.is_undecided() && !extension.is_renewal(),
            Kind::Looking(looking) => looking.is_undecided(),
            Kind::Healing(_) | Kind::Releasing(_) => false,
        }
    }

    /// Whether `outcome` says that `node` needs the script's text, and is worth
    /// being sent it.
    pub(super) fn needs_text(&self, node: NodeId, outcome: &Outcome) -> bool {
        if !matches!(outcome, Outcome::Answered(Answer::NoScript)) {
            return false;
        }
        // Behind the lock's release, it would set the key again for nobody.
        let sets = matches!(self.kind, Kind::Healing(_) | Kind::Attempt(_));
        let is_late = sets && !self.has_caller() && self.head.claim.has_ended();
        !is_late && !self.head.scriptless.contains(node)
    }

    /// Counts how the question `ask` to `node` ended. What follows is for [`Self::end`].
    pub(super) fn handle_outcome(
        &mut self,
        ask: Ask,
        node: NodeId,
        outcome: Outcome,
        offered_at: Moment,
        setting: &mut Setting<'_>,
    ) {
        let Self { head, kind } = self;
        let (now, latency) = (setting.now, setting.now.since(offered_at));
        match kind {
            Kind::Attempt(attempt) if ask == Ask::SetFenced => {
                attempt.handle_fenced(head, node, outcome, latency, setting);
            }
            // Nearly all answers are these two, so they take the short way.
            Kind::Attempt(attempt) if outcome.is_grant() => {
                attempt.handle_grant(head, node, latency, now);
                std::mem::forget(outcome); // there is nothing in it to drop
            }
            Kind::Releasing(releasing) if outcome.is_grant() => {
                releasing.handle_deletion(head, ask, node, offered_at, setting);
                std::mem::forget(outcome);
            }
            Kind::Attempt(attempt) if ask == Ask::Value => attempt.handle_look(head, node, outcome),
            Kind::Attempt(attempt) => attempt.handle_outcome(head, node, outcome, latency, setting),
            Kind::Behind(behind) => behind.handle_outcome(head, node, outcome),
            Kind::Extension(extension) => {
                extension.handle_outcome(head, node, outcome, latency, now);
            }
            Kind::Healing(healing) => healing.handle_outcome(head, node, outcome, latency, setting),
            Kind::Releasing(releasing) => {
                releasing.handle_outcome(head, ask, node, outcome, offered_at, setting)
            }
            Kind::Looking(looking) => looking.handle_outcome(node, outcome, latency),
        }
    }

    /// Does what was due by `due`.
    pub(super) fn handle_timeout(&mut self, due: Moment, setting: &mut Setting<'_>) {
        let Self { head, kind } = self;
        match kind {
            Kind::Attempt(attempt) => attempt.handle_timeout(head, due, setting),
            Kind::Extension(extension) => extension.handle_timeout(head, setting.now),
            Kind::Releasing(releasing) => releasing.handle_timeout(head, due, setting.now),
            Kind::Behind(behind) => behind.handle_timeout(head, setting.now),
            // Their end looks at the time itself.
            Kind::Looking(_) | Kind::Healing(_) => {}
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match &self.kind {
            Kind::Attempt(attempt) => attempt.poll_timeout(),
            Kind::Behind(behind) => behind.poll_timeout(),
            Kind::Extension(extension) => extension.poll_timeout(),
            Kind::Healing(_) => None,
            Kind::Releasing(releasing) => releasing.poll_timeout(),
            Kind::Looking(looking) => looking.is_undecided().then_some(self.head.give_up_at),
        }
    }

    /// Whether [`Self::end`] may have something to say, or nothing is awaited.
    pub(super) fn is_ripe(&self) -> bool {
        self.head.awaited.is_empty() || self.is_decided()
    }

    /// Whether [`Self::end`] may have something to say, whatever is awaited.
    #[inline]
    pub(super) fn is_decided(&self) -> bool {
        match &self.kind {
            Kind::Attempt(attempt) => attempt.is_ripe(),
            Kind::Behind(behind) => behind.may_be_enough(),
            Kind::Extension(extension) => extension.is_ripe(),
            Kind::Healing(_) | Kind::Looking(_) => false,
            Kind::Releasing(releasing) => releasing.is_ripe(),
        }
    }

    /// What it came to, once.
    pub(super) fn end(&mut self, setting: &mut Setting<'_>) -> Option<Ended> {
        let Self { head, kind } = self;
        match kind {
            Kind::Attempt(attempt) => attempt.end(head, setting),
            Kind::Behind(behind) => behind.end(head, setting),
            Kind::Extension(extension) => extension.end(head, setting),
            Kind::Healing(_) => None,
            Kind::Releasing(releasing) => releasing.end(head, setting),
            Kind::Looking(looking) => looking.end(head, setting.now),
        }
    }

    /// Whether it wants nodes asked again, or healed.
    pub(super) fn has_wishes(&self) -> bool {
        let heals = matches!(&self.kind, Kind::Extension(extension) if extension.has_missing());
        heals || self.head.has_wishes()
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_over(&self) -> bool {
        let is_done = match &self.kind {
            Kind::Releasing(releasing) => releasing.is_done(),
            Kind::Extension(extension) => !extension.is_undecided(),
            _ => !self.has_caller(),
        };
        is_done && self.head.awaited.is_empty()
    }
}
