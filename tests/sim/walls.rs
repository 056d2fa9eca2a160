//! Wall clocks: how far they are from each other, and how that changes. Locks go by none of them,
//! fencing numbers begin with them.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use crate::{
    draw::{chance, pick},
    plan::{Fault, Plan, Planned, SECOND},
    profile::Traits,
    stage::Truth,
};

/// A client or node whose clock is further ahead than this is not believed; in microseconds.
const PLAUSIBLE: i64 = 3_600_000_000;

impl Plan {
    /// Draws who asks for fencing numbers, and what the wall clocks say. It has a chance of its
    /// own, so that all else is as it would be without.
    pub fn fence(&mut self, traits: &Traits) {
        let mut rng = SmallRng::seed_from_u64(self.seed ^ 0x2545_f491_4f6c_dd1d);
        self.habits.fenced = *pick(&mut rng, traits.fenced);
        if self.habits.fenced == 0 || self.scene.is_some() {
            return;
        }
        let most = *pick(&mut rng, traits.walls);
        self.clients
            .iter_mut()
            .for_each(|client| client.wall_ahead = rng.random_range(-most..=most));
        let most = *pick(&mut rng, traits.walls);
        self.node_walls.iter_mut().for_each(|wall| *wall = rng.random_range(-most..=most));
        if traits.most_faults > 0 && chance(&mut rng, 400) {
            self.set_walls(&mut rng);
        }
        self.walls_agree = self.clients.iter().all(|client| client.wall_ahead == 0)
            && !self.faults.iter().any(|planned| matches!(planned.fault, Fault::SetWall { .. }));
        self.walls_apart = self.apart() > PLAUSIBLE;
    }

    /// Some clients' wall clocks are set meanwhile.
    fn set_walls(&mut self, rng: &mut SmallRng) {
        for _ in 0..rng.random_range(1..=3) {
            let client = rng.random_range(0..self.clients.len());
            let millis =
                *pick(rng, &[-86_400_000, -1_700_000, -60_000, -1_500, -5, 5, 1_500, 60_000]);
            let fault = Fault::SetWall { client, millis };
            self.faults.push(Planned { at: rng.random_range(0..2 * SECOND), lasts: 0, fault });
        }
        self.faults.sort_by_key(|planned| planned.at);
    }

    /// How far two wall clocks may ever be apart, in microseconds.
    fn apart(&self) -> i64 {
        let walls = self.clients.iter().map(|client| client.wall_ahead);
        let (mut least, mut most) = (0, 0);
        for wall in walls.chain(self.node_walls.iter().copied()) {
            (least, most) = (wall.min(least), wall.max(most));
        }
        for planned in &self.faults {
            if let Fault::SetWall { millis, .. } | Fault::Step { millis, .. } = planned.fault {
                let by = millis * 1_000;
                (least, most) = (least + by.min(0), most + by.max(0));
            }
        }
        most - least
    }
}

impl Truth {
    /// What a client's wall clock says, in nanoseconds.
    pub fn wall(&self, client: usize) -> i64 {
        self.now as i64 + self.clients[client].wall_ahead * 1_000
    }

    /// A client's wall clock is set.
    pub fn set_wall(&mut self, client: usize, millis: i64) {
        let wall = &mut self.clients[client].wall_ahead;
        *wall += millis * 1_000;
        self.oracle.numbers.note_wall(*wall);
    }
}
