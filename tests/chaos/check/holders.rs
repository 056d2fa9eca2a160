//! Who believed to hold what, and when: the intervals of a key must not meet.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Client, Findings};
use crate::log::Event;

/// One grant, from when its call returned to when its holder let go, or believed no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub process: u32,
    pub call: u64,
    pub key: String,
    pub from: u64,
    pub until: u64,
    pub asked: u64,
    pub number: Option<u64>,
}

/// The grants of one client. `end` is when it was killed: the dead believe nothing.
pub fn of(client: &Client, end: Option<u64>, findings: &mut Findings) -> Vec<Holding> {
    let mut asked: HashMap<u64, (&str, u64)> = HashMap::new();
    let mut holdings: BTreeMap<u64, Holding> = BTreeMap::new();
    let mut over = HashSet::new();
    for event in &client.events {
        match event {
            Event::Asked { call, key, at, .. } => {
                asked.insert(*call, (key, *at));
            }
            Event::Granted { call, at, until, number } => {
                let (key, since) = asked.get(call).copied().unwrap_or_default();
                let holding = Holding {
                    process: client.process,
                    call: *call,
                    key: key.to_owned(),
                    from: *at,
                    until: *until,
                    asked: since,
                    number: *number,
                };
                holdings.insert(*call, holding);
            }
            // One that looks and has no time left believes nothing from then on. It may have been
            // extended between two looks, so a later end alone says nothing.
            Event::Looked { call, at, until } if until <= at => {
                over.insert(*call);
                if let Some(holding) = holdings.get_mut(call) {
                    holding.until = holding.until.min(*at);
                }
            }
            Event::Looked { call, until, .. } => {
                findings.revived += u64::from(over.contains(call));
                if let Some(holding) = holdings.get_mut(call) {
                    holding.until = holding.until.max(*until);
                }
            }
            Event::LetGo { call, at } => {
                if let Some(holding) = holdings.get_mut(call) {
                    holding.until = holding.until.min(*at);
                }
            }
            Event::Over { .. }
            | Event::Hung { .. }
            | Event::Stalled { .. }
            | Event::Control { .. } => {}
        }
    }
    let mut holdings: Vec<_> = holdings.into_values().collect();
    for holding in &mut holdings {
        holding.until = holding.until.min(end.unwrap_or(u64::MAX)).max(holding.from);
    }
    holdings
}

/// Counts pairs that meet, and numbers that do not rise.
pub fn judge(holdings: &[Holding], findings: &mut Findings) {
    let mut by_key: BTreeMap<&str, Vec<&Holding>> = BTreeMap::new();
    for holding in holdings {
        by_key.entry(&holding.key).or_default().push(holding);
    }
    for holdings in by_key.values_mut() {
        holdings.sort_by_key(|holding| holding.from);
        findings.meetings.extend(meetings(holdings));
        findings.inversions += inversions(holdings);
    }
}

/// When one began to hold though another held, once for each of the others.
fn meetings(by_begin: &[&Holding]) -> Vec<u64> {
    let (mut found, mut ends): (_, Vec<u64>) = (Vec::new(), Vec::new());
    for holding in by_begin {
        ends.retain(|until| *until > holding.from);
        found.extend(ends.iter().map(|_| holding.from));
        if holding.until > holding.from {
            ends.push(holding.until);
        }
    }
    found
}

/// Of two calls of which one had its lock before the other asked, the second has the larger number.
fn inversions(holdings: &[&Holding]) -> u64 {
    let numbered = |of: fn(&Holding) -> u64| {
        let each = holdings.iter().filter_map(|holding| Some((of(holding), holding.number?)));
        let mut times: Vec<_> = each.collect();
        times.sort_unstable();
        times
    };
    let (had, asked) = (numbered(|holding| holding.from), numbered(|holding| holding.asked));
    let (mut had, mut largest, mut found) = (had.into_iter().peekable(), 0, 0);
    for (at, number) in asked {
        while let Some((_, earlier)) = had.next_if(|(from, _)| *from < at) {
            largest = largest.max(earlier);
        }
        found += u64::from(number <= largest);
    }
    found
}
