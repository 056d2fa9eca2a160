//! One caller's acquire, over all its attempts: what it has learnt, and whom it asks
//! next. When that is, is for `again` to say; it asks no node.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    op::{Rivals, round_trip},
    pacing::LAST_ATTEMPT,
    request::{AcquireRequest, Patience, Won},
    stand::LastAttempt,
};
use crate::{
    claim::Claim,
    error::Error,
    mutant::{self, Mutant},
    protocol::{Backoff, Due, Moment, NodeSet, Round},
    token::Token,
};

/// Where a key's line is in the table of lines, or will be: its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot(pub(super) u64);

/// One caller's acquire, over all its attempts.
pub(crate) struct Waiter {
    pub(super) request: AcquireRequest,
    pub(super) backoff: Backoff,
    pub(super) begun_at: Moment,
    /// Where its line is in the table.
    pub(super) slot: Slot,
    pub(super) attempts: u32,
    /// How often a single attempt has looked what stands behind a refusal.
    pub(super) looks: u32,
    /// Whether the present attempt was begun because of a notification.
    pub(super) notified: bool,
    /// Whether it asks all nodes when it was told: it is the next holder, by the releases that
    /// it has waited for, or nodes are far.
    pub(super) is_next: bool,
    /// Whether the present attempt was begun, unnotified, while others released the lock to
    /// each other: then it only makes sure that there is a holder.
    pub(super) in_crowd: bool,
    /// Whether it has asked one node only, the last time, whether the holder is the same.
    pub(super) has_checked: bool,
    /// Whether its last attempt heard of the home node alone.
    pub(super) heard_one: bool,
    /// Whether less than a quorum of nodes answered its last look, and nothing since.
    pub(super) has_seen_few: bool,
    /// The nodes at which this client was subscribed during all of the attempt.
    pub(super) subscribed: NodeSet,
    /// The polling floor: it tries again by then even if nothing is heard.
    pub(super) poll_by: Moment,
    /// The channel's release count when this caller joined.
    pub(super) joined: u64,
    /// Its number in the line, and where its patience is filed.
    pub(super) number: u64,
    pub(super) due: Option<Due>,
    /// What its last attempt found.
    pub(super) before: Option<Box<LastAttempt>>,
    /// How long its last attempt took to be refused, as far as a timer can tell.
    pub(super) round_trip: Duration,
    /// What was at the nodes when it last looked, and which of them seem to have a key
    /// that nobody will release.
    pub(super) rivals: Option<Box<Rivals>>,
    pub(super) stale: NodeSet,
    /// The holder that it waits for: of this library, so that its release will be heard.
    pub(super) holder: Option<Token>,
    /// Whether a single attempt has not believed in a holder that it met after a split.
    pub(super) has_doubted: bool,
    /// The time since which no attempt has found a quorum of nodes able to
    /// answer.
    pub(super) failing_since: Option<Moment>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("key", &self.request.key)
            .field("patience", &self.request.patience)
            .field("is_wanted", &self.is_wanted())
            .field("begun_at", &self.begun_at)
            .field("attempts", &self.attempts)
            .field("notified", &self.notified)
            .field("joined", &self.joined)
            .field("failing_since", &self.failing_since)
            .finish_non_exhaustive()
    }
}

impl Waiter {
    /// It begins when the engine takes it.
    pub(super) fn new(request: AcquireRequest) -> Self {
        Self {
            round_trip: round_trip(Duration::ZERO),
            rivals: None,
            stale: NodeSet::EMPTY,
            holder: None,
            has_doubted: false,
            backoff: request.shared.config.retry,
            request,
            begun_at: Moment::PAST,
            slot: Slot::default(),
            attempts: 0,
            looks: 0,
            notified: false,
            is_next: false,
            in_crowd: false,
            has_checked: false,
            heard_one: false,
            has_seen_few: false,
            subscribed: NodeSet::EMPTY,
            poll_by: Moment::NEVER,
            joined: 0,
            number: 0,
            due: None,
            before: None,
            failing_since: None,
        }
    }

