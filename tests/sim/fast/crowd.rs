//! What a crowd costs at this level: many clients that want one key all the time, and no
//! faults. It is the same in every run, so a rule about whose turn it is that lets more of
//! them ask shows here. It measures no real time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use redlock_quorum::sim::Flavor;

use super::*;
use crate::{
    plan::{ClientPlan, MS},
    profile::Profile,
};

const TTL: Duration = Duration::from_secs(10);
const HOLD: Duration = Duration::from_millis(2);
const THINK: Duration = Duration::from_millis(20);

/// Sixteen clients of five nodes that are so far away, in nanoseconds one way.
struct Crowd {
    run: Run,
    acquired: Arc<AtomicU64>,
}

impl Crowd {
    fn at(latency: (u64, u64)) -> Self {
        let mut plan = Plan::draw(0, Profile::Calm);
        let one = ClientPlan {
            rate_ppm: 0,
            wall_ahead: 0,
            node_timeout: None,
            users: 0,
            ..plan.clients[0]
        };
        plan.clients = vec![one; 16];
        (plan.nodes, plan.flavors) = (vec![0; 5], vec![[Flavor::Old; 2]; 5]);
        plan.node_walls = vec![0; 5];
        (plan.latency, plan.habits.ttl) = (latency, TTL);
        let stage = Stage::new(plan.clone(), false);
        let net = Net::new(Arc::clone(&stage), &plan);
        let mut run = Run::new(&plan, stage, net);
        let acquired = Arc::default();
        for client in 0..plan.clients.len() {
            let life = live(&run, client, Arc::clone(&acquired));
            run.add(client, Job::User(Box::pin(life)));
        }
        Self { run, acquired }
    }

    fn until(&mut self, at: u64) {
        self.run.net.state().push(at, Event::Wake(Waker::noop().clone()));
        assert!(self.run.until(|run| run.stage.truth().now >= at));
        assert!(self.run.stage.truth().oracle.violation.is_none());
    }

    fn commands(&self) -> u64 {
        self.run.stage.truth().counts.commands
    }

    /// How many commands an acquire takes, its release included, and how many there are in a
    /// second.
    fn costs(&mut self) -> (u64, u64) {
        self.until(SECOND);
        let before = (self.commands(), self.acquired.load(Relaxed));
        self.until(4 * SECOND);
        let acquired = self.acquired.load(Relaxed) - before.1;
        ((self.commands() - before.0).div_ceil(acquired), acquired / 3)
    }
}

/// Wants the key, has it, thinks.
fn live(run: &Run, client: usize, acquired: Arc<AtomicU64>) -> impl Future<Output = ()> + use<> {
    let redlock = run.handles[client].clone().unwrap();
    let world = FastWorld { net: Arc::clone(&run.net), client, seed: 0 };
    async move {
        loop {
            let guard = redlock.lock("k").ttl(TTL).await.unwrap();
            acquired.fetch_add(1, Relaxed);
            world.sleep(HOLD).await;
            guard.release().await.unwrap();
            world.sleep(THINK).await;
        }
    }
}

#[test]
fn a_release_of_a_crowded_lock_brings_few_to_ask() {
    // Ten commands are the lock's own.
    let costs = |latency| Crowd::at(latency).costs();
    let (commands, acquired) = costs((MS / 10, 2 * MS / 5));
    assert!(commands <= 17 && acquired >= 200, "near: {commands}, {acquired} a second");
    let (commands, acquired) = costs((2 * MS, 2 * MS + MS / 10));
    assert!(commands <= 95 && acquired >= 70, "away: {commands}, {acquired} a second");
}
