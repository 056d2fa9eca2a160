//! What a holder learns of its lock without asking, and how the driver keeps the lock
//! for it.
//!
//! This module holds state and decides nothing: `engine::keep` says when to renew a
//! lock, and the claim says when the lock has ended.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use once_cell::race::OnceBox;
use tokio_util::sync::CancellationToken;

use super::{
    Claim,
    marks::{self, More},
};
use crate::{
    error::Error,
    protocol::{Due, Moment, Number},
};

/// State that most locks do without. It is small, since there may be very many locks
/// that are renewed.
#[derive(Default)]
pub(crate) struct Watch {
    /// See [`Claim::age`].
    pub(crate) age: AtomicU32,
    /// See [`Claim::handed`].
    pub(crate) handed: AtomicU32,
    /// See [`Claim::row_began`].
    pub(crate) row_began: AtomicU64,
    keeping: Mutex<Keeping>,
    rare: OnceBox<Rare>,
}

/// What a claim has no room for: its fencing numbers, and its [`Watch`]. A lock with numbers that is
/// neither renewed nor watched does without the latter.
#[derive(Default)]
pub(super) struct Extra {
    /// The number that the holder shows; zero stands for none. Its first bit is
    /// [`NOT_BURIED`].
    fence: AtomicU64,
    /// The highest number that any message of this token has carried; zero stands for none.
    sent: AtomicU64,
    watch: OnceBox<Watch>,
}

/// Something without a number may arrive late, or a node does not bury. No number is so large.
const NOT_BURIED: u64 = 1 << 63;

/// State that most of the locks with a [`Watch`] do without.
#[derive(Default)]
struct Rare {
    more: OnceLock<More>,
    ended: OnceLock<CancellationToken>,
    heir: OnceLock<Arc<Claim>>,
    warning: Mutex<Option<Arc<Error>>>,
    /// For how many milliseconds the servers keep the key beyond the ttl.
    grace: AtomicU32,
}

/// How a lock is kept.
#[derive(Default)]
pub(crate) struct Keeping {
    /// The lock's place in the driver's schedule.
    pub(crate) due: Option<Due>,
    renewal: Renewal,
    /// Whether the driver says when the lock ends.
    is_watched: bool,
}

/// When to extend a lock, each time by its ttl.
#[derive(Clone, Copy, Default)]
pub(crate) struct Renewal {
    /// The interval in nanoseconds; zero if the lock is not renewed.
    every: u64,
    /// When to renew the lock next.
    pub(crate) at: Moment,
    /// From then on, the lock is left to run out.
    pub(crate) stop_at: Moment,
}

impl Renewal {
    pub(crate) fn every(span: Duration, stop_at: Moment) -> Self {
        // An interval of zero would mean that the lock is not renewed.
        let every = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { every, at: Moment::NEVER, stop_at }
    }

    pub(crate) fn interval(&self) -> Duration {
        Duration::from_nanos(self.every)
    }
}

impl Keeping {
    pub(crate) fn renewal(&mut self) -> Option<&mut Renewal> {
        Some(&mut self.renewal).filter(|renewal| renewal.every > 0)
    }

    /// Notes that the lock is to be watched, and renewed if there is a `renewal`. Says
    /// whether that is news to the driver. A lock that is renewed already is left as it
    /// is.
    pub(crate) fn keep(&mut self, renewal: Option<Renewal>) -> bool {
        let renews = renewal.filter(|_| self.renewal.every == 0);
        if let Some(renewal) = renews {
            self.renewal = renewal;
        }
        !std::mem::replace(&mut self.is_watched, true) || renews.is_some()
    }
}

impl Watch {
    /// Makes room for the marks that the claim has no room for, with `nodes` in all.
    pub(crate) fn add_marks(&self, nodes: usize) {
        self.rare().more.get_or_init(|| marks::more(nodes));
    }

    pub(super) fn grace(&self) -> u32 {
        self.rare.get().map_or(0, |rare| rare.grace.load(Relaxed))
    }

    pub(super) fn set_grace(&self, millis: u32) {
        self.rare().grace.store(millis, Relaxed);
    }

    /// The marks of the nodes that have none in the claim.
    pub(crate) fn marks(&self) -> Option<&More> {
        self.rare.get()?.more.get()
    }

