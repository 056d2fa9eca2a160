//! A second model, of strict nodes and of grace: up to four nodes that forget, whose clocks
//! are set forward, and up to three claims that believe in their lock for as long as the
//! rules let them. Time goes in ticks. It shares with the model of fencing numbers how runs
//! are played, and nothing of what is played.
//!
//! All times are what is left of something, by the clock that it is measured with, and a run
//! id is either a node's own or not. So no state tells when it is, nor how often a node has
//! begun anew, and faults need not be counted.

mod claim;
mod faults;
mod message;
mod model;
mod mutants;
mod node;
mod rules;
mod runs;
mod seen;
mod show;
mod steps;
#[cfg(test)]
mod tests;
mod world;

pub use mutants::CASES;
pub use runs::{LARGE, Run, SMALL};
