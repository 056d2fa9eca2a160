//! A claim: one token at one key, and what the driver and the guard both know of it.
//! It never asks a node.
//!
//! The driver writes what the nodes said, and the guard reads it. Both agree on the
//! deadline through one atomic: once either has found the claim expired, the claim
//! stays expired, even if an extension that was still under way succeeds.

mod marks;
mod released;
mod watch;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    time::Duration,
};

use once_cell::race::OnceBox;
use tokio_util::sync::CancellationToken;

pub use self::released::Released;
pub(crate) use self::watch::{Keeping, Renewal};
use self::{
    marks::{Mark, Marks},
    watch::{Extra, Watch},
};
use crate::{
    error::{Error, ErrorKind},
    key::Key,
    mutant::{self, Mutant},
    protocol::{Lease, Moment, NodeId, NodeSet, Ttl},
    spelled::{Exact, Spelled},
    token::Token,
};

/// A key, the token that is put there, and until when the lock is ours.
pub(crate) struct Claim {
    pub(crate) key: Key,
    pub(crate) token: Token,
    until: AtomicU64,
    gone_by: AtomicU64,
    /// See [`Self::ttl`]; without its grace, which most locks have none of.
    ttl_millis: u32,
    marks: [Marks; marks::IN_PLACE],
    is_adopted: bool,
    is_taken_over: bool,
    /// This is made when it is first needed, since most locks are short.
    extra: OnceBox<Extra>,
}

impl Claim {
    /// Makes a claim that nobody holds yet: see [`Self::grant`].
    pub(crate) fn new(key: Key, token: Token, ttl: Ttl, lease: Lease, nodes: usize) -> Self {
        let claim = Self {
            key,
            token,
            until: AtomicU64::new(Moment::PAST.as_nanos()),
            gone_by: AtomicU64::new(lease.gone_by.as_nanos()),
            ttl_millis: ttl.as_millis(),
            marks: Default::default(),
            is_adopted: false,
            is_taken_over: false,
            extra: OnceBox::new(),
        };
        if ttl.grace() > 0 {
            claim.watch().set_grace(ttl.grace());
        }
        if nodes > marks::IN_PLACE {
            claim.watch().add_marks(nodes);
        }
        NodeId::all(nodes).for_each(|node| claim.mark(node, Mark::Suspect));
        claim
    }

    /// The ttl that the claim was made with. Its node timeouts derive from this, and each
    /// renewal is for this long.
    pub(crate) fn ttl(&self) -> Ttl {
        let grace = self.watched().map_or(0, Watch::grace);
        Ttl::from_millis(self.ttl_millis).with_grace(grace)
    }

    /// Makes the heir: another holder's claim, with the same key and token, to which the
    /// nodes in `granted` have agreed. A node that may hold the key for this claim may
    /// hold it for the heir, even if that becomes known only later.
    pub(crate) fn hand_on(
        &self,
        ttl: Ttl,
        lease: Lease,
        granted: NodeSet,
        nodes: usize,
        now: Moment,
    ) -> Arc<Self> {
        let heir = Self::new(self.key.clone(), self.token.clone(), ttl, lease, nodes);
        heir.watch().age.store(self.age(), Relaxed);
        heir.watch().handed.store(self.handed().saturating_add(1), Relaxed);
        let row_began = if self.handed() == 0 { now } else { self.row_began() };
        heir.watch().row_began.store(row_began.as_nanos(), Relaxed);
        heir.may_live_until(self.gone_by());
        if let Some(sent) = self.sent() {
            heir.note_sent(sent);
            if self.is_not_buried() {
                heir.note_not_buried();
            }
        }
        let suspects = self.suspects_of_the_heir(granted);
        for node in NodeId::all(nodes) {
            if !suspects.contains(node) {
                heir.note_innocent(node);
            }
            if self.is_adrift(node) {
                heir.mark(node, Mark::Adrift);
            }
        }
        for node in granted.iter() {
            heir.note_grant(node, self.latency(node).unwrap_or_default());
        }
        Arc::clone(self.watch().hand_on(|| Arc::new(heir)))
    }

    /// The nodes that may hold the key for the heir, to which the nodes in `granted` have
    /// agreed: all that may hold it for this claim.
    fn suspects_of_the_heir(&self, granted: NodeSet) -> NodeSet {
        if mutant::is(Mutant::HeirForgetsNodes) {
            return granted;
        }
        self.suspects()
    }

    /// Makes a claim for a lock that was acquired elsewhere, over other connections than
    /// ours: the acquire may still be on its way to a node.
    pub(crate) fn adopted(key: Key, token: Token, ttl: Ttl, lease: Lease, nodes: usize) -> Self {
        let claim = Self::taken_over(key, token, ttl, lease, nodes);
        NodeId::all(nodes).for_each(|node| claim.mark(node, Mark::Adrift));
        claim
    }

