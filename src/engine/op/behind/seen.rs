//! What a look has seen, how sure that is, and what stands behind the refusal by it. It asks
//! nobody.

use super::Behind;
use crate::{
    engine::{
        op::{Head, Setting},
        stand::Stand,
        waiter::Waiter,
    },
    exchange::Content,
    node_error::NodeError,
    protocol::{Moment, NodeId, NodeSet, Quorum, Vote},
    token::Token,
};

impl Behind {
    /// Whether the life of a holder's key is not known, or there is something that is no
    /// vote, and no more is known of it: an empty value passes for a missing one where only
    /// the value was asked for, and a key that came between the two commands of a look for
    /// an empty value.
    pub(super) fn is_unclear(&self, quorum: Quorum) -> bool {
        let is_clear = match self.rivals.holder(quorum) {
            Some(holder) => self.rivals.life(Some(holder)).is_some(),
            None => !self.rivals.has_others(),
        };
        let may_know_more = !self.is_whole || !self.rivals.with_empty().is_empty();
        !self.is_thorough && !is_clear && may_know_more
    }

    /// Leaves out what may be a key that came between the two commands of a look, for that seems
    /// empty, though not twice; and nodes that seem to have nothing, where others seem to have
    /// an empty value: they were asked for the value alone.
    pub(super) fn forget_unsure(&mut self) {
        let unsure = if self.is_thorough { self.unsure } else { self.rivals.seen };
        let twice = self.empty.minus(self.unsure);
        let was_empty = |node| twice.contains(node) || self.before(node) == Some(&Content::Empty);
        let empty = self.rivals.with_empty();
        let is_one_sure = empty.iter().any(was_empty);
        let may_be_wrong = |node: &NodeId| match self.rivals.at(*node) {
            None if self.is_whole => false,
            None => unsure.contains(*node) && (!empty.is_empty() || was_empty(*node)),
            Some(_) if !empty.contains(*node) || was_empty(*node) => false,
            Some(_) => unsure.contains(*node) || !is_one_sure,
        };
        let nodes = self.rivals.seen.iter().filter(may_be_wrong);
        let nodes = nodes.fold(NodeSet::EMPTY, NodeSet::with);
        self.rivals.forget(nodes);
    }

    pub(super) fn note_empty(&self, head: &mut Head) {
        for node in self.rivals.with_empty().iter() {
            head.notes.fail(node, NodeError::foreign(Content::Empty.foreign()));
        }
    }

    /// What `node` had at the look before.
    fn before(&self, node: NodeId) -> Option<&Content> {
        let before = self.waiter.as_ref()?.rivals.as_ref()?;
        before.at(node).map(|found| &found.content)
    }

    pub(super) fn stand(&self, waiter: &Waiter, setting: &Setting<'_>) -> Stand {
        let quorum = setting.config.quorum;
        let still = |holder: &&Token| self.checks && !self.rivals.with(holder).is_empty();
        let holder = self.rivals.holder(quorum).or_else(|| waiter.holder.as_ref().filter(still));
        let life = self.rivals.life(holder);
        let seen = self.surely_seen();
        let unseen = NodeSet::first(quorum.nodes()).minus(seen);
        let is_sure = holder.is_some() || !self.rivals.may_have_holder(unseen, quorum);
        let is_checked = self.checks && !seen.is_empty();
        let is_enough = is_checked || is_sure && seen.len() >= quorum.votes();
        let is_clear = !self.is_unclear(quorum) && (holder.is_none() || life.is_some());
        Stand {
            life,
            holder: holder.cloned(),
            is_blocked: self.rivals.is_blocked(quorum),
            foreign: self.rivals.foreign(),
            is_denied: self.rivals.may_have_holder(self.denied, quorum),
            is_seen: is_enough && is_clear,
            stuck: None,
            seen_at: setting.now,
        }
    }

    /// A node that was seen is not silent, though its refusal may have come too late for
    /// the verdict.
    pub(super) fn count_seen(&mut self, head: &Head, now: Moment) {
        for node in self.rivals.seen.iter() {
            let is_taken = self.rivals.at(node).is_some();
            let vote = match is_taken {
                _ if head.claim.granted().contains(node) => Vote::Granted,
                // It has set the key, and answered something else.
                _ if self.mine.contains(node) => continue,
                true => Vote::Refused,
                false => Vote::Failed,
            };
            self.round.handle_vote(node, vote, now);
        }
    }

    /// Whether a holder is known and how long its key lives, or all have said what they
    /// have.
    pub(super) fn is_enough(&self, quorum: Quorum) -> bool {
        let is_told = |holder: &&Token| {
            let votes = self.rivals.with(holder).minus(self.unsure).len();
            votes >= quorum.votes() && self.rivals.life(Some(holder)).is_some()
        };
        let is_known = self.rivals.holder(quorum).filter(is_told).is_some();
        is_known || self.asked.minus(self.surely_seen()).minus(self.denied).is_empty()
    }

    /// The nodes that have said all they were asked for.
    pub(super) fn surely_seen(&self) -> NodeSet {
        self.rivals.seen.minus(self.unsure)
    }
}
