//! Wrong turns, one line each, that the simulator must notice: a check that
//! cannot fail is no check.
//!
//! In every build but the simulator's (`--cfg redlock_sim`), [`is`] is the
//! constant `false` and nothing of this is compiled in. How each one dies is
//! in `docs/testing.md`.

/// One wrong turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(redlock_sim), expect(unreachable_pub, reason = "the simulator's to name"))]
pub enum Mutant {
    /// One vote fewer than a majority is enough.
    QuorumMinusOne,
    /// Nodes that could not answer are left out of the count.
    QuorumOfTheReachable,
    /// Held from the verdict on, and not from before the first byte.
    ValidityFromTheEnd,
    /// Nothing is taken off for clocks that disagree.
    DriftIgnored,
    /// A rollback goes only where the grant was heard of.
    RollbackOfGrantsOnly,
    /// A lock that was won for a caller who is gone is left to him.
    RollbackByTheCaller,
    /// A guard's drop does nothing.
    DropWithoutRelease,
    /// A broken connection is taken for a "no".
    LostIsNo,
    /// An acquire that broke off is not expected to arrive any more.
    LateAcquireForgotten,
    /// A node that did not confirm a release is not asked again.
    ReleaseOnce,
    /// A release deletes the key, whoever's it is.
    ReleaseWithoutCompare,
    /// The reply to a release's news is taken for the next command's.
    NewsIsAnAnswer,
    /// A release that too few nodes confirmed is said to be one.
    UnconfirmedIsReleased,
    /// An extension sets the key, whoever's it is.
    ExtendWithoutCompare,
    /// An extension counts nodes where the key is gone.
    MissingKeyIsAVote,
    /// An extension that came after the deadline counts.
    ExtendPastTheDeadline,
    /// A lock that was said to be lost is held again.
    LostIsHeld,
    /// All attempts of a client use one token.
    TokenReused,
    /// Silence is taken for another holder.
    SilenceIsContention,
    /// A wait does not end.
    WaitWithoutEnd,
    /// What is on its way to a node is not bounded.
    UnboundedInFlight,
    /// What waits for a connection is sent in another order, and nothing is
    /// taken out of it.
    ReconnectReorders,
    /// A socket that took a part is taken to have taken all.
    PartialWrite,
    /// A release does not look whether the lock was still ours.
    ExpiredIsReleased,
    /// An extension is not remembered as lengthening what may be left behind.
    ExtensionForgotten,
    /// Whoever watches a lock is not told of its end.
    LostIsNotTold,
    /// A client that was shut down goes on acquiring.
    ClosedStillAcquires,
    /// A shutdown waits for nothing.
    ShutdownAtOnce,
    /// An acquire without a limit waits for nodes that are gone.
    ForeverWithoutEnd,
    /// What is over is not removed.
    OperationsPileUp,
    /// A wait whose last attempt was cut short does not say what came before.
    CutShortForgetsWhy,
    /// A node that refused after the verdict is said to be silent.
    LateRefusalIsSilence,
    /// A node that was healed is not released.
    HealingForgotten,
    /// A lock is handed on although the extension for it failed.
    HandsOnTheLost,
    /// Who gets a lock handed on releases only what it was granted itself.
    HeirForgetsNodes,
    /// Votes that were kept after a split are not given back.
    KeptVotesStay,
    /// A node that is asked again after a split is not released.
    InsistingForgotten,
    /// Asking again after a split counts as a fresh start of the lease.
    InsistingRestartsTheLease,
    /// Who listens for a release never looks by itself.
    NoPollingFloor,
    /// When the first in line gives up, the next is not told.
    LineStandsStill,
    /// In a line, nobody's patience ends.
    PatienceForgotten,
    /// Who comes to a line goes to the front.
    LastComeFirstServed,
}

/// Whether `mutant` is what is being tried.
#[cfg(not(redlock_sim))]
pub(crate) const fn is(_mutant: Mutant) -> bool {
    false
}

#[cfg(redlock_sim)]
pub(crate) use chosen::is;

#[cfg(redlock_sim)]
pub(crate) mod chosen {
    //! Which one is being tried, on this thread.
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }

    /// Takes this wrong turn from now on, or none.
    pub fn choose(mutant: Option<Mutant>) {
        CHOSEN.set(mutant);
    }

    impl Mutant {
        /// All of them.
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
