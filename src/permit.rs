//! One of a bounded number of places. It never waits for one: where all are taken,
//! the caller is refused at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A place that was free; it is free again when this is dropped.
#[derive(Debug)]
#[must_use = "dropping a permit gives its place back"]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// Takes one of `most` places, of which `taken` counts those that are taken.
    ///
    /// A refused call counts itself for a moment, too. Another call may then be refused
    /// although a place has just come free, but no more than `most` are ever given.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let permit = Self(Arc::clone(taken));
        (taken.fetch_add(1, Relaxed) < most).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn permits_are_as_many_as_allowed_and_come_free_when_dropped() {
        let taken = Arc::default();
        assert!(Permit::take(&taken, 0).is_none());
        let (first, second) = (Permit::take(&taken, 2), Permit::take(&taken, 2));
        assert!(first.is_some() && second.is_some() && Permit::take(&taken, 2).is_none());
        assert_eq!(taken.load(Relaxed), 2, "a refused call leaves no trace");
        drop(first);
        assert!(Permit::take(&taken, 2).is_some());
        drop(second);
        assert_eq!(taken.load(Relaxed), 0);
    }

    #[test]
    fn many_threads_are_given_no_more_than_there_are() {
        const MOST: usize = 3;
        let taken = Arc::default();
        let take = || (0..1000).filter_map(|_| Permit::take(&taken, MOST)).collect::<Vec<_>>();
        let given: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * MOST).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(given.len(), MOST);
        drop(given);
        assert_eq!(taken.load(Relaxed), 0);
    }
}
