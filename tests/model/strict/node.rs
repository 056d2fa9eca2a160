//! What a node does with a question: the scripts, without their errors.

use super::{
    message::{Ask, Message, Reply},
    rules::{Mutant, Rules},
    world::{CLAIMS, Data, Epoch},
};

impl Data {
    /// Carries the question of a claim out. What is replied is filed under the question.
    pub fn carry_out(&mut self, claim: usize, question: Message, rules: Rules) -> Message {
        let was = self.epoch;
        let reply = match question.ask() {
            Ask::Extend => self.extend(claim, question.number(), rules),
            Ask::Acquire | Ask::Heal => match self.prelude(question, rules) {
                Err(reply) => reply,
                Ok(()) => self.acquire(claim, question.number(), rules),
            },
        };
        let after = reply == Reply::Done && was == Epoch::Quarantine(0);
        question.answered(if after { Reply::DoneAfter } else { reply })
    }

    pub fn has(&self, claim: usize) -> bool {
        usize::from(self.lock) == claim + 1
    }

    /// `epoch.lua`: a node that has forgotten has no vote.
    fn prelude(&mut self, question: Message, rules: Rules) -> Result<(), Reply> {
        let trusted =
            question.knows() && (self.epoch == Epoch::Own || rules.broken(Mutant::LooksOnConnect));
        if trusted || rules.broken(Mutant::NotStrict) {
            return Ok(());
        }
        self.look(rules);
        if matches!(self.epoch, Epoch::Quarantine(_)) && question.ask() != Ask::Heal {
            return Err(Reply::Quarantined);
        }
        if question.knows() { Ok(()) } else { Err(Reply::Told) }
    }

    /// Its slow path: compares the record with the true run id and the time.
    pub fn look(&mut self, rules: Rules) {
        let begun = Epoch::Quarantine(rules.quarantine());
        self.epoch = match self.epoch {
            Epoch::None if rules.broken(Mutant::NoEpochIsNew) => Epoch::Own,
            Epoch::Other if rules.broken(Mutant::AnyEpoch) => Epoch::Own,
            Epoch::None | Epoch::Other => begun,
            Epoch::Quarantine(0) => Epoch::Own,
            Epoch::Quarantine(_) if rules.broken(Mutant::BeginsAnew) => begun,
            own @ (Epoch::Own | Epoch::Quarantine(_)) => own,
        };
    }

    /// `acquire.lua`, and with 0 `plain.lua`. A key that is there lives no longer by it.
    fn acquire(&mut self, claim: usize, number: u8, rules: Rules) -> Reply {
        let is_free = self.lock == 0;
        if !is_free && !self.has(claim) || number > 0 && number <= self.fence {
            return Reply::Refused;
        }
        if is_free {
            (self.lock, self.left) = (claim as u8 + 1, rules.life());
        }
        self.fence = self.fence.max(number);
        Reply::Done
    }

    /// `extend.lua`: a node that has the key need not be asked for its epoch.
    fn extend(&mut self, claim: usize, number: u8, rules: Rules) -> Reply {
        if !self.has(claim) {
            return Reply::Missing;
        }
        self.left = self.left.max(rules.life());
        self.fence = self.fence.max(number);
        Reply::Done
    }

    /// `release.lua`.
    pub fn release(&mut self, claim: usize) {
        if self.has(claim) {
            (self.lock, self.left) = (0, 0);
        }
    }

    /// The node's clock goes on, or is set forward.
    pub fn pass(&mut self, time: u8) {
        self.left = self.left.saturating_sub(time);
        if self.left == 0 {
            self.lock = 0;
        }
        if let Epoch::Quarantine(left) = &mut self.epoch {
            *left = left.saturating_sub(time);
        }
    }

    /// Whether a stranger who asks at every tick is granted by the time that a key of now
    /// and a quarantine that begins now are over.
    pub fn grants_again(mut self, rules: Rules) -> bool {
        let stranger = Message::new(Ask::Acquire, true, 0, 0);
        (0..=rules.life()).any(|_| {
            let answer = self.carry_out(CLAIMS, stranger, rules);
            self.pass(1);
            matches!(answer.reply(), Some(Reply::Done | Reply::DoneAfter))
        })
    }
}
