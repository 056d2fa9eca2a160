//! What is due when: moments in order, with ties in order of arrival.

use std::collections::BTreeMap;

use crate::protocol::Moment;

/// Things to do, each at its moment.
pub(super) struct Schedule<T> {
    entries: BTreeMap<Due, T>,
    next: u64,
}

/// An entry's name, by which it can be taken out before it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Moment,
    number: u64,
}

impl<T> Schedule<T> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), next: 0 }
    }

    pub(super) fn push(&mut self, at: Moment, what: T) -> Due {
        let due = Due { at, number: self.next };
        self.next = self.next.wrapping_add(1);
        self.entries.insert(due, what);
        due
    }

    /// Takes an entry out, if it is there still.
    pub(super) fn cancel(&mut self, due: Due) -> Option<T> {
        self.entries.remove(&due)
    }

    /// Takes the first thing that is due.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<T> {
        (self.peek()? <= now).then(|| self.entries.pop_first())?.map(|(_, what)| what)
    }

    /// When the first thing is due.
    pub(super) fn peek(&self) -> Option<Moment> {
        self.entries.first_key_value().map(|(due, _)| due.at)
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

    #[test]
    fn what_is_taken_out_does_not_come() {
        let mut schedule = Schedule::new();
        let first = schedule.push(Moment::from_nanos(1), 'a');
        schedule.push(Moment::from_nanos(1), 'b');
        assert_eq!(schedule.cancel(first), Some('a'));
        assert_eq!(schedule.cancel(first), None, "only once");
        assert_eq!(schedule.pop_due(Moment::from_nanos(1)), Some('b'));
    }
}
