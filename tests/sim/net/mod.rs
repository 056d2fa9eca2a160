//! The slower level: the same users, nodes and faults on tokio, over turmoil's
//! simulated network. It adds what the fast level leaves out: tokio's timers,
//! wakers and tasks, and connections that a runtime owns.
//!
//! Turmoil cannot stop a process, and its partitions lose segments for good,
//! where TCP sends them again. So a cut of both directions holds its messages
//! back and delivers them later, and a cut of a single direction leaves broken
//! connections behind.

mod links;
mod server;
#[cfg(test)]
mod tests;
mod world;

use std::{future::Future as _, sync::Arc, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::{Redlock, sim::World};
use tokio::{sync::watch, task::AbortHandle};

use self::world::NetWorld;
use crate::{
    oracle::{SETTLED_AFTER, UNTIL_GIVEN_UP},
    plan::{Fault, MS, Plan, SECOND},
    scene::Scene,
    stage::{Shared, Stage},
    users::User,
    violation::Check,
};

/// The steps in which time passes. Everything takes up to a tick longer.
const TICK: Duration = Duration::from_millis(10);

/// No run needs as long.
const LONGEST: u64 = 90 * SECOND;

/// Plays `plan`, and returns the stage as the run leaves it.
pub fn play(mut plan: Plan, record: bool) -> Shared {
    coarsen(&mut plan);
    let stage = Stage::within(plan.clone(), record, || {
        turmoil::sim_elapsed().map(|elapsed| elapsed.as_nanos() as u64)
    });
    stage.truth().oracle.tick = 2 * TICK;
    stage.truth().oracle.recovery += UNTIL_GIVEN_UP;
    let mut run = Run::new(&plan, Arc::clone(&stage));
    run.play(&plan);
    stage
}

/// Makes a plan fit for this level's tick.
pub fn coarsen(plan: &mut Plan) {
    // A round trip takes two ticks or three, and a first call three round trips.
    plan.slow_anyway = plan.profile.traits().slow_anyway;
    plan.habits.ttl = plan.habits.ttl.max(Duration::from_millis(300));
    plan.habits.locks = plan.habits.locks.min(3);
    let mut faults = std::mem::take(&mut plan.faults);
    faults.iter_mut().for_each(|planned| plan.stay_away(planned));
    // No process can be paused, and a run is too short for a node that stays down
    // until long locks have ended.
    faults.retain(|planned| !planned.fault.is_pause() && planned.lasts < 10 * SECOND);
    if matches!(plan.scene, Some(Scene::Watch(_))) {
        // Here a connection breaks when its client writes next, and a listener does not.
        faults.retain(|planned| !matches!(planned.fault, Fault::Break { .. }));
    }
    plan.faults = faults;
    let least = match plan.scene {
        // A rush is about clients for whom a round trip is a thirtieth of this at most.
        Some(Scene::Rush(_)) => 100 * TICK,
        Some(Scene::Watch(_) | Scene::Failover(_)) | None => 15 * TICK,
    };
    for client in 0..plan.clients.len() {
        let timeout = plan.node_timeout(client, plan.habits.ttl).max(least);
        plan.clients[client].node_timeout = Some(timeout);
        plan.clients[client].users = plan.clients[client].users.min(20);
    }
}

/// What the main loop shares with one client's host.
#[derive(Default)]
struct Process {
    driver: Option<AbortHandle>,
    users_left: usize,
    driver_done: bool,
}

struct Run<'a> {
    sim: turmoil::Sim<'a>,
    stage: Shared,
    /// Set when all users are done, so that each client drops its last handle.
    over: watch::Sender<bool>,
    processes: Vec<Arc<std::sync::Mutex<Process>>>,
    /// When which fault begins (true) or ends, the next one last.
    agenda: Vec<(u64, bool, usize)>,
    /// The faults that are not over.
    active: Vec<Fault>,
}

