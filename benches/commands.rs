//! What clients have written to a server, by what the server has counted.
//!
//! A server counts what a script runs beside the script itself, and does not say
//! which was which. So what scripts ran is taken off again, by what is known of
//! ours and of our peers': each begins with one `GET`, and what else they run
//! clients do not write, or can be told by what the script runs next. The part
//! `counter` of the bench `waiting` holds this to what `MONITOR` shows.
//!
//! It counts one too many where an extension finds nothing to do, which is one that
//! a node executes within the millisecond of its grant, and where a lock is healed:
//! a few in a thousand where locks are handed over. It never counts too few.

use std::collections::HashMap;

use crate::common::Result;

/// What only an observer asks.
const OBSERVERS: [&str; 4] = ["info", "dbsize", "flushall", "monitor"];

/// What only scripts run. Where a bench writes it by hand, it is not a client's.
const IN_SCRIPTS: [&str; 2] = ["del", "pexpire"];

/// How servers that do without a script compare and delete. Their clients
/// publish by themselves.
const NATIVE: [&str; 2] = ["delifeq", "delex"];

/// How often one server has carried out each command since it started.
pub struct Stats(HashMap<String, Calls>);

#[derive(Clone, Copy, Default)]
struct Calls {
    all: u64,
    /// Among them: for a script, those of which the server did not know the text.
    failed: u64,
}

impl Stats {
    /// From what `INFO commandstats` says.
    pub fn parse(info: &str) -> Result<Self> {
        let mut stats = HashMap::new();
        for line in info.lines() {
            let stat = line.strip_prefix("cmdstat_").and_then(|rest| rest.split_once(':'));
            let Some((name, fields)) = stat else { continue };
            let mut calls = Calls::default();
            for (field, value) in fields.split(',').filter_map(|field| field.split_once('=')) {
                match field {
                    "calls" => calls.all = value.parse()?,
                    "failed_calls" => calls.failed = value.parse()?,
                    _ => {}
                }
            }
            stats.insert(name.to_owned(), calls);
        }
        Ok(Self(stats))
    }

    /// How often it has carried out `name`, whoever asked.
    pub fn of(&self, name: &str) -> u64 {
        self.calls(name).all
    }

    /// How many commands clients have written.
    pub fn written(&self) -> u64 {
        let asked = |name: &&String| !OBSERVERS.contains(&name.as_str());
        let all: u64 = self.0.keys().filter(asked).map(|name| self.of(name)).sum();
        all.saturating_sub(self.run_by_scripts())
    }

    fn run_by_scripts(&self) -> u64 {
        let scripts = ["eval", "evalsha"].map(|name| self.calls(name));
        let gets: u64 = scripts.iter().map(|calls| calls.all - calls.failed).sum();
        let others: u64 = IN_SCRIPTS.into_iter().map(|name| self.of(name)).sum();
        let natively: u64 = NATIVE.into_iter().map(|name| self.of(name)).sum();
        let published = if natively == 0 { self.of("publish") } else { 0 };
        // Our extension looks how long the key lives, and then makes it live longer.
        gets + others + published + self.of("pexpire").min(self.of("pttl"))
    }

    fn calls(&self, name: &str) -> Calls {
        self.0.get(name).copied().unwrap_or_default()
    }
}
