//! Behind a refusal: what is at the key of an attempt that was lost, a holder's value
//! or the votes of others, and how long does it live? It sets nothing, and has the attempt
//! taken back where that is needed.

mod seen;

use std::sync::Arc;

use super::{Ended, Head, Setting, rivals::Rivals};
use crate::{
    claim::Claim,
    config::Config,
    engine::{pacing::LATE, stand::Stuck, waiter::Waiter},
    exchange::{Content, Life, Outcome},
    mutant::{self, Mutant},
    node_error::NodeError,
    protocol::{Loss, Moment, NodeId, NodeSet, Quorum, Round},
};

/// A look at the nodes behind a refusal, within what is left of the round's time.
#[derive(Debug)]
pub(in crate::engine) struct Behind {
    round: Box<Round>,
    rivals: Rivals,
    /// The nodes that let nobody look.
    denied: NodeSet,
    /// The nodes that were found to have the attempt's own value.
    mine: NodeSet,
    /// Whether only one node is asked: whether the holder still is the one that is known.
    checks: bool,
    /// The nodes that are waited for, and until when they may answer.
    asked: NodeSet,
    /// The nodes that are asked once more, and whose answer before still counts as what was
    /// seen there.
    unsure: NodeSet,
    /// The nodes that seemed to have an empty value before that.
    empty: NodeSet,
    look_by: Moment,
    /// Whether that is over, and the first quorum of nodes that is seen is enough.
    is_late: bool,
    begun_at: Moment,
    /// Whether all that are asked are asked for everything.
    is_whole: bool,
    /// Whether it has looked more closely already.
    is_thorough: bool,
    /// Whether the attempt is taken back only now, as nobody needs to be waited for.
    rolls_back: bool,
    /// Whose attempt it is; taken out at the end.
    waiter: Option<Box<Waiter>>,
}

impl Behind {
    /// The operation that follows an attempt with this `head` and this `round`. It asks
    /// as many of the nodes that are `able` to answer as can tell a holder, and only one of
    /// them how long the key lives; all of them where that should have ended by itself.
    pub(in crate::engine) fn after(
        head: &Head,
        round: Box<Round>,
        rolls_back: bool,
        waiter: Box<Waiter>,
        able: NodeSet,
        now: Moment,
    ) -> (Head, Self) {
        let claim = Arc::clone(&head.claim);
        // Most have just answered: one that does not is not worth waiting for.
        let look_by = head.give_up_at.min(now.after(waiter.silence()));
        let new = Head::new(claim, head.ttl, head.started_at, head.give_up_at);
        // A node that granted it has lost the holder's value.
        let has_ended = waiter.has_seen_end(now);
        let checks = round.granted().is_empty()
            && !waiter.has_checked
            && !has_ended
            && waiter.trusts_at(round.refused());
        let asked = asked(&round, checks, able);
        // One that has refused has a key there.
        let first = round.refused().iter().chain(asked.iter()).find(|node| asked.contains(*node));
        let first = first.map_or(NodeSet::EMPTY, |node| NodeSet::EMPTY.with(node));
        let first = if has_ended { asked } else { first };
        let head = Head {
            notes: head.notes.clone(),
            cut_short: head.cut_short,
            looks: first,
            again: asked.minus(first),
            ..new
        };
        let (rivals, denied, mine) = (Rivals::default(), NodeSet::EMPTY, NodeSet::EMPTY);
        let waiter = Some(waiter);
        (
            head,
            Self {
                round,
                rivals,
                denied,
                mine,
                checks,
                asked,
                unsure: NodeSet::EMPTY,
                empty: NodeSet::EMPTY,
                begun_at: now,
                look_by,
                is_late: false,
                is_whole: has_ended,
                is_thorough: false,
                rolls_back,
                waiter,
            },
        )
    }

