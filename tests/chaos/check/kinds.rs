//! What came when: which grants and which overlaps came after a fault of a kind and before the
//! next of any kind, and how many grants came in each part of a step.

use std::collections::BTreeMap;

use super::{History, holders::Holding};
use crate::{clock::nanos, fault::Kind, log::Note, mode::MAX_TTL};

/// What the clients of one mode did after the faults of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OfKind {
    pub faults: u64,
    pub grants: u64,
    /// Those within one longest ttl.
    pub soon: u64,
    pub overlaps: u64,
}

pub fn of(
    history: &History,
    holdings: &[Holding],
    meetings: &[u64],
) -> BTreeMap<&'static str, OfKind> {
    let mut strikes: Vec<(u64, Kind)> = Vec::new();
    for note in &history.notes {
        if let Note::Struck { kind, at, .. } = note {
            strikes.push((*at, *kind));
        }
    }
    let mut found: BTreeMap<_, OfKind> = BTreeMap::new();
    for (_, kind) in &strikes {
        found.entry(kind.name()).or_default().faults += 1;
    }
    // What came before the first fault followed none.
    let last_before = |at: u64| {
        let place = strikes.partition_point(|(struck, _)| *struck <= at).checked_sub(1)?;
        strikes.get(place).copied()
    };
    for holding in holdings {
        if let Some((at, kind)) = last_before(holding.from) {
            let of_kind = found.entry(kind.name()).or_default();
            of_kind.grants += 1;
            of_kind.soon += u64::from(holding.from <= at + nanos(MAX_TTL));
        }
    }
    for met in meetings {
        if let Some((_, kind)) = last_before(*met) {
            found.entry(kind.name()).or_default().overlaps += 1;
        }
    }
    found
}

/// How many grants came in each part of a step.
pub fn parts(history: &History, holdings: &[Holding]) -> Vec<u64> {
    let mut begins = vec![0];
    for note in &history.notes {
        if let Note::Part { at } = note {
            begins.push(*at);
        }
    }
    let mut grants = vec![0; begins.len()];
    for holding in holdings {
        grants[begins.partition_point(|begin| *begin <= holding.from) - 1] += 1;
    }
    grants
}
