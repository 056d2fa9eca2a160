//! What must hold of strict nodes besides that no two clients hold: a node that has forgotten
//! grants again when all that it may have granted is over. And what runs must meet, so that what
//! they check is not checked in vain.

use std::{collections::BTreeMap, fmt};

use crate::{plan::Fault, profile::Profile, stage::Truth, violation::Check};

/// Something that happens in some runs of a profile, or that profile shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// A lock is granted while nodes are in quarantine.
    Beside,
    /// A lock is granted when no more than the longest ttl has passed since a node forgot.
    Soon,
    /// A lock is granted when a quorum of nodes has forgotten and is out of quarantine again.
    Again,
    /// Two clients hold where clocks were set by more than the grace.
    Exceeded,
}

impl Met {
    pub const ALL: [Self; 4] = [Self::Beside, Self::Soon, Self::Again, Self::Exceeded];

    /// The profile whose runs must meet it.
    fn profile(self) -> Profile {
        match self {
            Self::Beside | Self::Soon | Self::Again => Profile::Strict,
            Self::Exceeded => Profile::Grace,
        }
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beside => "granted beside nodes in quarantine",
            Self::Soon => "granted within the longest ttl after a node forgot",
            Self::Again => "granted by a quorum that was in quarantine",
            Self::Exceeded => "two holders where a step exceeds the grace",
        })
    }
}

/// So many runs of a profile meet all that they must.
const ENOUGH: u64 = 500;

/// What was not met, though there were runs enough of its profile.
pub fn unmet(profiles: &BTreeMap<Profile, u64>, met: &BTreeMap<Met, u64>) -> Vec<Met> {
    let runs = |what: Met| profiles.get(&what.profile()).copied().unwrap_or_default();
    let is_unmet = |what: &Met| runs(*what) >= ENOUGH && !met.contains_key(what);
    Met::ALL.into_iter().filter(is_unmet).collect()
}

/// What clients were told of nodes' quarantines.
pub struct Quarantines {
    nodes: Vec<Quarantine>,
    /// When a node forgot last.
    forgot_at: Option<u64>,
}

/// One node's, since it forgot last.
#[derive(Clone, Copy, Default)]
struct Quarantine {
    /// When it first said that it is in quarantine.
    since: Option<u64>,
    /// Whether it has granted or refused a lock since.
    is_over: bool,
}

impl Quarantines {
    pub fn new(nodes: usize) -> Self {
        Self { nodes: vec![Quarantine::default(); nodes], forgot_at: None }
    }

    fn count(&self, is_it: impl Fn(&Quarantine) -> bool) -> usize {
        self.nodes.iter().filter(|node| is_it(node)).count()
    }
}

/// Whether a node says that it is in quarantine.
pub fn is_in(reply: &[u8]) -> bool {
    reply.starts_with(b"-QUARANTINE ")
}

impl Truth {
    /// A fault begins or is over: it may be one after which a quarantine begins, or begins anew.
    pub fn note_memory(&mut self, fault: Fault) {
        let node = match fault {
            Fault::Crash { node, .. }
            | Fault::Flush { node }
            | Fault::Swap { node }
            | Fault::Evict { node }
            | Fault::Follow { node, .. }
            | Fault::Failover { node, .. } => node,
            // A clock that is put back lets a quarantine begin anew, and nothing is forgotten.
            Fault::Step { node, .. } => {
                self.oracle.quarantines.nodes[node].since = None;
                return;
            }
            Fault::Cut { .. }
            | Fault::Break { .. }
            | Fault::Loss { .. }
            | Fault::Slow { .. }
            | Fault::Hang { .. }
            | Fault::Refuse { .. }
            | Fault::ForgetScripts { .. }
            | Fault::CutLogin { .. }
            | Fault::SetWall { .. }
            | Fault::Pause { .. }
            | Fault::Kill { .. }
            | Fault::EndRuntime { .. } => return,
        };
        self.oracle.quarantines.nodes[node] = Quarantine::default();
        self.oracle.quarantines.forgot_at = Some(self.now);
    }

    /// A strict node has answered what it is asked with its epoch.
    pub fn note_strict(&mut self, node: usize, heals: bool, reply: &[u8]) {
        let now = self.now;
        if heals && is_in(reply) {
            let what = format!("node {node} is in quarantine, and is not healed");
            return self.violate(Check::QuarantineRefuses, what);
        }
        let quarantine = &mut self.oracle.quarantines.nodes[node];
        if !is_in(reply) {
            let votes = reply == b"+OK\r\n" || reply == b"$-1\r\n" || reply.starts_with(b":");
            quarantine.is_over |= votes && quarantine.since.is_some();
            return;
        }
        quarantine.is_over = false;
        let since = *quarantine.since.get_or_insert(now);
        // No clock is slow by more than half a hundredth.
        let longest = self.plan.longest_life().as_nanos() as u64;
        if now - since > longest + longest / 100 + 3 * crate::plan::MS {
            let what = format!("node {node} has been in quarantine since {since} ns");
            self.violate(Check::QuarantineWithoutEnd, what);
        }
    }

    /// A lock is granted.
    pub fn note_grant(&mut self) {
        if self.plan.strict.is_none() {
            return;
        }
        let quarantines = &self.oracle.quarantines;
        let longest = self.plan.longest_life().as_nanos() as u64;
        let is_soon = quarantines.forgot_at.is_some_and(|at| self.now - at <= longest);
        let beside = quarantines.count(|node| node.since.is_some() && !node.is_over);
        let again = quarantines.count(|node| node.is_over);
        let quorum = self.plan.quorum();
        for (met, is_so) in
            [(Met::Beside, beside > 0), (Met::Soon, is_soon), (Met::Again, again >= quorum)]
        {
            *self.counts.met.entry(met).or_default() += u64::from(is_so);
        }
        self.counts.met.retain(|_, count| *count > 0);
    }

    /// Something is wrong, and is no violation.
    pub fn note_excess(&mut self, check: Check) {
        if check == Check::TwoHolders && self.plan.profile == Profile::Grace {
            *self.counts.met.entry(Met::Exceeded).or_default() += 1;
        }
    }
}