    /// Makes the claim of a lock that a guard is to have, by its token.
    pub(crate) fn taken_over(key: Key, token: Token, ttl: Ttl, lease: Lease, nodes: usize) -> Self {
        let mut claim = Self::by_token(key, token, ttl, lease, nodes);
        claim.is_taken_over = true;
        claim
    }

    /// Makes a claim of which only the token is known. Perhaps no lock has that token,
    /// so what a node says of it is final.
    pub(crate) fn by_token(key: Key, token: Token, ttl: Ttl, lease: Lease, nodes: usize) -> Self {
        let mut claim = Self::new(key, token, ttl, lease, nodes);
        claim.is_adopted = true;
        claim.grant(lease.until);
        claim
    }

    /// Makes the empty claim, which a guard has once it has let go of its lock.
    pub(crate) fn none() -> Self {
        let lease = Lease { until: Moment::PAST, gone_by: Moment::PAST };
        Self::new(Key::NONE, Token::NONE, Ttl::MIN, lease, 0)
    }

    /// A number that no other claim has while this one exists.
    pub(crate) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Whether a guard has it whose client did not acquire it.
    pub(crate) fn is_taken_over(&self) -> bool {
        self.is_taken_over
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Makes the claim held until `until`: when its round is won, or when it is taken over
    /// by its token.
    pub(crate) fn grant(&self, until: Moment) {
        self.until.store(until.as_nanos(), Relaxed);
    }

    /// The holder's deadline; [`Moment::PAST`] once the lock is lost.
    pub(crate) fn until(&self) -> Moment {
        Moment::from_nanos(self.until.load(Relaxed))
    }

    /// How long the lock is still held. Once a caller has found zero, it stays zero.
    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        loop {
            let until = self.until();
            if now < until {
                return until.since(now);
            }
            if self.swap_until(until, Moment::PAST) {
                self.tell();
                return Duration::ZERO;
            }
        }
    }

    /// Fails unless the lock is held for at least `least` more.
    pub(crate) fn ensure(&self, least: Duration, now: Moment) -> Result<(), Error> {
        let left = self.remaining(now);
        if left.is_zero() {
            let message = format!("lock {} is not held any more", self.key);
            Err(Error::new(ErrorKind::Lost, message))
        } else if left < least {
            let message = format!(
                "lock {} is held for {} more, not for {}",
                self.key,
                Spelled(left),
                Exact(least)
            );
            Err(Error::new(ErrorKind::Expired, message))
        } else {
            Ok(())
        }
    }

    /// Ends the claim for good, and tells whoever watches it.
    pub(crate) fn end(&self) {
        if mutant::is(Mutant::LostIsHeld) {
            return;
        }
        self.until.store(Moment::PAST.as_nanos(), Relaxed);
        self.tell();
    }

    fn tell(&self) {
        // Either this sees the token, or the caller that makes the token sees the end.
        fence(SeqCst);
        self.watch_to_tell().into_iter().for_each(Watch::tell);
    }

    /// The watch whose token says that the claim has ended, if there is one.
    fn watch_to_tell(&self) -> Option<&Watch> {
        if mutant::is(Mutant::LostIsNotTold) {
            return None;
        }
        self.watched()
    }

    /// Whether the claim was ended, or found expired.
    pub(crate) fn has_ended(&self) -> bool {
        self.until() == Moment::PAST
    }

    /// A token that is cancelled when the claim ends, by whoever finds that it has ended.
    /// Cancelling the token ends nothing.
    pub(crate) fn ended(&self) -> CancellationToken {
        let token = self.watch().ended();
        fence(SeqCst);
        if self.has_ended() {
            self.tell();
        }
        token
    }

    /// Moves the deadline out to that of `lease`, unless the deadline has passed. It is
    /// never moved in, except from [`Moment::NEVER`], when it was not known. Says whether
    /// the lock is held.
    pub(crate) fn prolong(&self, lease: Lease, now: Moment) -> bool {
        loop {
            let until = self.until();
            if !is_extensible(until, now) {
                return false;
            }
            let to = if until == Moment::NEVER { lease.until } else { lease.until.max(until) };
            if self.swap_until(until, to) {
                return true;
            }
        }
    }

    fn swap_until(&self, from: Moment, to: Moment) -> bool {
        let (from, to) = (from.as_nanos(), to.as_nanos());
        self.until.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }

    /// From then on, no server can hold the key for us.
    pub(crate) fn gone_by(&self) -> Moment {
        Moment::from_nanos(self.gone_by.load(Relaxed))
    }

    /// Notes that an extension was sent by which the key may live until `moment`: it may
    /// take effect even if it fails.
    pub(crate) fn may_live_until(&self, moment: Moment) {
        if mutant::is(Mutant::ExtensionForgotten) {
            return;
        }
        self.gone_by.fetch_max(moment.as_nanos(), Relaxed);
    }
}

