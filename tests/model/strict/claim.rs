//! What a claim does: asks, counts votes, holds, asks for longer, heals, ends. `steps` says
//! when it may.

use super::{
    message::{Ask, Message, Reply},
    model::Strict,
    rules::Mutant,
    runs::QUORUM,
    seen::Event,
    world::{CLAIMS, Claim, Phase, Vote, World},
};

impl Strict {
    /// The attempt begins, with whatever number its clock says; 0 is an unfenced one. If it
    /// comes after another of the same client, it knows what that knew.
    pub fn begin(&self, world: &mut World, claim: usize, number: u8) {
        let phase = Phase::Trying;
        let (left, floor) = (self.rules.belief(), world.shown);
        world.claims[claim] =
            Claim { phase, left, number, sent: number, floor, ..Claim::default() };
        for node in &mut world.nodes[..self.run.nodes] {
            if let Some(before) = self.run.roles[claim].after {
                node.at[claim].knows = node.at[before].knows;
            }
            let at = &mut node.at[claim];
            at.put(Message::new(Ask::Acquire, at.knows, 0, number));
        }
    }

    /// The node has told its run id, and is asked again by that.
    pub fn ask_again(&self, world: &mut World, node: usize, claim: usize) {
        let number = world.claims[claim].number;
        let at = &mut world.nodes[node].at[claim];
        at.vote = Vote::None;
        at.put(Message::new(Ask::Acquire, at.knows, 0, number));
    }

    pub fn arrive(&self, world: &mut World, node: usize, claim: usize, slot: usize) {
        let here = &mut world.nodes[node];
        let question = here.at[claim].take(slot);
        let answer = here.data.carry_out(claim, question, self.rules);
        here.at[claim].put(answer);
        self.seen.note_answer(&world.claims[claim], world.nodes[node].data.epoch, answer);
    }

    /// An answer arrives.
    pub fn hear(&self, world: &mut World, node: usize, claim: usize, slot: usize) {
        let at = &mut world.nodes[node].at[claim];
        let answer = at.take(slot);
        at.knows |= answer.reply() == Some(Reply::Told);
        let Some(vote) = self.vote(world, claim, answer) else { return };
        world.nodes[node].at[claim].vote = vote;
        if vote == Vote::Told || world.claims[claim].phase == Phase::Held {
            return;
        }
        let after = world.count(claim, |vote| vote == Vote::After);
        if after + world.count(claim, |vote| vote == Vote::Yes) >= QUORUM[self.run.nodes] {
            self.seen.note_won(&world.claims[claim], after >= QUORUM[self.run.nodes]);
            if !self.run.greets {
                self.seen.note(Event::Learnt);
            }
            self.hold(world, claim);
        }
    }

    /// What an answer says; None if it says nothing that counts.
    pub fn vote(&self, world: &World, claim: usize, answer: Message) -> Option<Vote> {
        let of = &world.claims[claim];
        let of_this_round = answer.round() == of.round;
        let asked = match (of.phase, answer.ask()) {
            (Phase::Trying, Ask::Acquire) => true,
            (Phase::Extending, Ask::Extend) => of_this_round,
            (Phase::Extending, Ask::Heal) => {
                of_this_round && self.rules.broken(Mutant::CountsHealed)
            }
            // It is too late for this one's vote, and in time to be healed.
            (Phase::Held, Ask::Extend) => of_this_round && answer.reply() == Some(Reply::Missing),
            _ => false,
        };
        let vote = match answer.reply()? {
            Reply::Done => Vote::Yes,
            Reply::DoneAfter => Vote::After,
            Reply::Missing if self.run.roles[claim].heals => Vote::Missing,
            Reply::Told => Vote::Told,
            Reply::Missing | Reply::Quarantined | Reply::Refused => return None,
        };
        asked.then_some(vote)
    }

    /// The quorum's last vote has arrived: the call ends with the lock, or has it for longer.
    fn hold(&self, world: &mut World, claim: usize) {
        let of = &mut world.claims[claim];
        if of.phase == Phase::Extending {
            of.left = of.left.max(of.fresh);
        } else {
            world.disordered |= of.number > 0 && of.number <= of.floor;
            world.shown = world.shown.max(of.number);
        }
        (of.phase, of.fresh, of.floor) = (Phase::Held, 0, 0);
        for node in &mut world.nodes {
            let vote = &mut node.at[claim].vote;
            if *vote != Vote::Missing {
                *vote = Vote::None;
            }
        }
    }

    pub fn extend(&self, world: &mut World, claim: usize) {
        let of = &mut world.claims[claim];
        of.phase = Phase::Extending;
        of.fresh = self.rules.belief();
        of.round += 1;
        let question = Message::new(Ask::Extend, true, of.round, of.number);
        world.clear_votes(claim);
        for node in &mut world.nodes[..self.run.nodes] {
            node.at[claim].put(question);
        }
    }

    /// Gives a node its key back, by a fresh number if it has one.
    pub fn heal(&self, world: &mut World, node: usize, claim: usize, number: u8) {
        let of = &mut world.claims[claim];
        of.sent = of.sent.max(number);
        let round = of.round;
        let at = &mut world.nodes[node].at[claim];
        at.vote = Vote::None;
        at.put(Message::new(Ask::Heal, at.knows, round, number));
    }

    /// A release, a call that gives up, or one that has lost its lock.
    pub fn end(&self, world: &mut World, claim: usize) {
        world.claims[claim] = Claim { phase: Phase::Done, ..Claim::default() };
        world.clear_votes(claim);
    }

    /// Time passes: at all nodes alike, and in what the claims believe. An extension that is
    /// under way may still come through when the belief is over, as if nothing had been lost:
    /// the library is stricter.
    pub fn tick(&self, world: &mut World) {
        world.ticks -= 1;
        for node in &mut world.nodes[..self.run.nodes] {
            node.data.pass(1);
            node.saved.pass(1);
        }
        for claim in 0..CLAIMS {
            let of = &mut world.claims[claim];
            of.left = of.left.saturating_sub(1);
            of.fresh = of.fresh.saturating_sub(1);
            if of.left + of.fresh == 0 && !matches!(of.phase, Phase::Idle | Phase::Done) {
                self.end(world, claim);
            }
        }
    }

    /// Drops what can make no difference any more, so that states that only differ in that
    /// are one.
    pub fn tidy(&self, world: &mut World) {
        for claim in (0..CLAIMS).filter(|&claim| world.claims[claim].phase != Phase::Idle) {
            for node in 0..self.run.nodes {
                let mut at = world.nodes[node].at[claim];
                at.retain(|message| !self.says_nothing(world, node, claim, message));
                world.nodes[node].at[claim] = at;
            }
        }
    }

    /// Whether the message can do nothing on its way to the node, nor on the way back.
    fn says_nothing(&self, world: &World, node: usize, claim: usize, message: Message) -> bool {
        let here = &world.nodes[node];
        let counts = |answer| self.vote(world, claim, answer).is_some();
        match message.reply() {
            // A run id is of use as long as the client may ask again.
            Some(Reply::Told) => here.at[claim].knows || world.claims[claim].phase == Phase::Done,
            Some(_) => !counts(message),
            None if message.ask() == Ask::Extend => {
                let may_come = here.at[claim].messages().any(Message::may_set);
                let may_have = here.data.has(claim) || may_come || self.run.may_replicate();
                !may_have && !counts(message.answered(Reply::Missing))
            }
            None => false,
        }
    }
}