    /// Another look at all nodes, without an attempt: it waits for those that are `able` to
    /// answer.
    pub(in crate::engine) fn again(
        claim: Arc<Claim>,
        waiter: Box<Waiter>,
        able: NodeSet,
        config: &Config,
        now: Moment,
    ) -> (Head, Self) {
        let ttl = waiter.request.ttl;
        let give_up_at = waiter.give_up_at(now.after(config.node_timeout(ttl)), now);
        let round = Round::new(config.quorum, Moment::NEVER, give_up_at);
        let head = Head { cut_short: true, ..Head::new(claim, ttl, now, give_up_at) };
        let (head, behind) = Self::after(&head, Box::new(round), false, waiter, able, now);
        // What stays is told, and what is to be done about it: so each says how long it lives.
        // A node that was silent is not waited for, but if it answers, that is known by this.
        let looks = NodeSet::first(config.quorum.nodes());
        (Head { looks, again: NodeSet::EMPTY, ..head }, Self { is_whole: true, ..behind })
    }

    pub(super) fn handle_outcome(&mut self, head: &mut Head, node: NodeId, outcome: Outcome) {
        let is_answer = matches!(outcome, Outcome::Answered(_));
        // What is at the node is not known, if it does not say so. A node that was not asked is
        // merely silent, whatever the reason.
        let refusal = self.rivals.note(node, outcome).filter(|_| is_answer);
        match refusal {
            Some(error) if !error.is_transient() => self.denied.insert(node),
            None if is_answer => self.unsure.remove(node),
            Some(_) | None => {}
        }
        if self.rivals.forget_mine(node, &head.claim.token) {
            // It has granted after the verdict, and is about to be asked to release; or it has
            // denied that, so that it was not asked when the attempt was taken back.
            self.mine.insert(node);
            self.rolls_back |= head.note_found(node);
        }
        let Some(found) = self.rivals.at(node) else { return };
        // Whether it is empty shows at the end.
        let foreign = found.content.foreign().filter(|_| found.content != Content::Empty);
        if let Some(foreign) = foreign {
            head.notes.fail(node, NodeError::foreign(Some(foreign)));
        }
        if let Life::Left(left) = found.life {
            head.notes.live(node, left);
        }
    }

