//! Wrong turns, one line each, that the simulator must notice: a check that
//! cannot fail is no check.
//!
//! Only the simulator's build (`--cfg redlock_sim`) can take one. In every other
//! build [`is`] is the constant `false`, and nothing of this is compiled in.
//! `docs/testing.md` says which check notices each of them.

/// One wrong turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(redlock_sim), expect(unreachable_pub, reason = "the simulator's to name"))]
pub enum Mutant {
    /// One vote fewer than a majority is enough.
    QuorumMinusOne,
    /// Nodes that could not answer are left out of the count.
    QuorumOfTheReachable,
    /// A lease is counted from the verdict, and not from before the first byte.
    ValidityFromTheEnd,
    /// Nothing is taken off for clocks that disagree.
    DriftIgnored,
    /// A rollback asks only the nodes whose grant arrived.
    RollbackOfGrantsOnly,
    /// A lock that was won for a caller that is gone is not released.
    RollbackByTheCaller,
    /// A guard's drop does nothing.
    DropWithoutRelease,
    /// A broken connection counts as a refusal.
    LostIsNo,
    /// An acquire that was lost with its connection is not expected to arrive.
    LateAcquireForgotten,
    /// A node that did not confirm a release is not asked again.
    ReleaseOnce,
    /// A release deletes the key, whatever its token.
    ReleaseWithoutCompare,
    /// The reply to the publication of a release counts as the next command's.
    NewsIsAnAnswer,
    /// A release that too few nodes confirmed counts as confirmed.
    UnconfirmedIsReleased,
    /// An extension sets the key, whatever its token.
    ExtendWithoutCompare,
    /// A node where the key is gone counts as a vote for an extension.
    MissingKeyIsAVote,
    /// An extension that came after the deadline counts.
    ExtendPastTheDeadline,
    /// A lock that was reported lost is held again.
    LostIsHeld,
    /// All attempts of a client use one token.
    TokenReused,
    /// A node's silence counts as another holder.
    SilenceIsContention,
    /// A wait does not end.
    WaitWithoutEnd,
    /// The requests that are on their way to a node are not bounded.
    UnboundedInFlight,
    /// The requests that wait for a connection are sent in another order, and none
    /// is withdrawn.
    ReconnectReorders,
    /// A socket that took a part of a write counts as having taken it all.
    PartialWrite,
    /// A release does not check whether the lock was still ours.
    ExpiredIsReleased,
    /// An extension does not lengthen the time for which a key may be left behind.
    ExtensionForgotten,
    /// The end of a lock is not told to those that watch it.
    LostIsNotTold,
    /// A client that was shut down goes on acquiring.
    ClosedStillAcquires,
    /// A shutdown waits for nothing.
    ShutdownAtOnce,
    /// An acquire without a limit waits for nodes that are gone.
    ForeverWithoutEnd,
    /// An operation that is over is not removed.
    OperationsPileUp,
    /// A wait whose last attempt was cut short does not say what came before.
    CutShortForgetsWhy,
    /// A node that refused after the verdict is reported as silent.
    LateRefusalIsSilence,
    /// A release leaves out the nodes that were healed.
    HealingForgotten,
    /// A lock is handed on although the extension for it failed.
    HandsOnTheLost,
    /// An heir releases only the nodes that granted it the lock.
    HeirForgetsNodes,
    /// Votes that were kept after a split are not given back.
    KeptVotesStay,
    /// A release leaves out the nodes that were asked again after a split.
    InsistingForgotten,
    /// Asking again after a split counts as a fresh start of the lease.
    InsistingRestartsTheLease,
    /// A waiter that listens for releases never tries without one.
    NoPollingFloor,
    /// When the first in line gives up, the next is not told.
    LineStandsStill,
    /// The patience of a waiter in line does not end.
    PatienceForgotten,
    /// A new waiter goes to the front of the line.
    LastComeFirstServed,
}

/// Whether `mutant` is being tried.
#[cfg(not(redlock_sim))]
pub(crate) const fn is(_mutant: Mutant) -> bool {
    false
}

#[cfg(redlock_sim)]
pub(crate) use chosen::is;

#[cfg(redlock_sim)]
pub(crate) mod chosen {
    //! The mutant that is being tried on this thread.
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }

    /// Chooses the wrong turn to take from now on, or none.
    pub fn choose(mutant: Option<Mutant>) {
        CHOSEN.set(mutant);
    }

    impl Mutant {
        /// All mutants.
        pub const ALL: [Self; 42] = [
            Self::QuorumMinusOne,
            Self::QuorumOfTheReachable,
            Self::ValidityFromTheEnd,
            Self::DriftIgnored,
            Self::RollbackOfGrantsOnly,
            Self::RollbackByTheCaller,
            Self::DropWithoutRelease,
            Self::LostIsNo,
            Self::LateAcquireForgotten,
            Self::ReleaseOnce,
            Self::ReleaseWithoutCompare,
            Self::NewsIsAnAnswer,
            Self::UnconfirmedIsReleased,
            Self::ExtendWithoutCompare,
            Self::MissingKeyIsAVote,
            Self::ExtendPastTheDeadline,
            Self::LostIsHeld,
            Self::TokenReused,
            Self::SilenceIsContention,
            Self::WaitWithoutEnd,
            Self::UnboundedInFlight,
            Self::ReconnectReorders,
            Self::PartialWrite,
            Self::ExpiredIsReleased,
            Self::ExtensionForgotten,
            Self::LostIsNotTold,
            Self::ClosedStillAcquires,
            Self::ShutdownAtOnce,
            Self::ForeverWithoutEnd,
            Self::OperationsPileUp,
            Self::CutShortForgetsWhy,
            Self::LateRefusalIsSilence,
            Self::HealingForgotten,
            Self::HandsOnTheLost,
            Self::HeirForgetsNodes,
            Self::KeptVotesStay,
            Self::InsistingForgotten,
            Self::InsistingRestartsTheLease,
            Self::NoPollingFloor,
            Self::LineStandsStill,
            Self::PatienceForgotten,
            Self::LastComeFirstServed,
        ];
    }
}