    /// What decides how it goes on and is not in its `Debug`, but for the values in it.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn inside(&self) -> impl fmt::Debug {
        let before = self.before.as_ref();
        let before = before.map(|before| {
            let stand = before.stand.as_ref();
            let stand = stand.map(|stand| (stand.holder.is_some(), stand.stuck.is_some()));
            (before.loss, before.is_seen(), stand)
        });
        let times = (self.backoff, self.round_trip, self.poll_by);
        let turn =
            (self.is_next, self.in_crowd, self.heard_one, self.has_checked, self.has_seen_few);
        let looks = (self.looks, self.has_doubted);
        (times, turn, looks, self.number, self.stale, self.subscribed, before)
    }

    /// The values that it knows of.
    #[cfg(all(test, redlock_sim))]
    pub(super) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        let holder = self.holder.iter().map(Token::as_bytes);
        holder.chain(self.rivals.iter().flat_map(|rivals| rivals.tokens()))
    }

    /// How many of the `heard` releases came after this caller joined.
    pub(super) fn age(&self, heard: u64) -> u32 {
        u32::try_from(heard.saturating_sub(self.joined)).unwrap_or(u32::MAX)
    }

    /// Whether its caller still listens.
    pub(super) fn is_wanted(&self) -> bool {
        !self.request.reply.is_closed()
    }

    /// Whether it is a single attempt, which stands in no line.
    pub(super) fn is_once(&self) -> bool {
        self.request.patience == Patience::Once
    }

    /// Whether too little of its wait is left for an attempt.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        match self.request.patience {
            Patience::Until(limit) => limit.since(now) <= LAST_ATTEMPT,
            Patience::Once | Patience::Forever => false,
        }
    }

    /// Whether to look at what is in the way. Not where that is likely to change before
    /// it is of use: in a crowd, locks are short.
    pub(super) fn wants_look(&self) -> bool {
        self.is_wanted() && (self.is_once() || !self.notified && !self.in_crowd)
    }

    /// Whether what it has seen had ended by `now`. Where it goes on living at a node, the others
    /// have to be asked whether it does there: an extension may have come to too few of them.
    pub(super) fn has_seen_end(&self, now: Moment) -> bool {
        let stand = self.before.as_ref().and_then(|before| before.stand.as_ref());
        stand.is_some_and(|stand| stand.has_ended(now))
    }

    /// Whether it is known, of one of these nodes, which holder's value it has.
    pub(super) fn trusts_at(&self, nodes: NodeSet) -> bool {
        let known = self.holder.as_ref().zip(self.rivals.as_ref());
        known.is_some_and(|(holder, rivals)| !rivals.with(holder).and(nodes).is_empty())
    }

    /// Whether it asks all nodes at once: its first attempt, and when it is its turn; and where
    /// it has seen so few nodes that a quorum may be down.
    pub(super) fn asks_all(&self) -> bool {
        let is_first = self.attempts <= 1 && !self.in_crowd || self.has_seen_few;
        if self.notified { self.is_next } else { is_first }
    }

    /// Whether another round trip takes longer than the pauses between those that are told of a
    /// release where nodes are near.
    pub(super) fn is_far(&self) -> bool {
        self.round_trip > round_trip(Duration::ZERO)
    }

    /// Those of `nodes` of which one may say, for all, that the lock is still taken: those
    /// that have the holder's value, whoever that is.
    pub(super) fn homes(&self, nodes: NodeSet) -> NodeSet {
        let quorum = self.request.shared.config.quorum;
        let held = self
            .rivals
            .as_ref()
            .and_then(|rivals| rivals.holder(quorum).map(|holder| rivals.with(holder).and(nodes)));
        match held {
            Some(nodes) if !nodes.is_empty() => nodes,
            _ => nodes.minus(self.stale),
        }
    }

    /// How long a home node may keep silent.
    pub(super) fn silence(&self) -> Duration {
        self.round_trip.saturating_mul(2)
    }

    /// Learns how long the nodes took to answer an attempt.
    pub(super) fn learn(&mut self, round: &Round, took: Duration) {
        let took = round_trip(took);
        let answered = round.granted().union(round.refused());
        self.has_seen_few &= answered.len() < round.votes();
        // The others may be farther away than the home node alone.
        let is_one = answered.len() <= 1;
        self.round_trip = if is_one { self.round_trip.max(took) } else { took };
    }

    /// Learns how long they took to answer a look: no connection had to be made first.
    pub(super) fn learn_from_look(&mut self, took: Duration) {
        self.round_trip = self.round_trip.min(round_trip(took));
    }

    pub(super) fn refuse(self, error: Error) {
        tracing::debug!(key = %self.request.key, kind = ?error.kind(), "lock not acquired");
        // A caller that is gone needs no error.
        let _ = self.request.reply.send(Err(error));
    }

    /// Gives the caller its lock. If nobody takes it, its drop releases.
    pub(super) fn accept(self, claim: Arc<Claim>) {
        let AcquireRequest { shared, reply, .. } = self.request;
        if let Err(Ok(unclaimed)) = reply.send(Ok(Won::new(shared, claim))) {
            leave_to_nobody(unclaimed);
        }
    }

    /// The end of an attempt that begins now and would get until `whole`. The
    /// first one always gets all of it, as a lone attempt would; later ones end
    /// with the wait.
    pub(super) fn give_up_at(&self, whole: Moment, now: Moment) -> Moment {
        match self.request.patience {
            _ if now <= self.begun_at => whole,
            Patience::Until(limit) => whole.min(limit),
            Patience::Once => whole.min(self.settles_until()),
            Patience::Forever => whole,
        }
    }

    /// Until when it may insist on the votes that it has.
    pub(super) fn insists_until(&self) -> Moment {
        match self.request.patience {
            Patience::Once => self.settles_until(),
            Patience::Until(limit) => limit,
            Patience::Forever => Moment::NEVER,
        }
    }

    /// Until when a single attempt goes on after a split vote.
    pub(super) fn settles_until(&self) -> Moment {
        let config = &self.request.shared.config;
        self.begun_at.after(config.node_timeout(self.request.ttl))
    }

    /// Goes on with what the waiter before it in the line has found.
    pub(super) fn inherit(&mut self, failing_since: Option<Moment>) {
        self.failing_since = failing_since.map(|since| since.max(self.begun_at));
    }
}

/// A lock that was won for a caller that is gone: its drop releases it.
fn leave_to_nobody(mut unclaimed: Won) {
    if mutant::is(Mutant::RollbackByTheCaller) {
        unclaimed.leave();
    }
}
