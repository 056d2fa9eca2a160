//! One operation under way: which nodes were asked, what they said.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    hand_over::HandOver, look::Looking, request::Reply, schedule::Due, session::Session,
    split::Insisting, tend::Tending,
};
use crate::{
    claim::Claim,
    config::Config,
    error::{NodeAnswer, NodeReport},
    exchange::{Ask, News},
    guard::Released,
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Backoff, Lease, Moment, NodeId, NodeSet, Release, Round, Ttl},
};

/// An operation on one claim. It stays until every node that was asked has
/// answered or can't any more, also when its caller has long been told.
pub(super) struct Op {
    /// Tells this operation from an earlier one in the same slot.
    pub(super) number: u64,
    pub(super) claim: Arc<Claim>,
    pub(super) started_at: Moment,
    pub(super) give_up_at: Moment,
    /// The caller's wait, or the lock, ends before the nodes' time does: that a
    /// node has not answered by then says nothing.
    pub(super) cut_short: bool,
    /// What an acquire or extend asks for.
    pub(super) ttl: Ttl,
    /// Nodes that have a ticket of this operation.
    pub(super) awaited: NodeSet,
    /// Nodes that did not know the script, and get its text instead.
    pub(super) scriptless: NodeSet,
    pub(super) notes: Notes,
    /// Where its timeout is filed.
    pub(super) due: Option<Due>,
    pub(super) job: Job,
}

pub(super) enum Job {
    Acquire(Acquiring),
    Extend {
        round: Round,
        lease: Lease,
        /// When the nodes' time is over.
        whole: Moment,
        asker: Option<Asker>,
        /// A quorum agreed in time, and nodes that then say that they do not
        /// have the key are given it again.
        won: bool,
    },
    /// Set the key again where it was lost; nobody waits for it.
    Heal,
    Release(Releasing),
    /// After a lost round: how long do the keys that were in the way live?
    Inspect {
        round: Round,
        lifetimes: Vec<Duration>,
        session: Option<Box<Session>>,
    },
    Look(Looking),
}

/// One attempt to acquire.
pub(super) struct Acquiring {
    pub(super) round: Round,
    pub(super) lease: Lease,
    pub(super) session: Option<Box<Session>>,
    pub(super) insisting: Insisting,
}

/// Who wants an extension.
pub(super) enum Asker {
    /// A caller who waits for the answer.
    Caller(Reply<()>),
    /// The driver itself, for a lock that it keeps.
    Keeper(Tending),
    /// The next holder.
    Next(Box<HandOver>),
}

/// How a lock is let go of; by default, one that nobody had.
#[derive(Default)]
pub(super) struct Ending {
    /// Who waits for the outcome, if anyone.
    pub(super) reply: Option<Reply<Released>>,
    /// By when, if not within the node timeout.
    pub(super) answer_by: Option<Moment>,
    /// It had ended before.
    pub(super) expired: bool,
    /// What to tell those who wait for it; nothing of what never was a lock.
    pub(super) news: Option<News>,
}

/// A release: it goes on, without the caller, until every node that may hold
/// the key has answered or the key is gone by itself.
pub(super) struct Releasing {
    pub(super) count: Release,
    pub(super) reply: Option<Reply<Released>>,
    pub(super) news: Option<News>,
    /// Nodes that will be asked again after a pause.
    pub(super) retrying: NodeSet,
    /// Nodes without the key that are, or were, asked once more for all that.
    pub(super) looked: NodeSet,
    pub(super) pause: Backoff,
    /// Whether it may still change something.
    pub(super) open: bool,
}

impl Op {
    /// Its number is given when it is filed.
    pub(super) fn new(
        claim: Arc<Claim>,
        ttl: Ttl,
        job: Job,
        started_at: Moment,
        give_up_at: Moment,
    ) -> Self {
        Self {
            number: 0,
            claim,
            started_at,
            give_up_at,
            cut_short: false,
            ttl,
            awaited: NodeSet::EMPTY,
            scriptless: NodeSet::EMPTY,
            notes: Notes::default(),
            due: None,
            job,
        }
    }

    /// What it tells those who wait.
    pub(super) fn news(&self) -> Option<News> {
        match &self.job {
            Job::Release(releasing) => releasing.news,
            _ => None,
        }
    }

