//! What a node does with a question: the scripts, without their lifetimes and their errors.

use crate::{
    message::{Ask, Message, Reply},
    rules::{Mutant, Rules},
    world::Node,
};

impl Node {
    /// Carries the question of a claim out. What is replied is filed under the question.
    pub fn carry_out(&mut self, claim: usize, question: Message, rules: Rules) -> Message {
        let number = question.number();
        let reply = match question.ask() {
            Ask::Acquire => self.acquire(claim, number, rules),
            Ask::Heal if rules.heals_by_the_old_number() => self.heal(claim, number, rules),
            Ask::Heal => self.acquire(claim, number, rules),
            Ask::Extend => self.extend(claim, number),
            Ask::HandOver => self.hand_over(claim, number, rules),
            Ask::Set | Ask::PlainHeal => self.set(claim),
            Ask::PlainExtend if self.has(claim) => Reply::Done,
            Ask::PlainExtend => Reply::Missing,
        };
        question.answered(reply, self.fence)
    }

    fn is_stale(&self, number: u8, rules: Rules) -> bool {
        number < self.fence || number == self.fence && !rules.broken(Mutant::M1)
    }

    /// `acquire.lua`.
    fn acquire(&mut self, claim: usize, number: u8, rules: Rules) -> Reply {
        if self.lock != 0 && !self.has(claim) {
            return Reply::Locked;
        }
        if self.is_stale(number, rules) {
            return Reply::Stale;
        }
        self.fence = number;
        self.lock = claim as u8 + 1;
        Reply::Done
    }

    /// Healing as three mutants have it.
    fn heal(&mut self, claim: usize, number: u8, rules: Rules) -> Reply {
        if self.lock != 0 {
            return Reply::Locked;
        }
        if rules.broken(Mutant::H2) && self.fence > number {
            return Reply::Stale;
        }
        if rules.broken(Mutant::M5) {
            self.fence = number;
        }
        self.fence = self.fence.max(if rules.broken(Mutant::H1) { 0 } else { number });
        self.lock = claim as u8 + 1;
        Reply::Done
    }

    /// `extend.lua`, as a renewal: is never refused for its number.
    fn extend(&mut self, claim: usize, number: u8) -> Reply {
        if !self.has(claim) {
            return Reply::Missing;
        }
        self.fence = self.fence.max(number);
        Reply::Done
    }

    /// `extend.lua`, to hand on.
    fn hand_over(&mut self, claim: usize, number: u8, rules: Rules) -> Reply {
        if !self.has(claim) {
            return Reply::Missing;
        }
        if self.is_stale(number, rules) {
            return Reply::Stale;
        }
        self.fence = number;
        Reply::Done
    }

    /// `SET NX`.
    fn set(&mut self, claim: usize) -> Reply {
        if self.lock != 0 && !self.has(claim) {
            return Reply::Locked;
        }
        self.lock = claim as u8 + 1;
        Reply::Done
    }

    /// `bury.lua`, and with 0 today's release.
    pub fn bury(&mut self, claim: usize, tombstone: u8) {
        if self.has(claim) {
            self.lock = 0;
        }
        self.fence = self.fence.max(tombstone);
    }

    /// Whether the question can change nothing here, now or later.
    pub fn is_in_vain(&self, question: Message, rules: Rules) -> bool {
        let passed = self.is_stale(question.number(), rules) && !rules.fences_may_fall();
        match question.ask() {
            Ask::Acquire | Ask::HandOver => passed,
            Ask::Heal => passed && !rules.heals_by_the_old_number(),
            Ask::Extend => question.number() <= self.fence && !rules.fences_may_fall(),
            Ask::PlainExtend => true,
            Ask::Set | Ask::PlainHeal => false,
        }
    }
}