    /// All that has been seen, and whose attempt it is.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn inside(&self) -> (&Rivals, Option<&Waiter>) {
        (&self.rivals, self.waiter.as_deref())
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.is_undecided().then_some(self.look_by)
    }

    /// Notes which nodes have not answered in time, where others have: they were all asked at
    /// the same time; unless this client comes late itself.
    pub(super) fn handle_timeout(&self, head: &mut Head, now: Moment) {
        let is_late = now.since(self.look_by) > LATE;
        let is_due = self.is_undecided() && self.look_by <= now && !is_late;
        let can_tell = !self.is_late && !self.rivals.seen.is_empty() && head.had_time(self.look_by);
        if is_due && can_tell {
            head.silent = self.asked.minus(self.rivals.seen).and(head.awaited);
        }
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.waiter.is_some()
    }

    /// Goes on once all is seen, or no more will be.
    pub(super) fn end(&mut self, head: &mut Head, setting: &Setting<'_>) -> Option<Ended> {
        let Some(waiter) = &self.waiter else { return self.take_back(true) };
        let (quorum, is_left) = (setting.config.quorum, setting.closed || !waiter.is_wanted());
        let is_over = setting.now >= head.give_up_at || is_left;
        if !self.is_enough(quorum) && !head.awaited.is_empty() && !is_over {
            if setting.now < self.look_by && !self.is_late {
                return self.take_back(!self.mine.is_empty());
            }
            if !self.checks && self.surely_seen().union(self.denied).len() < quorum.votes() {
                self.wait_for_more(head, quorum);
                return self.take_back(true);
            }
        }
        if !is_over && self.is_unclear(quorum) {
            self.look_closer(head, setting.now);
            return None;
        }
        self.forget_unsure();
        self.note_empty(head);
        let mut waiter = self.waiter.take()?;
        waiter.looks = waiter.looks.saturating_add(1);
        let is_quorum = self.surely_seen().len() >= quorum.votes();
        if head.awaited.is_empty() && is_quorum && !self.is_thorough {
            waiter.learn_from_look(setting.now.since(self.begun_at));
        }
        let mut stand = self.stand(&waiter, setting);
        let has_changed =
            waiter.rivals.as_ref().is_some_and(|before| self.rivals.has_changed_since(before));
        self.count_seen(head, setting.now);
        // The next time all are looked at: this one node may have been left out of a release.
        waiter.has_checked = self.checks;
        if !self.checks {
            let is_few = self.surely_seen().union(self.denied).len() < quorum.votes();
            waiter.has_seen_few = is_few && !mutant::is(Mutant::FewAreEnough);
            let before = waiter.rivals.replace(Box::new(self.rivals.clone()));
            let stays = before.map(|before| self.rivals.unchanged_since(&before, quorum));
            let stays = stays.unwrap_or_default();
            let is_stale = can_do_without(stays, setting);
            waiter.stale = if is_stale { stays } else { NodeSet::EMPTY };
            stand.stuck = (!is_stale && !stays.is_empty())
                .then(|| Stuck { nodes: stays.len(), silent: setting.silent.minus(stays).len() });
        }
        let mut found = head.found(Loss::Contended, &self.round, Some(stand), setting);
        (found.attempt.seen, found.attempt.has_changed) = (self.rivals.seen, has_changed);
        let rolls_back = std::mem::take(&mut self.rolls_back);
        Some(Ended::Lost { waiter, found: Box::new(found), rolls_back })
    }

    /// Too few have said anything: the first quorum is waited for, of all nodes.
    fn wait_for_more(&mut self, head: &mut Head, quorum: Quorum) {
        let all = NodeSet::first(quorum.nodes());
        head.looks = all.minus(self.asked).minus(self.rivals.seen).minus(head.awaited);
        self.asked = all;
        (self.is_late, self.look_by) = (true, head.give_up_at);
    }

    /// Takes the attempt back now if it is to be: others may need the vote that a node has given,
    /// or gives, after the verdict.
    fn take_back(&mut self, is_needed: bool) -> Option<Ended> {
        let now = is_needed && std::mem::take(&mut self.rolls_back);
        now.then_some(Ended::TakenBack)
    }

    /// Asks all nodes once more, for everything.
    fn look_closer(&mut self, head: &mut Head, now: Moment) {
        let all = self.asked.union(self.round.refused()).minus(head.awaited);
        (self.unsure, self.empty) = (all.and(self.rivals.seen), self.rivals.with_empty());
        (self.is_thorough, self.checks, self.is_late) = (true, false, false);
        (self.asked, head.looks) = (self.asked.union(all), all);
        if let Some(waiter) = &self.waiter {
            self.look_by = head.give_up_at.min(now.after(waiter.silence()));
        }
    }

    /// Whether it is worth asking whether it is enough, or a key was found behind the end.
    pub(super) fn may_be_enough(&self) -> bool {
        if !self.is_undecided() {
            return self.rolls_back;
        }
        !self.surely_seen().union(self.denied).is_empty()
    }
}

/// Whether a quorum is left without these nodes. Where none is, nobody gains by passing over
/// them, and what stays there may be the vote of one that insists.
fn can_do_without(stay: NodeSet, setting: &Setting<'_>) -> bool {
    if mutant::is(Mutant::InsistingIsStale) {
        return true;
    }
    let quorum = setting.config.quorum;
    let left = NodeSet::first(quorum.nodes()).minus(setting.silent).minus(stay);
    left.len() >= quorum.votes()
}

/// The nodes to look at: of those that refused, as many as can tell a holder; or all that
/// may answer. One of them `checks` whether a holder that is known still is the same.
fn asked(round: &Round, checks: bool, able: NodeSet) -> NodeSet {
    let refused = round.refused();
    let needed = if checks { 1 } else { round.votes() };
    if refused.len() >= needed {
        return refused.iter().take(needed).fold(NodeSet::EMPTY, NodeSet::with);
    }
    refused.union(able)
}
