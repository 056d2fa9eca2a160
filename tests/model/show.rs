//! A world as a person reads it, for the traces.

use std::fmt::{Display, Formatter, Result};

use crate::world::{CLAIMS, Phase, Vote, World};

const NAMES: [&str; CLAIMS + 1] = ["-", "A", "B", "C"];

impl Display for World {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for node in &self.nodes {
            write!(f, "[{} fence {}", NAMES[usize::from(node.lock)], node.fence)?;
            for (claim, at) in node.at.iter().enumerate() {
                if at.is_idle() && at.vote == Vote::None {
                    continue;
                }
                write!(f, "; {} {:?}", NAMES[claim + 1], at.vote)?;
                for message in at.messages() {
                    write!(f, " {message:?}")?;
                }
            }
            write!(f, "] ")?;
        }
        for (claim, of) in self.claims.iter().enumerate().filter(|(_, of)| of.phase != Phase::Idle)
        {
            let name = NAMES[claim + 1];
            write!(f, "| {name} {:?} number {} sent {} ", of.phase, of.number, of.sent)?;
        }
        Ok(())
    }
}
