//! What the library promises, and whether it held: the medians of all rounds, at
//! N = 5. Only of what was measured.

use redlock_quorum_benches::{contenders::Kind, report::Target, table::median};

use crate::{
    faults::p99_to_well,
    fenced,
    figures::{
        ACQUIRE, ALL_FAILED, ALL_KEYS_LEFT, ALLOCATED, Case, Figures, PAIRS_A_SECOND, Part,
        RESIDENT,
    },
    memory,
};

const NODES: usize = 5;

const OURS: [Kind; 2] = [Kind::Quorum, Kind::QuorumThread];

/// Who loses nothing.
const LOSSLESS: [Kind; 5] =
    [Kind::Quorum, Kind::QuorumThread, Kind::Fenced, Kind::Strict, Kind::StrictFenced];

pub fn targets(figures: &Figures, locks: usize) -> Vec<Target> {
    let latency = Case::new(Part::Latency, NODES, 1);
    let held = Case::new(Part::Memory, NODES, locks);
    let acquire = figures.ratios(latency, Kind::Quorum.name(), ACQUIRE.p50);
    let bytes = |name| figures.median(held, Kind::Quorum, name);
    let to_plain = |name, most, kind| {
        fenced::to_plain(figures, kind).map(|ratio| Target::at_most(name, most, ratio))
    };
    let hung = |kind| p99_to_well(figures, Part::Hung, NODES, kind);

    let mut targets = vec![
        acquire.map(|ratios| Target::at_most("acquire p50, × floor A", 0.7, median(&ratios))),
        pairs(figures, Kind::Quorum, 64, 1.2),
        pairs(figures, Kind::Quorum, 256, 1.4),
        pairs(figures, Kind::QuorumThread, 64, 1.7),
        pairs(figures, Kind::QuorumThread, 256, 1.9),
        bytes(ALLOCATED).map(|bytes| Target::at_most("allocated, bytes a lock", 150.0, bytes)),
        bytes(RESIDENT).map(|bytes| Target::at_most("resident, bytes a lock", 150.0, bytes)),
    ];
    targets.extend([
        to_plain("acquire p50, fenced × plain", 1.25, Kind::Fenced),
        to_plain("acquire p50, strict × plain", 1.3, Kind::Strict),
        to_plain("acquire p50, strict and fenced × plain", 1.35, Kind::StrictFenced),
        memory::fenced_less_plain(figures, held, ALLOCATED).map(|bytes| {
            Target::at_most("allocated, bytes a lock, fenced less plain", 24.0, bytes)
        }),
    ]);
    for kind in OURS {
        let name = with_placement("one node hung: acquire p99, × all well", kind);
        targets.push(hung(kind).map(|ratios| Target::at_most(&name, 2.0, median(&ratios))));
    }
    for (what, names) in [("calls that failed", &ALL_FAILED[..]), ("keys left", &ALL_KEYS_LEFT)] {
        let sum = figures.sum(names, |figure| LOSSLESS.map(Kind::name).contains(&figure.who));
        targets.push(Some(Target::none(&format!("{what}, all of ours"), sum as u64)));
    }
    targets.into_iter().flatten().collect()
}

fn pairs(figures: &Figures, kind: Kind, tasks: usize, least: f64) -> Option<Target> {
    let case = Case::new(Part::Tasks, NODES, tasks);
    let ratios = figures.ratios(case, kind.name(), PAIRS_A_SECOND)?;
    let name = with_placement(&format!("pairs a second at {tasks} tasks, × floor A"), kind);
    Some(Target::at_least(&name, least, median(&ratios)))
}

fn with_placement(name: &str, kind: Kind) -> String {
    match kind {
        Kind::QuorumThread => format!("{name}, own thread"),
        _ => name.to_owned(),
    }
}
