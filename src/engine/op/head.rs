//! What all kinds of operations have: whose key it is, whom to ask, and until when. It decides
//! nothing.

use std::sync::Arc;

use super::{
    Setting,
    notes::{Notes, Tally},
};
use crate::{
    claim::Claim,
    config::Config,
    engine::{
        stand::{Found, LastAttempt, Stand},
        waiter::Waiter,
    },
    protocol::{Due, Loss, Moment, NodeId, NodeSet, Number, Round, Ttl},
};

/// The part of an operation that is the same for all kinds.
#[derive(Debug)]
pub(in crate::engine) struct Head {
    pub(in crate::engine) claim: Arc<Claim>,
    /// The ttl that is asked for, and from which timeouts derive.
    pub(in crate::engine) ttl: Ttl,
    /// The fencing number that it carries, if any.
    pub(in crate::engine) number: Option<Number>,
    pub(in crate::engine) started_at: Moment,
    pub(in crate::engine) give_up_at: Moment,
    /// The caller's wait, or the lock, ends before the nodes' time does: that a
    /// node has not answered by then says nothing.
    pub(in crate::engine) cut_short: bool,
    /// Nodes that were asked and have not answered. A node has one question of an operation
    /// at a time: it is asked again when it has answered.
    pub(in crate::engine) awaited: NodeSet,
    /// Nodes that did not know the script, and get its text instead.
    pub(in crate::engine) scriptless: NodeSet,
    /// Nodes that are to be asked once more, at once.
    pub(in crate::engine) again: NodeSet,
    /// Nodes that are to be asked at once what they have at the key; and those that are
    /// to say, too, how long it lives.
    pub(in crate::engine) values: NodeSet,
    pub(in crate::engine) looks: NodeSet,
    /// Nodes that turned out not to answer in time.
    pub(in crate::engine) silent: NodeSet,
    /// Where its next timeout is filed.
    pub(super) due: Option<Due>,
    pub(super) notes: Notes,
}

impl Head {
    pub(in crate::engine) fn new(
        claim: Arc<Claim>,
        ttl: Ttl,
        started_at: Moment,
        give_up_at: Moment,
    ) -> Self {
        Self {
            claim,
            ttl,
            number: None,
            started_at,
            give_up_at,
            cut_short: false,
            awaited: NodeSet::EMPTY,
            scriptless: NodeSet::EMPTY,
            again: NodeSet::EMPTY,
            values: NodeSet::EMPTY,
            looks: NodeSet::EMPTY,
            silent: NodeSet::EMPTY,
            due: None,
            notes: Notes::default(),
        }
    }

    /// The same with a fencing number, or without.
    pub(in crate::engine) fn with_number(self, number: Option<Number>) -> Self {
        Self { number, ..self }
    }

    /// Whether the nodes' time was over `by` then, as far as the caller's wait goes: it may have
    /// ended it before.
    pub(super) fn had_time(&self, by: Moment) -> bool {
        !self.cut_short || by < self.give_up_at
    }

    /// Notes that `node` has the claim's key. Says whether that is news: it has answered
    /// otherwise, and would not be asked to release it.
    pub(super) fn note_found(&self, node: NodeId) -> bool {
        let is_news = !self.claim.suspects().contains(node);
        self.claim.note_found(node);
        is_news
    }

    /// Whether it wants nodes asked.
    pub(in crate::engine) fn has_wishes(&self) -> bool {
        !self.again.union(self.values).union(self.looks).is_empty()
    }

    /// Gives the nodes that are asked `now` as long as the waiter's patience allows, and
    /// says until when that is.
    #[inline]
    pub(super) fn give_nodes_time(
        &mut self,
        waiter: &Waiter,
        config: &Config,
        now: Moment,
    ) -> Moment {
        let whole = now.after(config.node_timeout(self.ttl));
        self.give_up_at = waiter.give_up_at(whole, now);
        self.cut_short = self.give_up_at < whole;
        self.give_up_at
    }

    /// What is known of an attempt that was lost.
    pub(super) fn found(
        &self,
        loss: Loss,
        round: &Round,
        stand: Option<Stand>,
        setting: &Setting<'_>,
    ) -> Found {
        let (config, now) = (setting.config, setting.now);
        // One that has answered since the verdict is not silent.
        let may = self.claim.suspects().minus(self.claim.granted());
        let silent = self.late(round.suspects().and(may), now);
        let tally = Tally { granted: round.granted(), refused: round.refused(), silent };
        let reports = self.reports(tally, config, now);
        Found {
            attempt: LastAttempt {
                began_at: self.started_at,
                loss,
                reports,
                stand,
                seen: NodeSet::EMPTY,
                has_changed: false,
                silent: setting.silent,
            },
            granted: self.claim.granted().len(),
            cut_short: self.cut_short,
            is_hopeless: self.notes.permanent() > config.quorum.spare(),
        }
    }
}
