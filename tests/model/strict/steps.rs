//! What may happen next: all that a claim may do, a message, a node, a clock, or time.

use super::{
    faults::Fault,
    model::Strict,
    rules::Mutant,
    world::{CLAIMS, Epoch, Phase, Vote, World},
};

/// Nodes and claims are named by their place in the state before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin {
        claim: usize,
        number: u8,
    },
    Arrive {
        node: usize,
        claim: usize,
        slot: usize,
    },
    Answer {
        node: usize,
        claim: usize,
        slot: usize,
    },
    AskAgain {
        node: usize,
        claim: usize,
    },
    Extend {
        claim: usize,
    },
    Heal {
        node: usize,
        claim: usize,
        number: u8,
    },
    End {
        claim: usize,
    },
    Release {
        node: usize,
        claim: usize,
    },
    /// Another client asks the node for another key.
    Touch {
        node: usize,
    },
    Save {
        node: usize,
    },
    Fail {
        node: usize,
        fault: Fault,
        from: usize,
    },
    SetForward {
        node: usize,
    },
    Tick,
}

impl Strict {
    pub fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        for claim in 0..self.run.roles.len() {
            self.steps_of(world, claim, steps);
        }
        for node in 0..self.run.nodes {
            // The same done at the same node's twin leads to the same state.
            if node > 0 && world.nodes[node] == world.nodes[node - 1] {
                continue;
            }
            for claim in 0..CLAIMS {
                self.steps_between(world, node, claim, steps);
            }
            self.steps_at(world, node, steps);
        }
        if world.ticks > 0 {
            steps.push(Step::Tick);
        }
    }

    fn steps_of(&self, world: &World, claim: usize, steps: &mut Vec<Step>) {
        let of = &world.claims[claim];
        let role = &self.run.roles[claim];
        match of.phase {
            Phase::Idle => {
                let may = role.after.is_none_or(|other| world.claims[other].phase == Phase::Done);
                let numbers = u8::from(self.run.top > 0)..=self.run.top;
                let begin = |number| Step::Begin { claim, number };
                steps.extend(numbers.filter(|_| may).map(begin));
            }
            Phase::Trying => steps.push(Step::End { claim }),
            Phase::Held | Phase::Extending => {
                if of.round < role.extends {
                    steps.push(Step::Extend { claim });
                }
                steps.push(Step::End { claim });
            }
            Phase::Done => {}
        }
    }

    /// What may happen between a claim and a node.
    fn steps_between(&self, world: &World, node: usize, claim: usize, steps: &mut Vec<Step>) {
        let at = &world.nodes[node].at[claim];
        for (slot, message) in at.messages().enumerate() {
            match message.reply() {
                _ if slot > 0 && at.messages[slot - 1] == message => {}
                None => steps.push(Step::Arrive { node, claim, slot }),
                Some(_) => steps.push(Step::Answer { node, claim, slot }),
            }
        }
        let of = &world.claims[claim];
        let heals = match of.phase {
            Phase::Held => true,
            Phase::Extending => self.rules.broken(Mutant::CountsHealed),
            Phase::Idle | Phase::Trying | Phase::Done => false,
        };
        match at.vote {
            Vote::Told => steps.push(Step::AskAgain { node, claim }),
            Vote::Missing if heals && of.number == 0 => {
                steps.push(Step::Heal { node, claim, number: 0 });
            }
            Vote::Missing if heals => {
                let heal = |number| Step::Heal { node, claim, number };
                steps.extend((of.sent + 1..=self.run.top).map(heal));
            }
            Vote::None | Vote::Yes | Vote::After | Vote::Missing => {}
        }
        if of.phase == Phase::Done && world.nodes[node].data.has(claim) {
            steps.push(Step::Release { node, claim });
        }
    }

    fn steps_at(&self, world: &World, node: usize, steps: &mut Vec<Step>) {
        let here = &world.nodes[node];
        if self.run.touches && !matches!(here.data.epoch, Epoch::Own | Epoch::Quarantine(1..)) {
            steps.push(Step::Touch { node });
        }
        if world.saves > 0 && here.saved != here.data {
            steps.push(Step::Save { node });
        }
        if here.ahead + self.rules.step() <= self.rules.steps() {
            steps.push(Step::SetForward { node });
        }
        for &fault in self.run.faults {
            // Only a replica takes what it has from another.
            let from = if fault == Fault::Replicates { 0..self.run.nodes } else { node..node + 1 };
            let may = |&from: &usize| self.after(world, node, fault, from).is_some();
            steps.extend(from.filter(may).map(|from| Step::Fail { node, fault, from }));
        }
    }
}
