//! What must hold of fencing numbers. Whoever asks when another's call is over has the larger
//! number: whatever clocks say, while few nodes forget; and whatever nodes forget, while the clocks
//! agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    answers::Call,
    stage::Truth,
    trace::{Kind, Lane},
    violation::Check,
};

/// How far a clock runs from true time while a call lasts, in microseconds; and how far numbers
/// run ahead of a clock that gives several in one microsecond.
const SLACK: u64 = 50_000;

/// A number that a call was given.
#[derive(Clone, Copy)]
struct Given {
    begun: u64,
    done: u64,
    number: u64,
}

/// All numbers of a run, and what bounds them.
pub struct Numbers {
    given: BTreeMap<Vec<u8>, Vec<Given>>,
    /// The nodes that have forgotten which numbers they had seen.
    forgot: BTreeSet<usize>,
    /// How far the clients' wall clocks were behind true time and ahead of it, in microseconds.
    walls: (i64, i64),
}

impl Numbers {
    pub fn new(walls: impl IntoIterator<Item = i64>) -> Self {
        let walls: Vec<_> = walls.into_iter().collect();
        let (least, most) = (walls.iter().min(), walls.iter().max());
        let walls = (least.copied().unwrap_or(0), most.copied().unwrap_or(0));
        Self { given: BTreeMap::new(), forgot: BTreeSet::new(), walls }
    }

    /// A client's wall clock is so far ahead now.
    pub fn note_wall(&mut self, ahead: i64) {
        self.walls = (self.walls.0.min(ahead), self.walls.1.max(ahead));
    }

    /// A node has come back without all that it knew.
    pub fn note_forgot(&mut self, node: usize) {
        self.forgot.insert(node);
    }

    /// By how many microseconds a call must begin after another's end, so that the clocks alone
    /// give it the larger number.
    fn apart(&self) -> u64 {
        self.walls.1.abs_diff(self.walls.0) + SLACK
    }
}

impl Truth {
    /// A call has its lock. It has a number if it has `asked` for one, and that is in order.
    pub fn check_number(&mut self, call: &Call, asked: bool, number: Option<u64>) {
        if asked != number.is_some() {
            let what = format!("{} asked for a number: {asked}, and has {number:?}", call.what());
            return self.violate(Check::NoNumber, what);
        }
        let Some(number) = number else { return };
        let given = Given { begun: call.since(), done: self.now, number };
        self.trace.note(self.now, Lane::Client(call.client()), Kind::Answer, || {
            format!("number {number}")
        });
        self.counts.fenced += 1;
        let before = self.oracle.numbers.given.entry(call.key().to_vec()).or_default();
        let before = std::mem::take(before);
        for earlier in &before {
            self.check_order(*earlier, given);
        }
        let all = before.into_iter().chain([given]).collect();
        self.oracle.numbers.given.insert(call.key().to_vec(), all);
    }

    fn check_order(&mut self, earlier: Given, later: Given) {
        let (first, second) = (earlier.number, later.number);
        if first < second {
            return;
        }
        let numbers = &self.oracle.numbers;
        let spare = (2 * self.plan.quorum()).saturating_sub(self.plan.nodes.len() + 1);
        let remembered = numbers.forgot.len() <= spare;
        // At the slower level, hosts' times differ.
        let between = later.begun.saturating_sub(earlier.done + self.tick_nanos());
        let agreed = between / 1_000 > numbers.apart();
        let (check, holds) = if first == second {
            (Check::NumberTwice, remembered || agreed)
        } else if between > 0 {
            (Check::NumbersFall, remembered || agreed)
        } else {
            // They asked at the same time. The one that has got its lock has had it before the
            // other, so that a resource refuses a holder.
            (Check::HolderIsRefused, remembered && self.plan.within_assumptions())
        };
        if holds {
            let what = format!("a call was given {second}, after {first} before");
            self.violate(check, what);
        } else {
            *self.counts.counted.entry(check.to_string()).or_default() += 1;
        }
    }
}
