//! The scene of a rush: all users ask for one key at one moment, and nobody has
//! it. Whatever the nodes grant to whom, one of those who ask must get it.

use std::time::Duration;

use rand::RngExt as _;

use crate::{stage::Truth, users::User, violation::Check};

/// Rounds of a rush, each for a key that nobody has had.
#[derive(Clone, Debug)]
pub struct Rush {
    pub rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// When it begins, in nanoseconds.
    pub at: u64,
    /// How much later a user may ask at most, in nanoseconds.
    pub spread: u64,
    /// Whether some of those who ask wait for their turn.
    pub some_wait: bool,
    /// How long a winner holds the lock.
    pub holds: Duration,
}

/// What has come of a round so far.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    asked: usize,
    over: usize,
    won: usize,
    /// Whether somebody had the key, or too few nodes were up, when a user asked or
    /// was answered.
    blocked: bool,
}

/// How long those wait who do.
const WAIT: Duration = Duration::from_secs(1);

impl User {
    pub(super) async fn rush(mut self, rush: Rush) {
        for (number, round) in rush.rounds.iter().enumerate() {
            let late = self.rng.random_range(0..=round.spread);
            let waits = round.some_wait && self.rng.random_range(0..2) == 0;
            self.until(round.at + late).await;
            let key = format!("r{number}").into_bytes();
            self.stage.truth().enter_round(number, &key);
            let wait = if waits { WAIT } else { Duration::ZERO };
            let won = self.ask(self.redlock.lock(&key), &key, Some(wait)).await;
            self.stage.truth().leave_round(number, won.is_some());
            if let Some(holding) = won {
                self.world.sleep(round.holds).await;
                self.release(holding).await;
            }
        }
    }
}

impl Truth {
    fn enter_round(&mut self, number: usize, key: &[u8]) {
        let (up, held) = (self.quorum_is_up(), self.is_ruled(key));
        let so_far = self.progress.rounds.entry(number).or_default();
        // Whoever comes after the first may find that the first has won.
        so_far.blocked |= !up || held && so_far.asked == 0;
        so_far.asked += 1;
    }

    /// A call of a round is over. When all are, one of them must have got the lock.
    fn leave_round(&mut self, number: usize, won: bool) {
        let (up, all) = (self.quorum_is_up(), self.plan.clients.len());
        let so_far = self.progress.rounds.entry(number).or_default();
        so_far.over += 1;
        so_far.won += usize::from(won);
        so_far.blocked |= !up;
        let SoFar { over, won, blocked, .. } = *so_far;
        if over == all && won == 0 && !blocked {
            let what = format!("{all} clients asked for `r{number}` at once, and nobody got it");
            self.violate(Check::NobodyWon, what);
        }
    }

    fn quorum_is_up(&self) -> bool {
        let up = self.nodes.iter().filter(|node| !node.is_down() && node.hung == 0);
        up.count() >= self.plan.quorum()
    }
}
