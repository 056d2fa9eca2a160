//! What a claim does: asks, counts votes, goes on with another number, holds, hands on,
//! heals, lets go. `steps` says when it may.

use crate::{
    message::{Ask, Message, Reply},
    model::Fencing,
    rules::Mutant,
    runs::Heir,
    seen::Event,
    world::{BOTH, CLAIMS, Claim, NODES, ORDER, Phase, QUORUM, TWICE, Vote, World},
};

impl Fencing {
    /// The call begins, with whatever number its clock says; with 0 it is a plain client's.
    pub fn begin(&self, world: &mut World, claim: usize, number: u8) {
        let floor = if number > 0 { world.highest_shown() } else { 0 };
        let of = &mut world.claims[claim];
        *of = Claim { phase: Phase::Trying, number, sent: number, floor, ..*of };
        self.ask_all(world, claim, if number > 0 { Ask::Acquire } else { Ask::Set });
    }

    fn ask_all(&self, world: &mut World, claim: usize, ask: Ask) {
        let number = world.claims[claim].number;
        for node in &mut world.nodes {
            node.at[claim].put(Message::new(ask, number));
        }
    }

    /// An answer arrives.
    pub fn hear(&self, world: &mut World, node: usize, claim: usize, slot: usize) {
        let answer = world.nodes[node].at[claim].take(slot);
        let Some(vote) = self.vote(world, claim, answer) else { return };
        let of = &mut world.claims[claim];
        if of.phase == Phase::Trying && of.number > 0 && vote != Vote::Yes {
            of.seen = of.seen.max(answer.fence());
        }
        world.nodes[node].at[claim].vote = vote;
        let enough = if self.rules.broken(Mutant::OneVote) { 1 } else { QUORUM };
        if world.count(claim, Vote::Yes) >= enough {
            self.hold(world, claim);
        }
    }

    /// What an answer counts for; None if it is of another round, or no vote at all.
    pub fn vote(&self, world: &World, claim: usize, answer: Message) -> Option<Vote> {
        let of = &world.claims[claim];
        let of_this_round = answer.number() == of.number || self.rules.broken(Mutant::M4);
        let counts = match (of.phase, answer.ask()) {
            (Phase::Trying, Ask::Acquire) => of_this_round,
            (Phase::Trying, Ask::Set) | (Phase::Handing, Ask::PlainExtend) => of.number == 0,
            (Phase::Handing, Ask::HandOver) => answer.number() == of.number,
            // Two mutants hand on by a renewal.
            (Phase::Handing, Ask::Extend) => {
                answer.number() == of.number
                    && matches!(self.rules.0, Some(Mutant::M2 | Mutant::M3))
            }
            _ => false,
        };
        let vote = match answer.reply()? {
            Reply::Done => Vote::Yes,
            Reply::Stale => Vote::Stale,
            Reply::Locked if answer.fence() < of.number.max(1) => Vote::Below,
            Reply::Locked => Vote::Above,
            Reply::Missing => Vote::No,
        };
        counts.then_some(vote)
    }

    /// The quorum's last vote has arrived: the call ends with the lock, and shows its number.
    fn hold(&self, world: &mut World, claim: usize) {
        self.seen.note_won(&world.claims[claim], &self.run.roles[claim]);
        if self.run.expiries == 0 && world.claims.iter().any(|other| other.phase == Phase::Held) {
            world.broken |= BOTH;
        }
        let of = &mut world.claims[claim];
        if of.number > 0 {
            if of.number <= of.floor {
                world.broken |= ORDER;
            }
            if world.shown & 1 << of.number != 0 {
                world.broken |= TWICE;
            }
            world.shown |= 1 << of.number;
        }
        of.phase = Phase::Held;
        (of.rounds, of.insisted, of.seen, of.floor) = (0, 0, 0, 0);
        world.clear_votes(claim);
    }

    /// A higher number than any that was seen, the same token, all nodes, votes counted anew.
    pub fn ask_anew(&self, world: &mut World, claim: usize) {
        let of = &mut world.claims[claim];
        of.number = of.seen + 1;
        of.sent = of.number;
        of.rounds += 1;
        if !self.rules.broken(Mutant::M4) {
            world.clear_votes(claim);
        }
        self.ask_all(world, claim, Ask::Acquire);
    }

    /// Keeps its votes and asks those again that refused; they have not taken its number.
    pub fn insist(&self, world: &mut World, claim: usize) {
        world.claims[claim].insisted += 1;
        if world.count(claim, Vote::Above) + world.count(claim, Vote::Stale) > 0 {
            return self.ask_anew(world, claim);
        }
        let number = world.claims[claim].number;
        for at in world.nodes.iter_mut().map(|node| &mut node.at[claim]) {
            if at.vote == Vote::Below {
                at.vote = Vote::None;
                at.put(Message::new(Ask::Acquire, number));
            }
        }
    }

    pub fn renew(&self, world: &mut World, claim: usize) {
        world.claims[claim].renewals += 1;
        self.ask_all(world, claim, Ask::Extend);
    }

