//! What may happen next: all that a claim may do, a message may do, or time may do.

use crate::{
    message::{Ask, Message},
    model::Fencing,
    rules::Mutant,
    runs::Heir,
    world::{At, CLAIMS, NODES, Phase, QUORUM, Vote, World},
};

/// Nodes and claims are named by their place in the state before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin { claim: usize, number: u8 },
    Arrive { node: usize, claim: usize, slot: usize },
    Answer { node: usize, claim: usize, slot: usize },
    AskAnew { claim: usize },
    Insist { claim: usize },
    Renew { claim: usize },
    Heal { node: usize, claim: usize, number: u8 },
    HandOver { claim: usize, number: u8 },
    LetGo { claim: usize },
    End { node: usize, claim: usize, bury: bool },
    Expire { node: usize },
    Forget { node: usize },
}

impl Fencing {
    pub fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        for claim in 0..self.run.roles.len() {
            self.steps_of(world, claim, steps);
        }
        for node in 0..NODES {
            // The same done at the same node's twin leads to the same state.
            if node > 0 && world.nodes[node] == world.nodes[node - 1] {
                continue;
            }
            self.steps_at(world, node, steps);
        }
    }

    fn steps_of(&self, world: &World, claim: usize, steps: &mut Vec<Step>) {
        let of = &world.claims[claim];
        let role = &self.run.roles[claim];
        match of.phase {
            Phase::Idle => {
                let may = role.after.is_none_or(|other| world.claims[other].phase == Phase::Done);
                let numbers = if role.plain { 0..=0 } else { 1..=self.run.top };
                let begin = |number| Step::Begin { claim, number };
                steps.extend(numbers.filter(|_| may).map(begin));
            }
            Phase::Trying => {
                self.steps_to_win(world, claim, steps);
                steps.push(Step::LetGo { claim });
            }
            Phase::Held => {
                self.steps_to_keep(world, claim, steps);
                steps.push(Step::LetGo { claim });
            }
            Phase::Handing => steps.push(Step::LetGo { claim }),
            Phase::Ending | Phase::Done => {}
        }
    }

    fn steps_to_win(&self, world: &World, claim: usize, steps: &mut Vec<Step>) {
        let of = &world.claims[claim];
        let role = &self.run.roles[claim];
        if of.number == 0 {
            return;
        }
        let [yes, stale, below, above] =
            [Vote::Yes, Vote::Stale, Vote::Below, Vote::Above].map(|vote| world.count(claim, vote));
        let may_ask_anew =
            of.rounds < role.rounds && of.seen >= of.number && of.seen < self.run.top;
        if stale > 0 && yes + stale >= QUORUM && may_ask_anew {
            steps.push(Step::AskAnew { claim });
        }
        let must_ask_anew = stale + above > 0;
        if of.insisted < role.insists
            && (must_ask_anew && may_ask_anew || !must_ask_anew && below > 0)
        {
            steps.push(Step::Insist { claim });
        }
    }

    fn steps_to_keep(&self, world: &World, claim: usize, steps: &mut Vec<Step>) {
        let of = &world.claims[claim];
        let role = &self.run.roles[claim];
        if of.renewals < role.renewals && of.number > 0 {
            steps.push(Step::Renew { claim });
        }
        let hand_over = |number| Step::HandOver { claim, number };
        match self.next_heir(world, claim) {
            None => {}
            Some(Heir::Plain) => steps.push(hand_over(0)),
            Some(Heir::Fenced) if self.rules.broken(Mutant::M2) && of.number > 0 => {
                steps.push(hand_over(of.number));
            }
            Some(Heir::Fenced) => steps.extend((of.sent + 1..=self.run.top).map(hand_over)),
        }
    }

    fn steps_at(&self, world: &World, node: usize, steps: &mut Vec<Step>) {
        let here = &world.nodes[node];
        for claim in 0..CLAIMS {
            let at = &here.at[claim];
            for (slot, message) in at.messages().enumerate() {
                match message.reply() {
                    _ if slot > 0 && at.messages[slot - 1] == message => {}
                    None => steps.push(Step::Arrive { node, claim, slot }),
                    Some(_) => steps.push(Step::Answer { node, claim, slot }),
                }
            }
            match world.claims[claim].phase {
                Phase::Held => self.steps_to_heal(world, node, claim, steps),
                Phase::Ending => self.steps_to_end(world, node, claim, steps),
                Phase::Idle | Phase::Trying | Phase::Handing | Phase::Done => {}
            }
        }
        if here.lock != 0 && world.expiries > 0 {
            steps.push(Step::Expire { node });
        }
        if here.fence > 0 && world.forgets > 0 {
            steps.push(Step::Forget { node });
        }
    }

    /// A node may be healed whenever the lock is held: what was proven of a quorum before
    /// matters to lifetimes only, which are not modelled.
    fn steps_to_heal(&self, world: &World, node: usize, claim: usize, steps: &mut Vec<Step>) {
        let of = &world.claims[claim];
        if of.heals == self.run.roles[claim].heals {
            return;
        }
        let plainly = of.sent == 0 || of.number == 0 && self.rules.broken(Mutant::X4);
        let numbers = match of.number {
            _ if plainly => 0..=0,
            number if self.rules.heals_by_the_old_number() => number..=number,
            _ => 1..=self.run.top,
        };
        let ask = if plainly { Ask::PlainHeal } else { Ask::Heal };
        let is_new = |at: &At, number| !at.messages().any(|it| it == Message::new(ask, number));
        let heal = |number| Step::Heal { node, claim, number };
        steps.extend(
            numbers.filter(|&number| is_new(&world.nodes[node].at[claim], number)).map(heal),
        );
    }

    /// Where something is adrift, the release must bury. Where nothing is, it may: the claim
    /// may have been left without an answer.
    fn steps_to_end(&self, world: &World, node: usize, claim: usize, steps: &mut Vec<Step>) {
        let here = &world.nodes[node];
        let at = &here.at[claim];
        if at.vote == Vote::Clean {
            return;
        }
        let bury = world.claims[claim].sent > 0;
        if bury {
            steps.push(Step::End { node, claim, bury });
        }
        if at.is_idle() || !bury {
            steps.push(Step::End { node, claim, bury: false });
        }
    }
}
