//! Wrong turns that the tests must notice: a check that cannot fail is no check.
//!
//! In every build but the simulator's (`--cfg redlock_sim`), [`is`] is the
//! constant `false` and nothing of this is compiled in. `docs/mutants.md` says
//! which run notices which of them; `make mutants` writes it.

/// Defines the wrong turns, each by what it does, its name, and, where seeds do
/// not notice it, its `Hunter`: `Name => Stepper`.
macro_rules! mutants {
    ($($(#[doc = $wrong:literal])+ $name:ident $(=> $hunter:ident)?,)+) => {
        /// One wrong turn.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(redlock_sim), expect(unreachable_pub, reason = "the simulator's to name"))]
        #[allow(dead_code, reason = "some are the in-memory node's, which not every build has")]
        pub enum Mutant {
            $($(#[doc = $wrong])+ $name,)+
        }

        #[cfg(redlock_sim)]
        impl Mutant {
            /// All of them, in the order in which they are defined.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The sentence that says what is wrong.
            pub const fn wrong_turn(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($wrong),+).trim_ascii(),)+
                }
            }

            /// The tests that must notice it.
            pub const fn hunter(self) -> Hunter {
                match self {
                    $(Self::$name => mutants!(@hunter $($hunter)?),)+
                }
            }
        }
    };
    (@hunter) => { Hunter::Seeds };
    (@hunter $hunter:ident) => { Hunter::$hunter };
}

mutants! {
    /// One vote fewer than a majority is enough.
    QuorumMinusOne,
    /// Nodes that could not answer are left out of the count.
    QuorumOfTheReachable,
    /// A lock's validity begins with the verdict, and not before the first byte is sent.
    ValidityFromTheEnd,
    /// Nothing is taken off for clocks that disagree.
    DriftIgnored,
    /// A rollback goes only to nodes whose grant has arrived.
    RollbackOfGrantsOnly,
    /// A lock that was won for a caller that is gone is left to that caller.
    RollbackByTheCaller,
    /// A guard's drop does nothing.
    DropWithoutRelease,
    /// A broken connection counts as a refusal.
    LostIsNo,
    /// An acquire whose connection broke is not expected to arrive any more.
    LateAcquireForgotten,
    /// A node where an acquire may still arrive is not asked to release once more at
    /// the moment from which on it can't.
    LastLookForgotten => Stepper,
    /// A node that did not confirm a release is not asked again.
    ReleaseOnce,
    /// A release deletes the key, also when it has another's token.
    ReleaseWithoutCompare,
    /// The reply to a release's `PUBLISH` is taken for the next command's reply.
    NewsIsAnAnswer,
    /// A release that too few nodes confirmed is reported as `Released`.
    UnconfirmedIsReleased,
    /// An extension sets the key, also when it has another's token.
    ExtendWithoutCompare,
    /// An extension counts nodes where the key is gone.
    MissingKeyIsAVote,
    /// An extension that came after the deadline counts.
    ExtendPastTheDeadline,
    /// An extension that is answered after the lock was let go of makes it held again.
    ReleasedIsExtended,
    /// A lock that was reported as lost is held again.
    LostIsHeld,
    /// All attempts of a client use one token.
    TokenReused,
    /// A round that silent nodes decided is reported as contended.
    SilenceIsContention,
    /// A wait does not end.
    WaitWithoutEnd,
    /// The number of commands in flight to a node is not bounded.
    UnboundedInFlight,
    /// Commands that wait for a connection are sent in another order, and none
    /// of them is taken back.
    ReconnectReorders,
    /// A write that the socket took in part counts as written in full.
    PartialWrite,
    /// A release does not check whether the lock was still ours.
    ExpiredIsReleased,
    /// An extension does not lengthen the time for which a key may be left behind.
    ExtensionForgotten,
    /// A task that watches a lock is not notified of its end.
    LostIsNotTold,
    /// A client that was shut down goes on acquiring.
    ClosedStillAcquires,
    /// A shutdown waits for nothing.
    ShutdownAtOnce,
    /// An acquire without a limit waits for nodes that are gone.
    ForeverWithoutEnd,
    /// An operation that is over is not removed.
    OperationsPileUp,
    /// A wait whose last attempt was cut short does not report what came before.
    CutShortForgetsWhy,
    /// A node that was not waited for is reported as silent.
    UnawaitedIsSilence,
    /// A node that was healed is not released.
    HealingForgotten,
    /// A lock is handed on although the extension for it failed.
    HandsOnTheLost,
    /// The heir of a hand-over releases only the nodes that granted it the key itself.
    HeirForgetsNodes,
    /// Votes that were kept after a split are not given back.
    KeptVotesStay,
    /// A node that is asked again after a split is not released.
    InsistingForgotten,
    /// The lease starts anew when a node is asked again after a split.
    InsistingRestartsTheLease,
    /// Any value that was seen behind a refusal is taken for a holder's.
    SplitIsAHolder,
    /// What stays at a node from look to look is passed over, also where no quorum is left
    /// without it.
    InsistingIsStale => Stepper,
    /// A value that is on a quorum right after a split is taken for a holder's at once.
    FirstLookIsBelieved => Stepper,
    /// A client that was paused takes a node for silent whose answer it has not read yet.
    LateIsSilent => Stepper,
    /// An attempt that is taken back publishes nothing, also where a quorum may have had its
    /// value.
    RollbackTellsNobody => Stepper,
    /// A lock that was won, and may be another's by now, is taken back where a node is found to
    /// have its key that had denied that.
    WonIsTakenBack => Stepper,
    /// A waiter that has seen less than a quorum of nodes goes on asking one of them.
    FewAreEnough => Stepper,
    /// Of two that insist on their votes, neither gives way.
    ValuesDecideNothing => Stepper,
    /// The release of any holder is taken to be published.
    StrangersAreTrusted,
    /// A waiter whose listening connections are lost goes on as if it heard of releases.
    DeafStillTrusts,
    /// A waiter that is told of a release by less than a quorum goes on waiting as if
    /// nobody had told it.
    FewTellNothing => Stepper,
    /// Who tries again asks all nodes at once, and not the home node alone.
    AllAskAll,
    /// A waiter that listens for a release never looks by itself.
    NoPollingFloor,
    /// When the first waiter in a line gives up, the next is not notified.
    LineStandsStill,
    /// The wait of a waiter in a line does not end.
    PatienceForgotten,
    /// A waiter that joins a line goes to the front.
    LastComeFirstServed,
    /// A fencing number does not go above those that nodes have told of.
    SeenIsForgotten,
    /// A fencing number is above those that nodes have told of, and no wall clock is asked.
    WallClockIsIgnored,
    /// Votes for two fencing numbers are added up.
    NumbersAreMixed,
    /// A node's vote for an earlier fencing number counts for the present one.
    OwedIsCounted => Stepper,
    /// The next holder of a lock that is handed on has the number of the one before.
    HeirKeepsTheNumber,
    /// What a node has granted by an earlier fencing number is not released.
    EarlierVotesStay,
    /// Who has the lower fencing number goes on with no higher one.
    NoHigherNumber,
    /// A lock is handed on though the next holder's fencing number is not above the nodes'.
    HandsOnUncompared,
    /// A hand-over that is refused for its fencing number is taken to find the key gone.
    StaleIsGone,
    /// What may arrive late is buried with the number that the holder shows, and not with the
    /// highest that was sent.
    HoldersNumberIsBuried => Stepper,
    /// A burial is taken to stop what carries no fencing number, too.
    PlainCountsAsBuried => Stepper,
    /// What may arrive late with a fencing number is released and not buried, and one answer is
    /// taken to be final.
    NothingIsBuried => Stepper,
    /// A node is healed by the holder's own fencing number, and lets it pass where its fence is
    /// the same.
    HealsWithTheSameNumber => Stepper,
    /// A server that refuses to write is kept as the node.
    ReadonlyKeepsConnection,
    /// A server that says it is a replica has a vote.
    ReplicaVotes,
    /// A login that is cut counts as one that was refused.
    CutLoginIsRefusal,
    /// A server that hangs up when it is greeted is greeted again and again.
    GreetsForEver,
    /// What a name led to once is not looked up again.
    NameIsKept,
    /// A strict node that has forgotten grants at once.
    NotStrict,
    /// A quarantine is a tenth shorter than the longest that a key lives.
    ShortQuarantine,
    /// A quarantine counts the longest ttl alone, and no grace.
    QuarantineWithoutGrace,
    /// A strict node takes any epoch for its own, whichever process wrote it.
    AnyEpoch,
    /// A strict node without an epoch is taken for a new one.
    NoEpochIsNew,
    /// The epoch is looked at until a connection was granted a lock, and then no more.
    LooksOnConnect,
    /// What waits for a connection goes with the name of the process that answered before.
    OldProcessIsTold,
    /// A client does not learn which process a strict node is.
    ProcessIsNotLearned,
    /// Each question that comes in quarantine lets it begin anew.
    QuarantineBeginsAnew,
    /// A quarantine ends when the clock says so that was put back meanwhile.
    PutBackStays,
    /// A node in quarantine extends nothing.
    QuarantineStopsExtensions,
    /// A node in quarantine is not healed.
    QuarantineStopsHealing,
    /// A key that an extension did not find is set again by it, and counts for it.
    HealedCounts,
    /// Keys are set without the grace.
    KeysWithoutGrace,
    /// An extension lets keys live on without the grace.
    ExtensionWithoutGrace,
    /// A holder believes for as long as its keys live.
    BelievesInGrace,
    /// A key is taken to be gone when its ttl is over, and its grace is not.
    GoneWithoutGrace => Stepper,
    /// A lock is handed on though its key lives longer than the next holder asks for, since the
    /// grace is left out of the count.
    HandsOnMoreGrace => Stepper,
}

/// The tests that must notice a wrong turn.
#[cfg(redlock_sim)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hunter {
    /// Simulated runs: one of the first 30,000 seeds of level a.
    Seeds,
    /// Unit tests that step the engine by hand. Seeds may notice it too.
    Stepper,
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
    //! The wrong turn that is being tried on this thread.
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static CHOSEN: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn is(mutant: Mutant) -> bool {
        CHOSEN.get() == Some(mutant)
    }

    /// From now on, this thread takes this wrong turn, or none.
    pub fn choose(mutant: Option<Mutant>) {
        CHOSEN.set(mutant);
    }
}
