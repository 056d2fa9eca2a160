//! The offline checker: from what clients and the supervisor have written down it
//! finds what must not have happened. It reads logs alone, and asks no server.

mod calls;
mod counter;
mod holders;
mod kinds;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::Duration,
};

use crate::{
    Result,
    clock::SECOND,
    log::{self, Event, Note, Write},
    mode::Mode,
};

pub use kinds::OfKind;

pub const SUPERVISOR: &str = "supervisor.log";

/// Where a client of that number writes.
pub fn client_log(process: u32) -> String {
    format!("client-{process}.log")
}

/// All that was written down in one run.
#[derive(Debug, Default)]
pub struct History {
    pub notes: Vec<Note>,
    pub clients: Vec<Client>,
}

#[derive(Debug)]
pub struct Client {
    pub process: u32,
    pub mode: Mode,
    pub events: Vec<Event>,
}

impl Client {
    fn stalls(&self) -> impl Iterator<Item = (u64, u64)> {
        self.events.iter().filter_map(|event| match *event {
            Event::Stalled { from, until } => Some((from, until)),
            Event::Asked { .. }
            | Event::Granted { .. }
            | Event::Looked { .. }
            | Event::LetGo { .. }
            | Event::Over { .. }
            | Event::Hung { .. }
            | Event::Control { .. } => None,
        })
    }
}

impl History {
    pub fn read(dir: &Path) -> Result<Self> {
        let notes: Vec<Note> = log::read(&dir.join(SUPERVISOR))?;
        let mut clients = Vec::new();
        for note in &notes {
            if let Note::Started { process, mode } = *note {
                let path = dir.join(client_log(process));
                // One that was killed at once has written nothing.
                let events = if fs::exists(&path)? { log::read(&path)? } else { Vec::new() };
                clients.push(Client { process, mode, events });
            }
        }
        Ok(Self { notes, clients })
    }

    fn times(&self, of: impl Fn(&Note) -> Option<u64>) -> impl Iterator<Item = u64> {
        self.notes.iter().filter_map(of)
    }

    /// For how long the host did not let a client's process run, though nobody had stopped it.
    pub fn stalls(&self) -> Vec<Duration> {
        let mut times = Vec::new();
        for client in &self.clients {
            let stops = calls::stops(client.process, &self.notes);
            let is_ours = |(from, until): &(u64, u64)| {
                stops.iter().any(|(begin, end)| begin < until && from < end)
            };
            let stalls = client.stalls().filter(|stall| !is_ours(stall));
            times.extend(stalls.map(|(from, until)| Duration::from_nanos(until - from)));
        }
        times
    }

    /// For how long clients asked for locks.
    pub fn seconds(&self) -> f64 {
        let began = self.times(|note| if let Note::Began { at } = note { Some(*at) } else { None });
        let ended = self.times(|note| if let Note::Ended { at } = note { Some(*at) } else { None });
        let took = ended.max().unwrap_or(0).saturating_sub(began.min().unwrap_or(0));
        took as f64 / SECOND as f64
    }

    /// The modes that its clients have, each once.
    pub fn modes(&self) -> Vec<Mode> {
        let modes: std::collections::BTreeSet<_> =
            self.clients.iter().map(|client| client.mode).collect();
        modes.into_iter().collect()
    }

    fn killed(&self) -> HashMap<u32, u64> {
        let mut killed = HashMap::new();
        for note in &self.notes {
            if let Note::Killed { process, at } = *note {
                killed.insert(process, at);
            }
        }
        killed
    }
}