    /// A token that [`Self::tell`] cancels. If anyone else cancels it, nothing happens.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.rare().ended.get_or_init(CancellationToken::new).child_token()
    }

    pub(crate) fn tell(&self) {
        if let Some(ended) = self.rare.get().and_then(|rare| rare.ended.get()) {
            ended.cancel();
        }
    }

    pub(crate) fn keeping<R>(&self, change: impl FnOnce(&mut Keeping) -> R) -> R {
        change(&mut self.keeping.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The heir to which the lock was handed on; the one that `make` makes if there was
    /// none.
    pub(crate) fn hand_on(&self, make: impl FnOnce() -> Arc<Claim>) -> &Arc<Claim> {
        self.rare().heir.get_or_init(make)
    }

    pub(crate) fn heir(&self) -> Option<&Arc<Claim>> {
        self.rare.get()?.heir.get()
    }

    /// Why the last renewal failed; `None` if it did not.
    pub(crate) fn warning(&self) -> Option<Arc<Error>> {
        let warning = &self.rare.get()?.warning;
        warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn warn(&self, error: Option<Error>) {
        if error.is_some() || self.rare.get().is_some() {
            let warning = &self.rare().warning;
            *warning.lock().unwrap_or_else(PoisonError::into_inner) = error.map(Arc::new);
        }
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }
}

impl Claim {
    /// The fencing number of the lock, if it has one.
    pub(crate) fn fence(&self) -> Option<Number> {
        Number::new(self.extra.get()?.fence.load(Relaxed) & !NOT_BURIED)
    }

    /// The lock was won, or handed on, with this number.
    pub(crate) fn set_fence(&self, number: Number) {
        let fence = &self.extra().fence;
        fence.store(fence.load(Relaxed) & NOT_BURIED | number.get(), Relaxed);
        self.note_sent(number);
    }

    /// The highest number that any message of this token has carried, whoever held the lock.
    pub(crate) fn sent(&self) -> Option<Number> {
        Number::new(self.extra.get()?.sent.load(Relaxed))
    }

    pub(crate) fn note_sent(&self, number: Number) {
        // What was sent before the first number had none.
        if self.sent().is_none() && !self.adrift().is_empty() {
            self.note_not_buried();
        }
        self.extra().sent.fetch_max(number.get(), Relaxed);
    }

    /// To bury what may arrive late is not enough: some of it has no number.
    pub(crate) fn note_not_buried(&self) {
        self.extra().fence.fetch_or(NOT_BURIED, Relaxed);
    }

    pub(crate) fn is_not_buried(&self) -> bool {
        self.extra.get().is_some_and(|extra| extra.fence.load(Relaxed) & NOT_BURIED != 0)
    }

    fn extra(&self) -> &Extra {
        self.extra.get_or_init(Box::default)
    }

    /// How many releases the holder had waited for.
    pub(crate) fn age(&self) -> u32 {
        self.watched().map_or(0, |watch| watch.age.load(Relaxed))
    }

    pub(crate) fn note_age(&self, age: u32) {
        if age > 0 {
            self.watch().age.store(age, Relaxed);
        }
    }

    /// How many times in a row the lock was handed on, up to this claim.
    pub(crate) fn handed(&self) -> u32 {
        self.watched().map_or(0, |watch| watch.handed.load(Relaxed))
    }

    /// When the lock was handed on for the first time in this row; [`Moment::PAST`] if it
    /// was not.
    pub(crate) fn row_began(&self) -> Moment {
        let began = self.watched().map_or(0, |watch| watch.row_began.load(Relaxed));
        Moment::from_nanos(began)
    }

    /// Lets `change` look at, or change, how the lock is kept.
    pub(crate) fn keeping<R>(&self, change: impl FnOnce(&mut Keeping) -> R) -> R {
        self.watch().keeping(change)
    }

    /// Takes out the lock's place in the driver's schedule, if it has one.
    pub(crate) fn take_due(&self) -> Option<Due> {
        self.watched()?.keeping(|keeping| keeping.due.take())
    }

    /// Why the last renewal failed; `None` if it did not.
    pub(crate) fn warning(&self) -> Option<Arc<Error>> {
        self.watched()?.warning()
    }

    pub(crate) fn warn(&self, error: Option<Error>) {
        if error.is_some() || self.watched().is_some() {
            self.watch().warn(error);
        }
    }

    pub(super) fn watch(&self) -> &Watch {
        self.extra().watch.get_or_init(Box::default)
    }

    /// The claim's state beyond what most locks have, if it has any.
    pub(super) fn watched(&self) -> Option<&Watch> {
        self.extra.get()?.watch.get()
    }
}
