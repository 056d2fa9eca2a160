//! What is due when: moments in order, with ties in order of arrival.
//!
//! Most of what is filed is a timeout that comes after all that were filed
//! before it, and is taken out long before it is due. So those stand in a queue,
//! where both are one step; what is due before the last in it is in a tree.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    num::NonZeroU64,
};

use super::Moment;

/// Above this much unused room, the queue gives it back when it is empty.
const KEEP: usize = 1024;

/// Things to do, each at its moment.
pub(crate) struct Schedule<T> {
    /// In order. What was taken out leaves its place, but for the first.
    queue: VecDeque<(Due, Option<T>)>,
    /// How many places are empty.
    empty: usize,
    /// The place of the first in the queue, counted from the first that ever
    /// was there.
    first: u64,
    tree: BTreeMap<Due, T>,
    next: NonZeroU64,
}

/// An entry's name, by which it can be taken out before it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Moment,
    /// By which ties are in order of arrival.
    number: NonZeroU64,
    /// In the queue, if it is there.
    place: Option<NonZeroU64>,
}

impl<T: fmt::Debug> fmt::Debug for Schedule<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queued = self.queue.iter().filter_map(|(due, what)| Some((due, what.as_ref()?)));
        let mut filed: Vec<_> = queued.chain(&self.tree).collect();
        filed.sort_unstable_by_key(|(due, _)| **due);
        f.debug_map().entries(filed.into_iter().map(|(due, what)| (due.at, what))).finish()
    }
}

impl Due {
    pub(crate) const fn at(&self) -> Moment {
        self.at
    }
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            empty: 0,
            first: 1,
            tree: BTreeMap::new(),
            next: NonZeroU64::MIN,
        }
    }

    pub(crate) fn push(&mut self, at: Moment, what: T) -> Due {
        let mut due = Due { at, number: self.next, place: None };
        self.next = self.next.checked_add(1).unwrap_or(NonZeroU64::MIN);
        if self.queue.back().is_none_or(|(last, _)| last.at <= at) {
            due.place = NonZeroU64::new(self.first.saturating_add(self.queue.len() as u64));
            self.queue.push_back((due, Some(what)));
        } else {
            self.tree.insert(due, what);
        }
        due
    }

    /// Takes an entry out, if it is there still.
    pub(crate) fn cancel(&mut self, due: Due) -> Option<T> {
        let queued = due.place.and_then(|place| {
            let index = usize::try_from(place.get().checked_sub(self.first)?).ok()?;
            self.queue.get_mut(index)?.1.take()
        });
        if queued.is_some() {
            self.empty = self.empty.saturating_add(1);
            self.trim();
            return queued;
        }
        self.tree.remove(&due)
    }

    /// Takes the first thing that is due.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<T> {
        if self.peek()? > now {
            return None;
        }
        let queued = self.queue.front().map(|(due, _)| *due);
        let in_tree = self.tree.first_key_value().map(|(due, _)| *due);
        if queued.is_none_or(|queued| in_tree.is_some_and(|in_tree| in_tree < queued)) {
            return self.tree.pop_first().map(|(_, what)| what);
        }
        let what = self.queue.front_mut()?.1.take();
        self.empty = self.empty.saturating_add(1);
        self.trim();
        what
    }

    /// When the first thing is due.
    pub(crate) fn peek(&self) -> Option<Moment> {
        let queued = self.queue.front().map(|(due, _)| due.at);
        let in_tree = self.tree.first_key_value().map(|(due, _)| due.at);
        queued.into_iter().chain(in_tree).min()
    }

    /// Removes the places in front that nothing is in; and all of them where
    /// one that is far off would keep too many behind it.
    fn trim(&mut self) {
        while self.queue.front().is_some_and(|(_, what)| what.is_none()) {
            self.leave_front();
        }
        if self.empty > KEEP.max(self.queue.len() / 2) {
            while let Some((due, what)) = self.leave_front() {
                what.into_iter().for_each(|what| drop(self.tree.insert(due, what)));
            }
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(KEEP);
        }
    }

    /// No place is given twice.
    fn leave_front(&mut self) -> Option<(Due, Option<T>)> {
        let front = self.queue.pop_front()?;
        self.first = self.first.saturating_add(1);
        if front.1.is_none() {
            self.empty = self.empty.saturating_sub(1);
        }
        Some(front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn things_come_when_due_and_ties_in_order() {
        let mut schedule = Schedule::new();
        for (nanos, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            schedule.push(at(nanos), what);
        }
        assert_eq!(schedule.pop_due(Moment::PAST), None);
        assert_eq!(schedule.peek(), Some(at(1)));
        let due: String = std::iter::from_fn(|| schedule.pop_due(at(5))).collect();
        assert_eq!(due, "abcd");
        assert_eq!(schedule.peek(), None);
    }

    #[test]
    fn what_is_taken_out_does_not_come() {
        let mut schedule = Schedule::new();
        let first = schedule.push(at(1), 'a');
        schedule.push(at(1), 'b');
        assert_eq!(schedule.cancel(first), Some('a'));
        assert_eq!(schedule.cancel(first), None, "only once");
        assert_eq!(schedule.pop_due(at(1)), Some('b'));
    }

    #[test]
    fn one_that_is_far_off_keeps_no_places_behind_it() {
        let mut schedule = Schedule::new();
        let far = schedule.push(at(1_000_000), 0);
        let kept = schedule.push(at(1_000_001), 1);
        for what in 2..100_000 {
            let due = schedule.push(at(1_000_000 + what), what);
            assert_eq!(schedule.cancel(due), Some(what));
            assert!(schedule.queue.len() <= 2 * KEEP + 2);
        }
        assert_eq!(schedule.cancel(far), Some(0), "it is found where it is now");
        assert_eq!(schedule.cancel(far), None);
        assert_eq!(schedule.pop_due(Moment::NEVER), Some(1));
        assert_eq!(schedule.cancel(kept), None);
        assert_eq!(schedule.peek(), None);
    }

    #[test]
    fn whatever_is_filed_and_taken_out_the_rest_comes_in_order() {
        use rand::{RngExt as _, SeedableRng as _};
        let mut rng = rand::rngs::StdRng::seed_from_u64(6);
        for _ in 0..20 {
            let (mut schedule, mut filed) = (Schedule::new(), Vec::new());
            for what in 0..3000 {
                let due = schedule.push(at(rng.random_range(0..40)), what);
                filed.push((due, what));
                if rng.random_bool(0.5) {
                    let (due, what) = filed.swap_remove(rng.random_range(0..filed.len()));
                    assert_eq!(schedule.cancel(due), Some(what));
                }
                if rng.random_bool(0.1) {
                    filed.sort_unstable();
                    assert_eq!(schedule.peek(), filed.first().map(|(due, _)| due.at));
                }
            }
            filed.sort_unstable();
            let come: Vec<_> = std::iter::from_fn(|| schedule.pop_due(at(40))).collect();
            assert_eq!(come, filed.iter().map(|(_, what)| *what).collect::<Vec<_>>());
        }
    }
}