impl Run<'_> {
    fn new(plan: &Plan, stage: Shared) -> Self {
        let mut rng = SmallRng::seed_from_u64(plan.seed ^ 0x006e_6574);
        let (least, most) = plan.latency;
        let mut sim = turmoil::Builder::new()
            .tick_duration(TICK)
            .min_message_latency(Duration::from_nanos(least))
            .max_message_latency(Duration::from_nanos(most))
            .simulation_duration(Duration::from_nanos(2 * LONGEST))
            .tcp_capacity(4096)
            .rng_seed(rng.random())
            .enable_random_order()
            .build();
        for node in 0..plan.nodes.len() {
            let (stage, seed) = (Arc::clone(&stage), rng.random());
            sim.host(name("n", node), move || server::serve(Arc::clone(&stage), node, seed));
        }
        let (over, _) = watch::channel(false);
        let mut processes = Vec::new();
        for client in 0..plan.clients.len() {
            let process = Arc::new(std::sync::Mutex::new(Process {
                users_left: plan.clients[client].users,
                ..Process::default()
            }));
            processes.push(Arc::clone(&process));
            let (stage, plan) = (Arc::clone(&stage), plan.clone());
            let (over, seed) = (over.subscribe(), rng.next_u64());
            sim.host(name("c", client), move || {
                let (stage, plan) = (Arc::clone(&stage), plan.clone());
                live(plan, client, stage, over.clone(), Arc::clone(&process), seed)
            });
        }
        let faults = plan.faults.iter().enumerate();
        let mut agenda: Vec<_> = faults
            .flat_map(|(place, fault)| {
                [(fault.at, true, place), (fault.at + fault.lasts, false, place)]
            })
            .collect();
        agenda.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        Self { sim, stage, over, processes, agenda, active: Vec::new() }
    }

    fn play(&mut self, plan: &Plan) {
        if !self.until(LONGEST, |run| run.users_are_done() && run.agenda.is_empty()) {
            return self.fail(Check::CallWithoutEnd, "a call never ends");
        }
        self.over.send_replace(true);
        let mut settled = self.now() + SETTLED_AFTER;
        if plan.faults.iter().any(|planned| links::loses_segments(planned.fault)) {
            settled += UNTIL_GIVEN_UP;
        }
        let longest = plan.longest_life().as_nanos() as u64;
        // Keys of short locks would have expired by then anyway.
        if plan.habits.ttl.as_nanos() as u64 > settled - self.now() {
            self.until(settled, |_| false);
            self.stage.truth().check_leaks();
        } else if !self.until(settled + longest, Self::drivers_are_done) {
            self.fail(Check::DriverNeverEnds, "a driver never ends");
        }
    }

    fn fail(&self, check: Check, what: &str) {
        self.stage.truth().violate(check, what.to_owned());
    }

    fn now(&self) -> u64 {
        self.sim.elapsed().as_nanos() as u64
    }

    /// Goes on until `done` or a violation, and returns true then. Returns false at
    /// `limit`.
    fn until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let now = self.now();
            if now >= limit {
                return false;
            }
            {
                let mut truth = self.stage.truth();
                truth.now = now;
                truth.counts.virtual_nanos = now;
                truth.check_beliefs();
                if truth.oracle.violation.is_some() {
                    return true;
                }
            }
            while let Some((at, begins, place)) = self.agenda.last().copied()
                && at <= now
            {
                self.agenda.pop();
                self.fault(place, begins);
            }
            if let Err(error) = self.sim.step() {
                self.fail(Check::Simulation, &format!("the simulation ended: {error}"));
            }
        }
        true
    }

    fn users_are_done(&self) -> bool {
        self.processes.iter().all(|process| lock(process).users_left == 0)
    }

    fn drivers_are_done(&self) -> bool {
        self.processes.iter().all(|process| lock(process).driver_done)
    }

    fn fault(&mut self, place: usize, begins: bool) {
        let fault = {
            let mut truth = self.stage.truth();
            let fault = truth.plan.faults[place].fault;
            truth.fault(fault, begins);
            fault
        };
        if begins {
            self.active.push(fault);
        } else if let Some(place) = self.active.iter().position(|active| *active == fault) {
            self.active.swap_remove(place);
        }
        match fault {
            Fault::Cut { client, node, up, down } => {
                let others = self.active.contains(&fault);
                if begins || !others {
                    self.cut(name("c", client), name("n", node), (up, down), begins);
                }
            }
            Fault::Loss { node, .. } | Fault::Slow { node, .. } => self.degrade(node),
            Fault::Break { client, node, late } if begins => {
                self.stage.truth().breaks.insert((client, node), late);
            }
            Fault::Crash { node, .. } if begins => self.sim.crash(name("n", node)),
            Fault::Crash { node, .. } if !self.stage.truth().nodes[node].is_down() => {
                self.sim.bounce(name("n", node));
            }
            Fault::Kill { client } if begins => {
                self.sim.crash(name("c", client));
                let mut process = lock(&self.processes[client]);
                (process.users_left, process.driver_done) = (0, true);
            }
            Fault::EndRuntime { client } if begins => {
                let mut process = lock(&self.processes[client]);
                if let Some(driver) = process.driver.take() {
                    driver.abort();
                }
                process.driver_done = true;
            }
            // A connection that broke stays broken, a node that is still down by
            // another fault stays down, and a client that ended has ended.
            Fault::Break { .. }
            | Fault::Crash { .. }
            | Fault::Kill { .. }
            | Fault::EndRuntime { .. } => {}
            // The node's connections look at the stage whether it hangs.
            Fault::Hang { .. } => {}
            // The node's connections look at the stage whether their server is the node still,
            // and new ones whether they are cut.
            Fault::Failover { .. } | Fault::CutLogin { .. } => {}
            // These change the node's data, its answers or its clock, and no connection.
            Fault::Refuse { .. }
            | Fault::ForgetScripts { .. }
            | Fault::Flush { .. }
            | Fault::Swap { .. }
            | Fault::Evict { .. }
            | Fault::Follow { .. }
            | Fault::Step { .. }
            | Fault::SetWall { .. } => {}
            // No process stands still at this level: `coarsen` takes these out.
            Fault::Pause { .. } => {}
        }
    }
}