    /// Gives a node its key back; with 0 as a plain client does.
    pub fn heal(&self, world: &mut World, node: usize, claim: usize, number: u8) {
        let of = &mut world.claims[claim];
        of.heals += 1;
        of.sent = of.sent.max(number);
        let ask = if number > 0 { Ask::Heal } else { Ask::PlainHeal };
        world.nodes[node].at[claim].put(Message::new(ask, number));
    }

    /// The lock goes on under the same token. The heir's call is counted from here, which
    /// is the latest moment at which it may have begun.
    pub fn hand_over(&self, world: &mut World, claim: usize, number: u8) {
        let floor = if number > 0 { world.highest_shown() } else { 0 };
        let of = &mut world.claims[claim];
        let was_plain = of.number == 0;
        *of = Claim {
            phase: Phase::Handing,
            number,
            sent: of.sent.max(number),
            floor,
            heirs: of.heirs + 1,
            ..*of
        };
        let uncompared =
            self.rules.broken(Mutant::M2) || self.rules.broken(Mutant::M3) && was_plain;
        let ask = match number {
            0 => Ask::PlainExtend,
            _ if uncompared => Ask::Extend,
            _ => Ask::HandOver,
        };
        self.ask_all(world, claim, ask);
    }

    /// Which heir is next, if there is one.
    pub fn next_heir(&self, world: &World, claim: usize) -> Option<Heir> {
        self.run.roles[claim].heirs.get(usize::from(world.claims[claim].heirs)).copied()
    }

    /// A release, and as well a call that gives up, or a hand-over that failed.
    pub fn let_go(&self, world: &mut World, claim: usize) {
        let of = &mut world.claims[claim];
        *of =
            Claim { phase: Phase::Ending, number: of.number, sent: of.sent, ..Default::default() };
        world.clear_votes(claim);
    }

    /// A node is asked to let go, and answers. What is adrift there is refused by the
    /// tombstone if it carries a number; else the node is asked again until nothing can
    /// come any more. Where nothing is adrift in truth, the claim may think so or not.
    pub fn end(&self, world: &mut World, node: usize, claim: usize, bury: bool) {
        let of = world.claims[claim];
        let at = &world.nodes[node].at[claim];
        let tombstone = match self.rules.0 {
            _ if !bury => 0,
            Some(Mutant::M6) => 0,
            Some(Mutant::M7) => of.number,
            _ => of.sent,
        };
        let once_is_enough = of.sent > 0 && matches!(self.rules.0, Some(Mutant::X4 | Mutant::X4c));
        let may_come = at.messages().any(Message::sets_without_number) && !once_is_enough;
        if tombstone > 0 {
            self.seen.note(Event::Buried);
        }
        world.nodes[node].bury(claim, tombstone);
        if !may_come {
            world.nodes[node].at[claim].vote = Vote::Clean;
        }
    }

    /// Drops what can make no difference any more, so that states that only differ in that
    /// are one.
    pub fn tidy(&self, world: &mut World) {
        for claim in 0..CLAIMS {
            match world.claims[claim].phase {
                Phase::Idle => continue,
                Phase::Ending => self.close(world, claim),
                Phase::Trying | Phase::Held | Phase::Handing | Phase::Done => {}
            }
            for node in (0..NODES).filter(|_| !self.keeps_all) {
                self.tidy_at(world, node, claim);
            }
        }
    }

    /// A node that has nothing of an ended claim, can get nothing, and can't be given a
    /// higher fence by it, need not be asked.
    fn close(&self, world: &mut World, claim: usize) {
        let sent = world.claims[claim].sent;
        for node in &mut world.nodes {
            if node.at[claim].is_idle() && !node.has(claim) && sent <= node.fence {
                node.at[claim].vote = Vote::Clean;
            }
        }
        if world.count(claim, Vote::Clean) == NODES {
            world.claims[claim] = Claim { phase: Phase::Done, ..Default::default() };
        }
    }

    fn tidy_at(&self, world: &mut World, node: usize, claim: usize) {
        let here = &world.nodes[node];
        if here.at[claim].is_idle() {
            return;
        }
        let mut at = here.at[claim];
        if at.vote == Vote::Clean {
            // It waits for no answer; what may come can only set the key.
            at.retain(|message| match (message.reply(), message.ask()) {
                (Some(_), _) | (None, Ask::Extend | Ask::HandOver | Ask::PlainExtend) => false,
                (None, Ask::Acquire | Ask::Heal) if here.is_in_vain(message, self.rules) => {
                    self.seen.note(Event::CameTooLate);
                    false
                }
                (None, Ask::Acquire | Ask::Heal | Ask::Set | Ask::PlainHeal) => true,
            });
        } else {
            at.retain(|message| !self.says_nothing(world, node, claim, message));
        }
        world.nodes[node].at[claim] = at;
    }

    /// Whether the message can do nothing on its way to the node, nor on the way back.
    fn says_nothing(&self, world: &World, node: usize, claim: usize, message: Message) -> bool {
        let counts = |answer| self.vote(world, claim, answer).is_some();
        match message.reply() {
            Some(_) => !counts(message),
            None => {
                world.nodes[node].is_in_vain(message, self.rules)
                    && !counts(message.answered(Reply::Done, 0))
            }
        }
    }
}
