//! What a state of a stepped world looks like, so that it is played on from once.
//! It changes nothing.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::world::World;
use crate::{
    engine::{Engine, waiter::Waiter},
    exchange::{Answer, Content},
};

/// A hash in which tokens are named in the order in which they are met, so that it
/// does not matter how they came about.
#[derive(Default)]
struct Print<'a> {
    hasher: DefaultHasher,
    known: Vec<&'a [u8]>,
}

impl<'a> Print<'a> {
    fn add(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    fn name(&mut self, token: &'a [u8]) {
        let place = self.known.iter().position(|known| *known == token);
        let place = place.unwrap_or_else(|| {
            self.known.push(token);
            self.known.len() - 1
        });
        self.add(place);
    }

    /// What an engine knows, and what its `Debug` does not show.
    fn engine(&mut self, engine: &'a Engine) {
        self.add((format!("{engine:?}"), engine.undecided, format!("{:?}", engine.silent)));
        for op in engine.ops.iter() {
            self.name(op.head.claim.token.as_bytes());
            let (seen, waiter) = op.inside();
            seen.iter().flat_map(|rivals| rivals.tokens()).for_each(|token| self.name(token));
            waiter.into_iter().for_each(|waiter| self.waiter(waiter));
        }
        engine.turns.waiters().for_each(|waiter| self.waiter(waiter));
    }

    fn waiter(&mut self, waiter: &'a Waiter) {
        self.add(format!("{:?} {:?} {:?}", waiter.inside(), waiter.rivals, waiter.holder));
        waiter.tokens().for_each(|token| self.name(token));
    }

    fn answer(&mut self, answer: &'a Answer) {
        self.add(format!("{answer:?}"));
        if let Answer::Taken(found) = answer
            && let Content::Value(value) = &found.content
        {
            self.name(value.as_bytes());
        }
    }

    /// Of two values the larger one counts, whoever has it: so their order counts.
    fn finish(mut self) -> u64 {
        let mut sorted = self.known.clone();
        sorted.sort_unstable();
        let ranks: Vec<_> = self.known.iter().map(|known| sorted.binary_search(known)).collect();
        self.add(ranks);
        self.hasher.finish()
    }
}

impl World {
    /// What this state looks like.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut print = Print::default();
        print.add((self.now, self.losses, self.drops, self.stalls, self.pauses, self.denials));
        for client in &self.clients {
            print.add(client.attempts);
            print.engine(&client.engine);
            for caller in &client.callers {
                print.add(format!("{caller:?}"));
                caller.locks.iter().for_each(|lock| print.name(lock.claim.token.as_bytes()));
            }
            for link in &client.links {
                print.add((link.answers.len(), link.sent.len()));
                let answered = link.answers.iter().map(|(sent, _)| sent);
                for sent in answered.chain(&link.sent) {
                    print.add((sent.ticket.op, sent.ticket.ask, sent.offered_at));
                    print.name(&sent.token);
                }
                link.answers.iter().for_each(|(_, answer)| print.answer(answer));
            }
        }
        for store in &self.nodes {
            let store = store.as_ref().filter(|(_, until)| self.now < *until);
            print.add(store.map(|(_, until)| *until));
            store.into_iter().for_each(|(token, _)| print.name(token));
        }
        for (node, sent) in &self.late {
            print.add((*node, sent.ticket.ask, sent.offered_at));
            print.name(&sent.token);
        }
        print.finish()
    }
}
