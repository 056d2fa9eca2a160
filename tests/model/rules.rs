//! The rules that can be turned off, each by a mutant that the properties must notice.

/// A wrong turn. Its name is that of the table in `docs/testing.md`. Only the list in
/// `mutants` makes one, so that the compiler warns of a mutant that is not played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A node takes a number that equals its fence.
    M1,
    /// An heir keeps the number of the holder before it.
    M2,
    /// An unfenced lock is handed to a fenced heir without comparing the number.
    M3,
    /// Votes of two numbers are added up.
    M4,
    /// Healing sets the fence to the holder's number, even where that lowers it.
    M5,
    /// A release in doubt leaves no tombstone.
    M6,
    /// Its tombstone is the number that the holder showed, not the highest it sent.
    M7,
    /// A node that lacks the key is healed whatever its fence.
    H1,
    /// It is healed if its fence is not above the holder's number.
    H2,
    /// A plain heir heals as a plain client does, and one burial is enough.
    X4,
    /// One burial is enough although a plain acquire is adrift.
    X4c,
    /// A call has the lock by one vote.
    OneVote,
    /// Beyond the assumptions: a node forgets its fence.
    Forgets,
}

/// The rules, but for at most one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules(pub Option<Mutant>);

impl Rules {
    pub fn broken(self, mutant: Mutant) -> bool {
        self.0 == Some(mutant)
    }

    /// Whether healing is a script of its own that carries the holder's number.
    pub fn heals_by_the_old_number(self) -> bool {
        matches!(self.0, Some(Mutant::M5 | Mutant::H1 | Mutant::H2))
    }

    /// Whether a request may come through although its number is not above the fence,
    /// or was not when it last was looked at.
    pub fn fences_may_fall(self) -> bool {
        matches!(self.0, Some(Mutant::M5 | Mutant::Forgets))
    }
}
