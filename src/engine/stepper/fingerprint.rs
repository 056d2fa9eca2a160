//! What a state of a stepped world looks like, so that it is played on from once.
//! It changes nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::world::World;

impl World {
    /// What this state looks like. Tokens are named in the order in which they
    /// are met, so that it does not matter how they came about.
    pub(super) fn fingerprint(&self) -> u64 {
        let (mut hasher, mut known) = (DefaultHasher::new(), Vec::new());
        let mut name = |token: &[u8]| {
            let place = known.iter().position(|known| known == token);
            place.unwrap_or_else(|| {
                known.push(token.to_vec());
                known.len()
            })
        };
        (self.now, self.losses, self.drops, self.stalls, self.pauses).hash(&mut hasher);
        for client in &self.clients {
            (client.attempts, format!("{:?}", client.engine)).hash(&mut hasher);
            client.engine.ops.tokens().for_each(|token| name(token).hash(&mut hasher));
            for caller in &client.callers {
                format!("{caller:?}").hash(&mut hasher);
                caller.locks.iter().for_each(|lock| {
                    name(lock.claim.token.as_bytes()).hash(&mut hasher);
                });
            }
            for link in &client.links {
                let answers = link.answers.iter().map(|(sent, answer)| (sent, Some(answer)));
                for (sent, answer) in answers.chain(link.sent.iter().map(|sent| (sent, None))) {
                    sent.ticket.ask.hash(&mut hasher);
                    (sent.ticket.op, sent.offered_at, name(&sent.token)).hash(&mut hasher);
                    format!("{answer:?}").hash(&mut hasher);
                }
            }
        }
        for store in &self.nodes {
            let store = store.as_ref().filter(|(_, until)| self.now < *until);
            store.map(|(token, until)| (name(token), *until)).hash(&mut hasher);
        }
        for (node, sent) in &self.late {
            (*node, sent.ticket.ask, sent.offered_at, name(&sent.token)).hash(&mut hasher);
        }
        hasher.finish()
    }
}
