//! The model: a run, played by the rules or by a mutant of them, as stateright asks for it.

use stateright::{Model, Property};

use crate::{
    check::{Limits, Playable},
    message::{Ask, Reply},
    rules::{Mutant, Rules},
    runs::Run,
    seen::{Event, Seen},
    steps::Step,
    world::{BOTH, CLAIMS, Claim, ORDER, Phase, TWICE, Vote, World},
};

#[derive(Debug)]
pub struct Fencing {
    pub run: Run,
    pub rules: Rules,
    pub seen: Seen<Event>,
    /// It drops nothing that makes no difference; for the test that shows that.
    pub keeps_all: bool,
    alike: Vec<[usize; CLAIMS]>,
}

impl Fencing {
    pub fn new(run: Run, rules: Rules) -> Self {
        let alike = run.alike();
        Self { run, rules, seen: Default::default(), keeps_all: false, alike }
    }

    /// The same world, by the names that are the same for all that are like it.
    pub fn normal(&self, world: World) -> World {
        world.normal(&self.alike)
    }

    fn arrive(&self, world: &mut World, node: usize, claim: usize, slot: usize) {
        let before = world.nodes[node].fence;
        let at = &mut world.nodes[node].at[claim];
        let question = at.take(slot);
        let answer = world.nodes[node].carry_out(claim, question, self.rules);
        world.nodes[node].at[claim].put(answer);
        match (question.ask(), answer.reply()) {
            (Ask::Heal | Ask::PlainHeal, Some(Reply::Done)) => self.seen.note(Event::Healed),
            (Ask::Extend, _) if world.nodes[node].fence > before => {
                self.seen.note(Event::RaisedByRenewal)
            }
            _ => {}
        }
    }

    /// A node that a claim will not ask again has its token: nobody will delete it.
    fn has_orphan(world: &World) -> bool {
        world.nodes.iter().any(|node| {
            (0..CLAIMS).any(|claim| node.has(claim) && node.at[claim].vote == Vote::Clean)
        })
    }

    fn apply(&self, world: &mut World, step: Step) {
        match step {
            Step::Begin { claim, number } => self.begin(world, claim, number),
            Step::Arrive { node, claim, slot } => self.arrive(world, node, claim, slot),
            Step::Answer { node, claim, slot } => self.hear(world, node, claim, slot),
            Step::AskAnew { claim } => self.ask_anew(world, claim),
            Step::Insist { claim } => self.insist(world, claim),
            Step::Renew { claim } => self.renew(world, claim),
            Step::Heal { node, claim, number } => self.heal(world, node, claim, number),
            Step::HandOver { claim, number } => self.hand_over(world, claim, number),
            Step::LetGo { claim } => self.let_go(world, claim),
            Step::End { node, claim, bury } => self.end(world, node, claim, bury),
            Step::Expire { node } => {
                world.nodes[node].lock = 0;
                world.expiries -= 1;
            }
            Step::Forget { node } => {
                world.nodes[node].fence = 0;
                world.forgets -= 1;
            }
        }
    }
}

impl Playable for Fencing {
    fn limits(&self) -> Limits {
        let Run { name, least, cap, .. } = self.run;
        Limits { name, least, cap }
    }

    fn unseen(&self) -> Option<String> {
        let unseen = self.run.must_see.iter().find(|event| !self.seen.has(**event));
        unseen.map(|event| format!("{event:?}"))
    }
}

impl Model for Fencing {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let forgets = u8::from(self.rules.broken(Mutant::Forgets));
        let mut world = World { expiries: self.run.expiries, forgets, ..World::default() };
        for (node, fence) in world.nodes.iter_mut().zip(self.run.left) {
            node.fence = fence;
        }
        if self.run.begun {
            begin_held(&mut world);
        }
        vec![self.normal(world)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, step);
        self.tidy(&mut next);
        Some(self.normal(next))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("order", |_, world: &World| world.broken & ORDER == 0),
            Property::always("no number twice", |_, world: &World| world.broken & TWICE == 0),
            Property::always("no orphan", |_, world: &World| !Self::has_orphan(world)),
            Property::always("one holder", |_, world: &World| world.broken & BOTH == 0),
        ]
    }
}

/// The first claim has the lock, with the number 1, by two nodes. It is over with the third.
fn begin_held(world: &mut World) {
    world.claims[0] = Claim { phase: Phase::Held, number: 1, sent: 1, ..Claim::default() };
    world.shown = 1 << 1;
    for node in &mut world.nodes[1..] {
        (node.lock, node.fence) = (1, 1);
    }
}