/// Whether an extension that is counted now moves the deadline `until`: not where it
/// has passed, nor where the claim has ended, which is [`Moment::PAST`].
fn is_extensible(until: Moment, now: Moment) -> bool {
    if mutant::is(Mutant::ExtendPastTheDeadline) {
        return until != Moment::PAST;
    }
    if mutant::is(Mutant::ReleasedIsExtended) {
        return until == Moment::PAST || now < until;
    }
    now < until
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("key", &self.key)
            .field("until", &self.until())
            .field("gone_by", &self.gone_by())
            .field("granted", &self.granted())
            .field("suspects", &self.suspects())
            .field("healed", &self.healed())
            .field("adrift", &self.adrift())
            .field("handed", &self.handed())
            .field("age", &self.age())
            .field("ttl", &self.ttl())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Drift;

    const SECOND: Duration = Duration::from_secs(1);
    const START: Moment = Moment::from_nanos(5_000_000_000);

    fn claim() -> (Claim, Lease) {
        let ttl = Ttl::from_duration(SECOND);
        let lease = Lease::new(START, ttl, Drift::per_mille(10).unwrap(), SECOND);
        let key = Key::new(b"", b"k").unwrap();
        let token = Token::from_bytes("s3cret").unwrap();
        let claim = Claim::new(key, token, ttl, lease, 3);
        claim.grant(lease.until);
        (claim, lease)
    }

    #[test]
    fn the_first_extension_of_one_of_unknown_age_says_how_long_it_is_held() {
        let (claim, lease) = claim();
        claim.grant(Moment::NEVER);
        assert!(claim.prolong(lease, START));
        assert_eq!(claim.until(), lease.until);
    }

    #[test]
    fn once_found_expired_no_extension_revives_it() {
        let (claim, lease) = claim();
        assert_eq!(claim.remaining(START), lease.until.since(START));
        assert_eq!(claim.remaining(lease.until), Duration::ZERO);
        let later = Lease { until: lease.until.after(SECOND), ..lease };
        // The driver read its clock before the guard did, and comes after it.
        assert!(!claim.prolong(later, START));
        assert_eq!(claim.remaining(START), Duration::ZERO, "lost is final");
    }

    #[test]
    fn an_extension_moves_the_deadline_out_and_never_in() {
        let (claim, lease) = claim();
        let later = Lease { until: lease.until.after(SECOND), ..lease };
        assert!(claim.prolong(later, START));
        assert!(claim.prolong(lease, START));
        assert_eq!(claim.until(), later.until);
        assert!(!claim.prolong(later, later.until), "too late");
    }

    #[test]
    fn what_a_node_said_before_it_was_healed_is_not_about_after() {
        let (claim, _) = claim();
        let node = NodeId::all(3).last().unwrap();
        claim.note_gone(node);
        assert!(!claim.suspects().contains(node));
        claim.note_healing(node);
        // This is the late answer to an extension that was sent before.
        claim.note_gone(node);
        assert!(claim.suspects().contains(node), "it must be released");
        claim.note_grant(node, SECOND);
        assert!(claim.healed().contains(node));
        claim.note_gone(node);
        assert!(!claim.suspects().contains(node), "that one was sent after");

        claim.note_healing(node);
        claim.note_unhealed(node);
        assert!(!claim.suspects().union(claim.healed()).contains(node));
    }

    #[test]
    fn a_row_begins_when_the_lock_is_handed_on_first_and_is_as_old_for_each_heir() {
        let (first, lease) = claim();
        assert_eq!(first.row_began(), Moment::PAST);
        let later = START.after(SECOND);
        let hand_on = |claim: &Claim, now| claim.hand_on(Ttl::MIN, lease, NodeSet::EMPTY, 3, now);
        let second = hand_on(&first, START);
        let third = hand_on(&second, later);
        assert_eq!((second.handed(), second.row_began()), (1, START));
        assert_eq!((third.handed(), third.row_began()), (2, START));
    }

    #[test]
    fn it_is_small_and_has_room_for_the_marks_of_any_number_of_nodes() {
        // A held lock takes this and the two counts in front of it.
        assert!(size_of::<Claim>() <= 88, "{}", size_of::<Claim>());
        // One with fencing numbers takes this more; one that is renewed, the second, too.
        assert!(size_of::<Extra>() <= 24, "{}", size_of::<Extra>());
        assert!(size_of::<Watch>() <= 88, "{}", size_of::<Watch>());
        let (_, lease) = claim();
        for nodes in [1, 5, 6, 64] {
            let key = Key::new(b"", b"k").unwrap();
            let token = Token::from_bytes("t").unwrap();
            let claim = Claim::new(key, token, Ttl::MIN, lease, nodes);
            assert_eq!(claim.suspects(), NodeSet::first(nodes));
            let last = NodeId::all(nodes).last().unwrap();
            claim.note_grant(last, SECOND);
            assert_eq!(claim.granted(), NodeSet::EMPTY.with(last));
            assert!(claim.latency(last).unwrap() > SECOND * 99 / 100);
        }
    }

    #[test]
    fn it_shows_no_token() {
        assert!(!format!("{:?}", claim().0).contains("s3cret"));
    }
}
