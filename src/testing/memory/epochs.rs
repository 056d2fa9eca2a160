//! The scripts of strict nodes, as a server carries them out. It has no clock: the time comes with
//! each call.

use std::time::Duration;

use super::{
    command::Refusal,
    keys::Keys,
    script::{Call, Guard},
};
use crate::{
    mutant::{self, Mutant},
    testing::Reply,
};

/// What a node has forgotten or not, at one moment.
pub(super) struct Epochs<'a> {
    pub(super) keys: &'a mut Keys,
    pub(super) now: Duration,
    /// What the node's wall clock says, since 1970.
    pub(super) wall: Duration,
    /// Which process it is.
    pub(super) run_id: &'a str,
}

/// The parts of an epoch behind the process: the longest ttl, the database, and the quorum.
type Parts<'a> = [&'a str; 4];

impl Epochs<'_> {
    /// `epoch.lua`: a refusal where the script behind it must not run.
    pub(super) fn check(self, guard: &Guard<'_>) -> Result<(), Refusal> {
        let found = self.keys.get(self.now, guard.epoch).map(|value| text(value).to_owned());
        let known = text(guard.known);
        if found.as_deref() == Some(known) || mutant::is(Mutant::NotStrict) {
            return Ok(());
        }
        let [_, max, database, size] = parts(known).ok_or_else(|| refuse("ERR no epoch"))?;
        let right = format!("{}:{max}:{database}:{size}", self.run_id);
        let (mut until, rest) = split(found.as_deref().unwrap_or_default());
        if let Some([id, its_max, its_database, its_size]) = parts(rest)
            && (id, its_database) == (self.run_id, database)
        {
            if its_max != max {
                return Err(refuse(&format!("MAXTTL {its_max}")));
            }
            if its_size != size {
                return Err(refuse(&format!("NODES {its_size}")));
            }
        }
        let now = u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX);
        let longest = now.saturating_add(quarantine(max)).saturating_add(1);
        let is_new = found.is_none() && mutant::is(Mutant::NoEpochIsNew);
        if is_new {
            self.keys.set(self.now, guard.epoch, right.as_bytes(), None)?;
        } else if !is_own(rest, &right) || until.is_some_and(|until| begins_anew(until, longest)) {
            until = Some(longest);
            let value = format!("Q:{longest}:{right}");
            self.keys.set(self.now, guard.epoch, value.as_bytes(), None)?;
        } else if until.is_some_and(|until| now >= until) {
            self.keys.set(self.now, guard.epoch, right.as_bytes(), None)?;
            until = None;
        }
        let goes_on = guard.heals && !mutant::is(Mutant::QuarantineStopsHealing);
        match until.filter(|_| !goes_on) {
            Some(until) => Err(refuse(&format!("QUARANTINE {}", until.saturating_sub(now)))),
            None if known != right => Err(refuse(&format!("EPOCH {}", self.run_id))),
            None => Ok(()),
        }
    }

    /// `epoch_look.lua`.
    pub(super) fn tell(self, call: &Call<'_>) -> Reply {
        let noted = self.keys.get(self.now, call.key).unwrap_or_default();
        let now = self.wall.as_millis().to_string();
        Reply::Array([noted, self.run_id.as_bytes(), now.as_bytes()].map(Reply::bulk).into())
    }

    /// `bootstrap.lua`.
    pub(super) fn bootstrap(self, call: &Call<'_>) -> Result<i64, Refusal> {
        let known = text(call.token);
        let place = known.find(':').ok_or_else(|| refuse("ERR no epoch"))?;
        let right = format!("{}{}", self.run_id, known.get(place..).unwrap_or_default());
        if let Some(found) = self.keys.get(self.now, call.key) {
            return Ok((found == right.as_bytes()).into());
        }
        self.keys.set(self.now, call.key, right.as_bytes(), None)?;
        Ok(1)
    }
}

/// For how many milliseconds a server grants nothing that may have granted for up to `max`.
fn quarantine(max: &str) -> u64 {
    let max = max.parse().unwrap_or(0);
    if mutant::is(Mutant::ShortQuarantine) {
        return max / 10 * 9;
    }
    max
}

/// Whether an epoch is that of this process.
fn is_own(epoch: &str, right: &str) -> bool {
    if mutant::is(Mutant::AnyEpoch) {
        return !epoch.is_empty();
    }
    epoch == right
}

/// Whether a quarantine until then would last for longer than one that begins now: the clock was
/// put back.
fn begins_anew(until: u64, longest: u64) -> bool {
    if mutant::is(Mutant::PutBackStays) {
        return false;
    }
    until > longest || mutant::is(Mutant::QuarantineBeginsAnew)
}

fn refuse(text: &str) -> Refusal {
    Refusal(text.to_owned())
}

fn text(value: &[u8]) -> &str {
    str::from_utf8(value).unwrap_or_default()
}

/// Until when nothing is granted, in milliseconds since 1970, and the epoch behind it.
fn split(found: &str) -> (Option<u64>, &str) {
    let rest = found.strip_prefix("Q:").and_then(|rest| rest.split_once(':'));
    let until = rest.and_then(|(until, rest)| Some((until.parse().ok()?, rest)));
    until.map_or((None, found), |(until, rest)| (Some(until), rest))
}

fn parts(epoch: &str) -> Option<Parts<'_>> {
    let parts: Vec<&str> = epoch.split(':').collect();
    parts.try_into().ok()
}
