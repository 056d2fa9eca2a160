//! What is due when: a heap of moments, with ties in order of arrival.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::protocol::Moment;

/// Things to do, each at its moment.
pub(super) struct Schedule<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

struct Entry<T> {
    at: Moment,
    number: u64,
    what: T,
}

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, what: T) {
        self.heap.push(Reverse(Entry { at, number: self.next, what }));
        self.next = self.next.wrapping_add(1);
    }

    /// Takes the first thing that is due.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<T> {
        (self.peek()? <= now).then(|| self.heap.pop())?.map(|Reverse(entry)| entry.what)
    }

    /// When the first thing is due.
    pub(super) fn peek(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes everything, in no order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.heap.drain().map(|Reverse(entry)| entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_when_due_and_ties_in_order() {
        let mut schedule = Schedule::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            schedule.push(Moment::from_nanos(at), what);
        }
        assert_eq!(schedule.pop_due(Moment::PAST), None);
        assert_eq!(schedule.peek(), Some(Moment::from_nanos(1)));
        let due: String = std::iter::from_fn(|| schedule.pop_due(Moment::from_nanos(5))).collect();
        assert_eq!(due, "abcd");
        assert_eq!(schedule.peek(), None);
    }
}