/// What the clients of one mode did, and what of it must not be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    pub calls: u64,
    pub grants: u64,
    /// Those within one longest ttl after a fault took effect.
    pub after_fault: u64,
    /// Of pairs of holders of one key who believed at the same time: when the second one began.
    pub meetings: Vec<u64>,
    /// The same by the fault that it came after.
    pub kinds: BTreeMap<&'static str, OfKind>,
    /// Grants in each part of a step.
    pub parts: Vec<u64>,
    /// Holders that believed again after they had not.
    pub revived: u64,
    /// Numbers that were not above that of a holder who had let go before.
    pub inversions: u64,
    /// Updates of the counter that were overwritten by a holder that believed.
    pub lost: u64,
    /// Those that got lost because a holder wrote after its end, which only a number prevents.
    pub lost_late: u64,
    pub accepted: u64,
    pub refused: u64,
    pub keys_left: u64,
    /// Calls that came back over 300 ms after their limit, less what their process was paused.
    pub late: u64,
    /// Those that did because their process was: a plain sleep beside them came back late, too.
    pub starved: u64,
    pub hangs: u64,
}

impl Findings {
    /// Pairs of holders of one key who believed at the same time.
    pub fn overlaps(&self) -> u64 {
        self.meetings.len() as u64
    }

    /// Those of another stage, on which the same was played beside.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.grants += other.grants;
        self.after_fault += other.after_fault;
        self.meetings.extend(other.meetings);
        for (kind, theirs) in other.kinds {
            let ours = self.kinds.entry(kind).or_default();
            ours.faults += theirs.faults;
            ours.grants += theirs.grants;
            ours.soon += theirs.soon;
            ours.overlaps += theirs.overlaps;
        }
        self.revived += other.revived;
        self.inversions += other.inversions;
        self.lost += other.lost;
        self.lost_late += other.lost_late;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.keys_left += other.keys_left;
        self.late += other.late;
        self.starved += other.starved;
        self.hangs += other.hangs;
    }
}

/// What is found of the clients of that mode.
pub fn check(history: &History, mode: Mode) -> Findings {
    let killed = history.killed();
    let of_mode: Vec<_> = history.clients.iter().filter(|client| client.mode == mode).collect();
    let mut findings = Findings::default();
    let mut holdings = Vec::new();
    for client in &of_mode {
        let end = killed.get(&client.process).copied();
        holdings.extend(holders::of(client, end, &mut findings));
        calls::judge(client, end, &history.notes, &mut findings);
    }
    findings.grants = holdings.len() as u64;
    holders::judge(&holdings, &mut findings);
    findings.kinds = kinds::of(history, &holdings, &findings.meetings);
    findings.parts = kinds::parts(history, &holdings);
    findings.after_fault = findings.kinds.values().map(|of_kind| of_kind.soon).sum();
    judge_counter(history, mode, &holdings, &mut findings);
    judge_notes(history, mode, &mut findings);
    findings
}

/// What the supervisor saw itself.
fn judge_notes(history: &History, mode: Mode, findings: &mut Findings) {
    let is_ours = |key: &str| key.rsplit_once(':').is_some_and(|(name, _)| name == mode.name());
    let is_of_mode = |process| {
        history.clients.iter().any(|client| client.process == process && client.mode == mode)
    };
    let count = |is_so: &dyn Fn(&Note) -> bool| {
        history.notes.iter().filter(|note| is_so(note)).count() as u64
    };
    findings.keys_left += count(&|note| matches!(note, Note::Left { key, .. } if is_ours(key)));
    findings.refused += count(&|note| matches!(note, Note::Denied { key } if is_ours(key)));
    findings.hangs +=
        count(&|note| matches!(note, Note::Stuck { process } if is_of_mode(*process)));
}

fn judge_counter(
    history: &History,
    mode: Mode,
    holdings: &[holders::Holding],
    findings: &mut Findings,
) {
    let ends: HashMap<_, _> =
        holdings.iter().map(|holding| ((holding.process, holding.call), holding.until)).collect();
    let mut by_key: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for note in &history.notes {
        if let Note::Wrote(write) = note
            && ends.contains_key(&(write.process, write.call))
        {
            by_key.entry(&write.key).or_default().push(write);
        }
    }
    for writes in by_key.values() {
        counter::judge(writes, &ends, mode.is_fenced(), findings);
    }
}
