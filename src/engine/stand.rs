//! What is known of an attempt that was lost: why, what each node said, and what stands
//! behind the refusal. It concludes nothing about when to try again.

use std::time::Duration;

use crate::{
    error::{NodeAnswer, NodeReport},
    exchange::Life,
    mutant::{self, Mutant},
    node_error::NodeErrorKind,
    protocol::{Loss, Moment, NodeId, NodeSet},
    token::Token,
};

/// Why an attempt was lost, and what the nodes said.
#[derive(Clone, Debug)]
pub(super) struct LastAttempt {
    pub(super) began_at: Moment,
    pub(super) loss: Loss,
    pub(super) reports: Vec<NodeReport>,
    /// What was seen behind the refusal, if anybody looked.
    pub(super) stand: Option<Stand>,
    /// The nodes that answered a look.
    pub(super) seen: NodeSet,
    /// Whether one of them has something else than at the look before.
    pub(super) has_changed: bool,
    /// The nodes that did not answer when they were last asked.
    pub(super) silent: NodeSet,
}

impl LastAttempt {
    /// Goes on saying of a node how it failed `before`, where nothing else was heard of it since;
    /// and that it granted, where this was granted nothing: a look asks nobody for a vote.
    pub(super) fn recall(&mut self, before: &Self) {
        let is_grant = |report: &NodeReport| matches!(report.answer(), NodeAnswer::Granted);
        let has_votes = self.reports.iter().any(is_grant);
        let reports = NodeId::all(self.reports.len()).zip(&mut self.reports);
        for ((node, report), earlier) in reports.zip(&before.reports) {
            let is_open = matches!(report.answer(), NodeAnswer::NotAwaited);
            let is_known = match earlier.answer() {
                NodeAnswer::Granted => !has_votes && !self.silent.contains(node),
                // It answers a look all the same.
                NodeAnswer::Failed(error) if error.kind() == NodeErrorKind::Quarantined => true,
                NodeAnswer::Failed(error) => {
                    let is_so_still = self.silent.contains(node) || !error.is_transient();
                    is_so_still && !self.seen.contains(node)
                }
                _ => false,
            };
            if is_open && is_known {
                report.clone_from(earlier);
            }
        }
    }

    /// Whether there is no quorum only since some nodes that are up grant nothing until what they
    /// have forgotten has ended: with the others that are able they are as many as its `votes`.
    pub(super) fn is_held_back(&self, votes: usize) -> bool {
        use NodeErrorKind as K;
        let count = |is_it: fn(&NodeAnswer) -> bool| {
            self.reports.iter().filter(|report| is_it(report.answer())).count()
        };
        let held_back = count(|answer| match answer {
            NodeAnswer::Failed(error) => matches!(error.kind(), K::Quarantined | K::Restarted),
            _ => false,
        });
        let able =
            count(|answer| matches!(answer, NodeAnswer::Granted | NodeAnswer::Refused { .. }));
        held_back > 0 && held_back.saturating_add(able) >= votes
    }

    /// Whether enough was seen behind its refusal.
    pub(super) fn is_seen(&self) -> bool {
        self.loss == Loss::Contended && self.stand.as_ref().is_some_and(|stand| stand.is_seen)
    }
}

/// What is known of an attempt that was lost.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) attempt: LastAttempt,
    /// How many nodes granted it.
    pub(super) granted: usize,
    /// The caller's wait ended before the nodes' time did: a silent node says
    /// nothing then.
    pub(super) cut_short: bool,
    /// More nodes than can be spared failed in a way that no waiting cures.
    pub(super) is_hopeless: bool,
}

/// What stands behind a refusal.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    /// The value that a quorum of nodes has.
    pub(super) holder: Option<Token>,
    /// Whether something keeps everyone out that is no vote: a key of another type, say.
    pub(super) is_blocked: bool,
    /// What a node has that can be no lock's token.
    pub(super) foreign: Option<&'static str>,
    /// How long the key lives, if a node said so.
    pub(super) life: Option<Life>,
    /// Whether nodes let nobody look.
    pub(super) is_denied: bool,
    /// What keeps a quorum out of reach, where no holder does.
    pub(super) stuck: Option<Stuck>,
    /// When all this was seen.
    pub(super) seen_at: Moment,
    /// Whether enough nodes were seen to know a holder, or that there is none.
    pub(super) is_seen: bool,
}

/// Values that stay at too many of the nodes that answer for anyone to get a quorum, and at too
/// few to be known as a holder's: perhaps keys that nobody will release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuck {
    /// How many nodes have such a value.
    pub(super) nodes: usize,
    /// How many did not answer when they were last asked.
    pub(super) silent: usize,
}

impl Stand {
    /// Whether it is another's: held, or taken in a way that no contender gives back.
    pub(super) fn is_taken(&self) -> bool {
        self.holder.is_some() || self.is_blocked || self.is_denied
    }

    /// The same as it is `now`, if nothing happened meanwhile.
    pub(super) fn aged(&self, now: Moment) -> Self {
        let life = self.life.map(|life| match life {
            Life::Left(left) => {
                let left = left.saturating_sub(now.since(self.seen_at));
                Life::Left(left.saturating_sub(Duration::from_nanos(
                    u64::from(left.subsec_nanos()) % 1_000_000,
                )))
            }
            life => life,
        });
        Self { life, ..self.clone() }
    }

    /// Whether the key in the way has ended by itself, if nobody has made it live longer.
    pub(super) fn has_ended(&self, now: Moment) -> bool {
        matches!(self.life, Some(Life::Left(left)) if self.seen_at.after(left) <= now)
    }

    /// What the holder calls itself.
    pub(super) fn owner(&self) -> Option<&str> {
        self.holder.as_ref().and_then(Token::label)
    }

    /// What is in the way of everyone that no contender gives back.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        let is_it = self.is_blocked && self.holder.is_none();
        is_it.then(|| self.foreign.unwrap_or("a value that never expires"))
    }

    /// When the key in the way ends by itself, if that is known.
    pub(super) fn free_in(&self) -> Option<Duration> {
        match self.life {
            Some(Life::Left(left)) if self.holder.is_some() || self.is_blocked => Some(left),
            _ => None,
        }
    }
}

/// Which of two attempts says why the lock was not acquired: the present one,
/// or the one `before` it where nobody had time to answer the present one.
pub(super) fn what_stands(
    before: Option<LastAttempt>,
    attempt: LastAttempt,
    cut_short: bool,
    is_hopeless: bool,
) -> LastAttempt {
    if mutant::is(Mutant::CutShortForgetsWhy) {
        return attempt;
    }
    match before {
        _ if is_hopeless => LastAttempt { loss: Loss::NoQuorum, ..attempt },
        Some(before) if attempt.loss == Loss::NoQuorum && cut_short => before,
        _ => attempt,
    }
}