    /// Whether it is for a lock that is held, and that nobody asked to extend.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.job, Job::Extend { asker: Some(Asker::Keeper(_)), .. } | Job::Heal)
    }

    /// After a lost acquire, for its `session`: asks how long the key in the
    /// way still lives, within what is left of the round's time.
    pub(super) fn inspection(&self, round: Round, session: Box<Session>) -> Self {
        let job = Job::Inspect { round, lifetimes: Vec::new(), session: Some(session) };
        let (claim, notes) = (Arc::clone(&self.claim), self.notes.clone());
        let op = Self::new(claim, self.ttl, job, self.started_at, self.give_up_at);
        Self { notes, cut_short: self.cut_short, ..op }
    }

    /// What this operation asks of a node.
    pub(super) fn ask(&self) -> Ask {
        match self.job {
            Job::Acquire(_) => Ask::Set,
            Job::Extend { .. } => Ask::Extend,
            Job::Heal => Ask::Heal,
            Job::Release(_) => Ask::Release,
            Job::Inspect { .. } => Ask::Remaining,
            Job::Look(Looking { ask, .. }) => ask,
        }
    }

    /// When its caller has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match &self.job {
            Job::Acquire(Acquiring { round, .. }) | Job::Extend { round, .. } => {
                round.poll_timeout()
            }
            Job::Release(_) | Job::Inspect { .. } | Job::Look(_) => Some(self.give_up_at),
            Job::Heal => None,
        }
    }

    /// Whether there may be something to conclude from what was counted.
    pub(super) fn is_ripe(&self) -> bool {
        self.awaited.is_empty()
            || match &self.job {
                Job::Acquire(Acquiring { round, session, .. }) => {
                    round.verdict().is_some() && session.is_some()
                }
                Job::Release(Releasing { count, reply, open, .. }) => {
                    reply.is_some() && count.verdict().is_some() || *open && count.owed().is_empty()
                }
                _ => true,
            }
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_over(&self) -> bool {
        let told = match &self.job {
            Job::Acquire(Acquiring { session, .. }) | Job::Inspect { session, .. } => {
                session.is_none()
            }
            Job::Extend { asker, .. } => asker.is_none(),
            Job::Heal => true,
            Job::Look(Looking { reply, .. }) => reply.is_none(),
            Job::Release(Releasing { reply, retrying, .. }) => {
                reply.is_none() && retrying.is_empty()
            }
        };
        told && self.awaited.is_empty()
    }

    /// What every node said, for an error.
    pub(super) fn reports(&self, config: &Config, now: Moment) -> Vec<NodeReport> {
        let (granted, refused, late) = match &self.job {
            Job::Acquire(Acquiring { round, .. })
            | Job::Extend { round, .. }
            | Job::Inspect { round, .. } => {
                let timed_out = now >= self.give_up_at && !self.cut_short;
                let late = if timed_out { round.suspects() } else { NodeSet::EMPTY };
                (round.granted(), round.refused(), late)
            }
            Job::Heal | Job::Look(_) => Default::default(),
            // A node that never had the key was not asked.
            Job::Release(Releasing { count, .. }) => {
                (count.deleted(), count.absent(), count.owed())
            }
        };
        let report = |(id, endpoint): (NodeId, &Arc<crate::node::Endpoint>)| {
            let remaining = self.notes.lifetime(id);
            let remaining = remaining.filter(|_| !mutant::is(Mutant::LateRefusalIsSilence));
            // Who tells how long another's key lives has refused, though the
            // refusal itself may have come after the verdict.
            let refused = refused.contains(id) || remaining.is_some_and(|left| !left.is_zero());
            let answer = if let Some(error) = self.notes.error(id) {
                NodeAnswer::Failed(error.clone())
            } else if granted.contains(id) {
                NodeAnswer::Granted
            } else if refused {
                NodeAnswer::Refused { remaining }
            } else if late.contains(id) && remaining.is_none() {
                let waited = now.since(self.started_at);
                NodeAnswer::Failed(NodeError::waited(NodeErrorKind::Timeout, waited))
            } else {
                NodeAnswer::NotAwaited
            };
            NodeReport::new(Arc::clone(endpoint.label()), answer)
        };
        NodeId::all(config.endpoints.len()).zip(&config.endpoints).map(report).collect()
    }
}

/// What nodes said beyond yes and no. Empty, and free, where all is well.
#[derive(Clone, Default)]
pub(super) struct Notes(Vec<(NodeId, Note)>);

#[derive(Clone)]
enum Note {
    Error(NodeError),
    Lifetime(Duration),
}

impl Notes {
    pub(super) fn fail(&mut self, node: NodeId, error: NodeError) {
        self.0.retain(|(id, _)| *id != node);
        self.0.push((node, Note::Error(error)));
    }

    pub(super) fn live(&mut self, node: NodeId, lifetime: Duration) {
        self.0.push((node, Note::Lifetime(lifetime)));
    }

    /// How many nodes failed in a way that no waiting cures.
    pub(super) fn permanent(&self) -> usize {
        let permanent = |note: &Note| matches!(note, Note::Error(e) if !e.is_transient());
        self.0.iter().filter(|(_, note)| permanent(note)).count()
    }

    fn error(&self, node: NodeId) -> Option<&NodeError> {
        self.0.iter().find_map(|(id, note)| match note {
            Note::Error(error) if *id == node => Some(error),
            _ => None,
        })
    }

    fn lifetime(&self, node: NodeId) -> Option<Duration> {
        self.0.iter().find_map(|(id, note)| match note {
            Note::Lifetime(left) if *id == node => Some(*left),
            _ => None,
        })
    }
}

/// Someone who waits for the last release.
pub(super) struct Closing {
    pub(super) deadline: Moment,
    pub(super) reply: oneshot::Sender<usize>,
}
