//! A world as a person reads it, for the traces.

use std::fmt::{Display, Formatter, Result};

use super::world::{CLAIMS, Data, Epoch, Node, Phase, Vote, World};

const NAMES: [&str; CLAIMS + 1] = ["-", "A", "B", "C"];

impl Display for Data {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", NAMES[usize::from(self.lock)])?;
        if self.lock != 0 {
            write!(f, " for {}", self.left)?;
        }
        if self.fence > 0 {
            write!(f, " fence {}", self.fence)?;
        }
        match self.epoch {
            Epoch::Own => Ok(()),
            Epoch::None => write!(f, " no epoch"),
            Epoch::Other => write!(f, " another's epoch"),
            Epoch::Quarantine(left) => write!(f, " quarantine {left}"),
        }
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "[{}", self.data)?;
        if self.ahead > 0 {
            write!(f, ", {} ahead", self.ahead)?;
        }
        for (claim, at) in self.at.iter().enumerate() {
            if at.messages().next().is_none() && at.vote == Vote::None {
                continue;
            }
            write!(f, "; {} {:?}", NAMES[claim + 1], at.vote)?;
            for message in at.messages() {
                write!(f, " {message:?}")?;
            }
        }
        write!(f, "] ")
    }
}

impl Display for World {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        // What a run does not have has no epoch, as only a node that forgot has none.
        for node in self.nodes.iter().filter(|node| **node != Node::default()) {
            write!(f, "{node}")?;
        }
        for (claim, of) in self.claims.iter().enumerate().filter(|(_, of)| of.phase != Phase::Idle)
        {
            let name = NAMES[claim + 1];
            write!(f, "| {name} {:?} for {}", of.phase, of.left)?;
            if of.number > 0 {
                write!(f, " number {}", of.number)?;
            }
            write!(f, " ")?;
        }
        write!(f, "| {} ticks left", self.ticks)
    }
}
