//! The counter of one key: who wrote over what it had not read.

use std::collections::HashMap;

use super::Findings;
use crate::log::Write;

/// `ends` says until when each writer believed. `is_fenced` is a counter that compares numbers, with
/// which no excuse counts.
pub fn judge(
    writes: &[&Write],
    ends: &HashMap<(u32, u64), u64>,
    is_fenced: bool,
    findings: &mut Findings,
) {
    let is_late = |write: &Write| {
        ends.get(&(write.process, write.call)).is_some_and(|until| write.at > *until)
    };
    let accepted: Vec<_> = writes.iter().copied().filter(|write| write.accepted).collect();
    findings.accepted += accepted.len() as u64;
    findings.refused += (writes.len() - accepted.len()) as u64;
    for (place, write) in accepted.iter().enumerate() {
        if write.found == write.read {
            continue;
        }
        let between = accepted[..place].iter().rev().take_while(|other| other.at >= write.read_at);
        let excused = is_late(write) || between.into_iter().any(|other| is_late(other));
        if excused && !is_fenced {
            findings.lost_late += 1;
        } else {
            findings.lost += 1;
        }
    }
}
