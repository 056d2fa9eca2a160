//! Whether each call came back, and in time. A client's process that was stopped
//! meanwhile, or that a busy host did not let run, is owed that time: by what a plain sleep
//! beside the call met, and one that never ends.

use std::{collections::HashMap, time::Duration};

use super::{Client, Findings};
use crate::{
    client::HANGS,
    clock::{ms, nanos},
    log::{Event, Note},
    mode::NODE_TIMEOUT,
};

/// How much later than its limit a call may come back: hosts are busy.
const ALLOWED: Duration = ms(300);

pub fn judge(client: &Client, killed: Option<u64>, notes: &[Note], findings: &mut Findings) {
    let pauses = apart(client.stalls().chain(stops(client.process, notes)));
    let mut open: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut controls: HashMap<u64, (u64, u64)> = HashMap::new();
    for event in &client.events {
        match *event {
            Event::Asked { call, at, limit, .. } => {
                findings.calls += 1;
                open.insert(call, (at, limit));
            }
            Event::Control { call, from, until } => {
                controls.insert(call, (from, until));
            }
            Event::Granted { call, at, .. } | Event::Over { call, at, .. } => {
                if let Some((asked, limit)) = open.remove(&call) {
                    let control = controls.remove(&call);
                    let allowed = limit.max(nanos(NODE_TIMEOUT)) + nanos(ALLOWED);
                    if at - asked > allowed {
                        let owed = owed(&pauses, control, asked, at);
                        let is_late = at - asked > allowed + owed;
                        findings.late += u64::from(is_late);
                        findings.starved += u64::from(!is_late);
                    }
                }
            }
            Event::Hung { call, at } => {
                let (asked, limit) = open.remove(&call).unwrap_or((at, 0));
                // Its timeout rings for one that had no time to come back, too.
                let owed = owed(&pauses, controls.remove(&call), asked, at);
                let is_starved = owed > 0 && at - asked < limit + nanos(HANGS) + owed;
                findings.starved += u64::from(is_starved);
                findings.hangs += u64::from(!is_starved);
            }
            Event::Looked { .. } | Event::LetGo { .. } | Event::Stalled { .. } => {}
        }
    }
    // What a killed process was waiting for is nobody's call any more.
    if killed.is_none() {
        findings.hangs += open.len() as u64;
    }
}

/// Times in order, of which none meet.
fn apart(times: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (begin, end) in times {
        match apart.last_mut() {
            Some((_, last)) if begin <= *last => *last = end.max(*last),
            _ => apart.push((begin, end)),
        }
    }
    apart
}

/// When that process was stopped by a fault.
pub fn stops(of: u32, notes: &[Note]) -> Vec<(u64, u64)> {
    let (mut stops, mut stopped) = (Vec::new(), None);
    for note in notes {
        if let Note::Stopped { process, at } = *note
            && process == of
        {
            stopped = Some(at);
        }
        if let Note::Continued { process, at } = *note
            && process == of
            && let Some(begin) = stopped.take()
        {
            stops.push((begin, at));
        }
    }
    stops
}

/// For how long its process did not run while the call was open.
fn owed(pauses: &[(u64, u64)], control: Option<(u64, u64)>, from: u64, until: u64) -> u64 {
    let part = |(begin, end): (u64, u64)| end.min(until).saturating_sub(begin.max(from));
    apart(pauses.iter().copied().chain(control)).into_iter().map(part).sum()
}