fn name(kind: &str, place: usize) -> String {
    format!("{kind}{place}")
}

fn lock(process: &std::sync::Mutex<Process>) -> std::sync::MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One client's process: its driver and its users, until both are done.
async fn live(
    plan: Plan,
    client: usize,
    stage: Shared,
    mut over: watch::Receiver<bool>,
    process: Arc<std::sync::Mutex<Process>>,
    seed: u64,
) -> turmoil::Result {
    let mut rng = SmallRng::seed_from_u64(seed);
    let world: Arc<dyn World> =
        Arc::new(NetWorld { stage: Arc::clone(&stage), client, seed: rng.random() });
    let (redlock, driver) = crate::fast::client_of(&plan, client, Arc::clone(&world));
    let done = Arc::clone(&process);
    let (mut driver, watched) = (driver, Arc::clone(&stage));
    let running = tokio::task::spawn_local(async move {
        std::future::poll_fn(|cx| {
            let polled = std::pin::Pin::new(&mut driver).poll(cx);
            watched.truth().check_load(client, driver.load());
            polled
        })
        .await;
        lock(&done).driver_done = true;
    });
    lock(&process).driver = Some(running.abort_handle());
    for _ in 0..plan.clients[client].users {
        let user = User {
            client,
            redlock: Redlock::clone(&redlock),
            world: Arc::clone(&world),
            stage: Arc::clone(&stage),
            rng: SmallRng::seed_from_u64(rng.random()),
        };
        let process = Arc::clone(&process);
        tokio::task::spawn_local(async move {
            user.live().await;
            let mut process = lock(&process);
            process.users_left = process.users_left.saturating_sub(1);
        });
    }
    // The sender lives as long as the simulation.
    let _ = over.wait_for(|over| *over).await;
    drop(redlock);
    let _ = running.await;
    Ok(())
}

const _: () =
    assert!((TICK.as_nanos() as u64).is_multiple_of(MS), "turmoil counts in milliseconds");
