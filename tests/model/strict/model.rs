//! The model: a run, played by the rules or by a mutant of them, as stateright asks for it.

use stateright::{Model, Property};

use super::{
    rules::{Mutant, Rules},
    runs::{QUORUM, Run},
    seen::Event,
    steps::Step,
    world::{CLAIMS, Claim, Data, Epoch, Node, Phase, World},
};
use crate::{
    check::{Limits, Playable},
    seen::Seen,
};

#[derive(Debug)]
pub struct Strict {
    pub run: Run,
    pub rules: Rules,
    pub seen: Seen<Event>,
    /// It drops nothing that makes no difference; for the test that shows that.
    pub keeps_all: bool,
    alike: Vec<[usize; CLAIMS]>,
}

impl Strict {
    pub fn new(run: Run, mutant: Option<Mutant>) -> Self {
        let rules = Rules::new(&run, mutant);
        Self { run, rules, seen: Seen::default(), keeps_all: false, alike: run.alike() }
    }

    /// The same world, by the names that are the same for all that are like it.
    pub fn normal(&self, world: World) -> World {
        world.normal(self.run.nodes, &self.alike)
    }

    fn apply(&self, world: &mut World, step: Step) {
        match step {
            Step::Begin { claim, number } => self.begin(world, claim, number),
            Step::Arrive { node, claim, slot } => self.arrive(world, node, claim, slot),
            Step::Answer { node, claim, slot } => self.hear(world, node, claim, slot),
            Step::AskAgain { node, claim } => self.ask_again(world, node, claim),
            Step::Extend { claim } => self.extend(world, claim),
            Step::Heal { node, claim, number } => self.heal(world, node, claim, number),
            Step::End { claim } => self.end(world, claim),
            Step::Release { node, claim } => world.nodes[node].data.release(claim),
            Step::Touch { node } => world.nodes[node].data.look(self.rules),
            Step::Save { node } => {
                world.nodes[node].saved = world.nodes[node].data;
                world.saves -= 1;
            }
            Step::Fail { node, fault, from } => self.fail(world, node, fault, from),
            Step::SetForward { node } => self.set_forward(world, node),
            Step::Tick => self.tick(world),
        }
    }

    /// The node's clock is set forward: what it has ends earlier.
    fn set_forward(&self, world: &mut World, node: usize) {
        let here = &mut world.nodes[node];
        let has = |claim: usize| here.data.has(claim) && world.claims[claim].holds();
        if (0..CLAIMS).any(has) {
            self.seen.note(Event::SetForward);
        }
        here.ahead += self.rules.step();
        here.data.pass(self.rules.step());
        here.saved.pass(self.rules.step());
    }

    /// The first claim has the lock by all nodes but one, since just now.
    fn begin_held(&self, world: &mut World) {
        let number = u8::from(self.run.top > 0);
        let left = self.rules.belief();
        world.claims[0] =
            Claim { phase: Phase::Held, left, number, sent: number, ..Claim::default() };
        world.shown = number;
        for node in &mut world.nodes[1..self.run.nodes] {
            let key = Data { lock: 1, left: self.rules.life(), fence: number, ..node.data };
            node.data = key;
        }
    }
}

impl Playable for Strict {
    fn limits(&self) -> Limits {
        let Run { name, least, cap, .. } = self.run;
        Limits { name, least, cap }
    }

    fn unseen(&self) -> Option<String> {
        let unseen = self.run.must_see.iter().find(|event| !self.seen.has(**event));
        unseen.map(|event| format!("{event:?}"))
    }
}

impl Model for Strict {
    type State = World;
    type Action = Step;

    /// All nodes have been used before.
    fn init_states(&self) -> Vec<World> {
        let mut world = World { ticks: self.run.ticks, saves: self.run.saves, ..World::default() };
        for node in &mut world.nodes[..self.run.nodes] {
            node.data.epoch = Epoch::Own;
            node.saved = node.data;
            for at in &mut node.at {
                at.knows = self.run.greets;
            }
        }
        if self.run.begun {
            self.begin_held(&mut world);
        }
        vec![self.normal(world)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, step);
        if !self.keeps_all {
            self.tidy(&mut next);
        }
        Some(self.normal(next))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one holder", |_, world: &World| {
                world.claims.iter().filter(|claim| claim.holds()).count() < 2
            }),
            Property::always("order", |model: &Self, world: &World| {
                !model.run.keeps_order() || !world.disordered
            }),
            Property::always("grants again", |model: &Self, world: &World| {
                let nodes = &world.nodes[..model.run.nodes];
                let grants = |node: &&Node| node.data.grants_again(model.rules);
                nodes.iter().filter(grants).count() >= QUORUM[model.run.nodes]
            }),
        ]
    }
}
