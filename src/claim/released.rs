//! The word that says what a release found. It is public and does nothing.

/// What a release found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Released {
    /// The lock was ours until now, as far as the nodes could tell. A majority
    /// of them is known not to hold it any more, or the next task of this client
    /// that waited for it has it.
    Released,
    /// The lock had ended before: its deadline had passed, or its key was gone.
    /// Another may have held it since, so check what was done under it.
    AlreadyExpired,
}
