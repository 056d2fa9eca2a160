//! The fast level: the whole client, its own connections included, over a
//! network and nodes that are nothing but a list of events. There is no runtime
//! and no thread, and time passes when nothing is left to do.

#[cfg(test)]
mod crowd;
mod links;
mod net;
#[cfg(test)]
mod tests;
mod world;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::{
    Redlock,
    sim::{Driver, Load, World, build},
};

use self::{
    net::{Event, Net},
    world::FastWorld,
};
use crate::{
    oracle::SETTLED_AFTER,
    plan::{Fault, Plan, SECOND},
    stage::{Shared, Stage},
    users::User,
    violation::Check,
};

/// No run needs as long: users give up, and keys expire.
const LONGEST: u64 = 600 * SECOND;

/// More polls than this at one moment are a loop.
const MOST_POLLS: u32 = 20_000;

/// Plays `plan`, and returns the stage as the run leaves it.
pub fn play(plan: Plan, record: bool) -> Shared {
    let stage = Stage::new(plan.clone(), record);
    let net = Net::new(Arc::clone(&stage), &plan);
    let mut run = Run::new(&plan, Arc::clone(&stage), net);
    run.play();
    stage
}

struct Run {
    stage: Shared,
    net: Arc<Net>,
    rng: SmallRng,
    tasks: Vec<Task>,
    ready: Arc<Mutex<Vec<usize>>>,
    /// Tasks that are ready, but whose process stands still.
    stalled: Vec<usize>,
    /// Handles that keep the drivers alive while users come and go.
    handles: Vec<Option<Redlock>>,
    /// How many faults are not over.
    open_faults: usize,
    polls: u32,
}

struct Task {
    client: usize,
    job: Option<Job>,
    waker: Arc<Wakeup>,
}

enum Job {
    Driver(Box<Driver>),
    User(Pin<Box<dyn Future<Output = ()>>>),
}

struct Wakeup {
    id: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        }
    }
}

impl Run {
    fn new(plan: &Plan, stage: Shared, net: Arc<Net>) -> Self {
        let mut run = Self {
            stage,
            net,
            rng: SmallRng::seed_from_u64(plan.seed ^ 0x7461_736b),
            tasks: Vec::new(),
            ready: Arc::default(),
            stalled: Vec::new(),
            handles: Vec::new(),
            open_faults: plan.faults.len(),
            polls: 0,
        };
        for client in 0..plan.clients.len() {
            run.add_client(plan, client);
        }
        run
    }

    fn add_client(&mut self, plan: &Plan, client: usize) {
        let seed = self.rng.random();
        let world: Arc<dyn World> =
            Arc::new(FastWorld { net: Arc::clone(&self.net), client, seed });
        let (redlock, driver) = client_of(plan, client, Arc::clone(&world));
        self.add(client, Job::Driver(Box::new(driver)));
        for _ in 0..plan.clients[client].users {
            let user = User {
                client,
                redlock: redlock.clone(),
                world: Arc::clone(&world),
                stage: Arc::clone(&self.stage),
                rng: SmallRng::seed_from_u64(self.rng.random()),
            };
            self.add(client, Job::User(Box::pin(user.live())));
        }
        self.handles.push(Some(redlock));
    }

    fn add(&mut self, client: usize, job: Job) {
        let (id, ready) = (self.tasks.len(), Arc::clone(&self.ready));
        let waker = Arc::new(Wakeup { id, queued: AtomicBool::new(false), ready });
        Arc::clone(&waker).wake();
        self.tasks.push(Task { client, job: Some(job), waker });
    }

    /// Plays the users' lives, and then checks what they leave behind.
    fn play(&mut self) {
        if !self.until(|run| run.users_are_done() && run.open_faults == 0) {
            return self.fail(Check::CallWithoutEnd, "a call never ends");
        }
        let settled = self.stage.truth().now + SETTLED_AFTER;
        self.net.state().push(settled, Event::Wake(Waker::noop().clone()));
        if !self.until(|run| run.stage.truth().now >= settled) {
            return;
        }
        self.stage.truth().check_leaks();
        for (client, load) in self.loads() {
            self.stage.truth().check_idle(client, load);
        }
        for handle in &mut self.handles {
            drop(handle.take());
        }
        if !self.until(|run| run.tasks.iter().all(|task| task.job.is_none())) {
            for (client, load) in self.loads() {
                self.stage.truth().check_rest(client, load);
            }
            self.fail(Check::DriverNeverEnds, "a driver never ends");
        }
    }

    /// The load of each driver that has not ended.
    fn loads(&self) -> Vec<(usize, Load)> {
        let load = |task: &Task| match &task.job {
            Some(Job::Driver(driver)) => Some((task.client, driver.load())),
            Some(Job::User(_)) | None => None,
        };
        self.tasks.iter().filter_map(load).collect()
    }

    fn fail(&self, check: Check, what: &str) {
        self.stage.truth().violate(check, what.to_owned());
    }

    /// Goes on until `done` or a violation, and returns true then. Returns false if
    /// nothing happens any more, or not before [`LONGEST`].
    fn until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.run_ready();
            if self.stage.truth().oracle.violation.is_some() {
                return true; // there is nothing more to learn
            }
            if done(self) {
                return true;
            }
            let next = self.net.state().pop();
            let Some((at, event)) = next.filter(|(at, _)| *at < LONGEST) else {
                return false;
            };
            let mut truth = self.stage.truth();
            if at > truth.now {
                self.polls = 0;
                truth.now = at;
            }
            truth.counts.virtual_nanos = truth.now;
            drop(truth);
            self.handle(event);
            self.stage.truth().check_beliefs();
        }
    }

    fn users_are_done(&self) -> bool {
        !self.tasks.iter().any(|task| matches!(task.job, Some(Job::User(_))))
    }

    /// Polls all tasks that are ready, in an order that the seed decides.
    fn run_ready(&mut self) {
        loop {
            let id = {
                let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                if ready.is_empty() {
                    return;
                }
                let place = self.rng.random_range(0..ready.len());
                ready.swap_remove(place)
            };
            if self.stage.truth().is_stalled(self.tasks[id].client) {
                self.stalled.push(id);
                continue;
            }
            self.polls += 1;
            if self.polls > MOST_POLLS {
                return self.fail(Check::PolledWithoutEnd, "something is polled without end");
            }
            self.poll(id);
            let mut truth = self.stage.truth();
            truth.check_beliefs();
            if truth.oracle.violation.is_some() {
                return;
            }
        }
    }

    fn poll(&mut self, id: usize) {
        let task = &mut self.tasks[id];
        task.waker.queued.store(false, Relaxed);
        let waker = Waker::from(Arc::clone(&task.waker));
        let mut cx = Context::from_waker(&waker);
        let (ready, load) = match &mut task.job {
            Some(Job::Driver(driver)) => {
                let ready = Pin::new(&mut **driver).poll(&mut cx).is_ready();
                (ready, Some(driver.load()))
            }
            Some(Job::User(user)) => (user.as_mut().poll(&mut cx).is_ready(), None),
            None => return,
        };
        if let Some(load) = load {
            self.stage.truth().check_load(task.client, load);
        }
        if ready {
            drop(self.tasks[id].job.take());
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Up(id) => {
                let mut state = self.net.state();
                state.arrive_up(&mut self.stage.truth(), id);
            }
            Event::Down(id) => {
                let now = self.stage.truth().now;
                self.net.state().arrive_down(now, id);
            }
            Event::Begin(place) => self.fault(place, true),
            Event::End(place) => {
                self.open_faults -= 1;
                self.fault(place, false);
            }
        }
    }

    /// A fault of the plan begins, or is over. It is noted on the stage first.
    fn fault(&mut self, place: usize, begins: bool) {
        let mut state = self.net.state();
        let mut truth = self.stage.truth();
        let (now, fault) = (truth.now, truth.plan.faults[place].fault);
        truth.fault(fault, begins);
        match fault {
            Fault::Cut { client, node, up, down } if begins => state.cut(client, node, up, down),
            Fault::Cut { client, node, up, down } => state.heal(now, client, node, up, down),
            Fault::Break { client, node, late } if begins => {
                state.break_off(now, client, node, late);
            }
            Fault::Loss { node, per_mille } => state.lose(node, per_mille, begins),
            Fault::Slow { node, by } => state.slow(node, by, begins),
            Fault::Hang { node } if truth.nodes[node].hung == 0 => {
                state.wake_up(&mut truth, node);
            }
            Fault::Crash { node, silent, .. } if begins => state.crash(now, node, silent),
            Fault::Crash { node, .. } if !truth.nodes[node].is_down() => state.restart(now, node),
            Fault::Failover { node, .. } if begins => state.hang_up_old(&mut truth, node),
            Fault::Pause { .. } if !begins => {
                // Tasks of other clients that still stand still are set aside again.
                let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                ready.append(&mut self.stalled);
            }
            Fault::Kill { client } if begins => {
                drop((truth, state));
                self.end_tasks(client, true);
            }
            Fault::EndRuntime { client } if begins => {
                drop((truth, state));
                self.end_tasks(client, false);
            }
            // A connection that broke stays broken, a node that is still down or
            // hung by another fault stays so, and a client that ended has ended.
            Fault::Break { .. }
            | Fault::Hang { .. }
            | Fault::Crash { .. }
            | Fault::Pause { .. }
            | Fault::Kill { .. }
            | Fault::EndRuntime { .. } => {}
            // These change the node's data, its answers or its clock, or where its name leads, or
            // what comes of the next connections, and no connection that there is.
            Fault::Refuse { .. }
            | Fault::ForgetScripts { .. }
            | Fault::Flush { .. }
            | Fault::Swap { .. }
            | Fault::Evict { .. }
            | Fault::Follow { .. }
            | Fault::Failover { .. }
            | Fault::CutLogin { .. }
            | Fault::SetWall { .. }
            | Fault::Step { .. } => {}
        }
    }

    /// Ends a client's driver, and with `all` its users too.
    fn end_tasks(&mut self, client: usize, all: bool) {
        // The driver first: a process that is killed releases nothing.
        for task in self.tasks.iter_mut().filter(|task| task.client == client) {
            if all || matches!(task.job, Some(Job::Driver(_))) {
                drop(task.job.take());
            }
        }
    }
}

/// A client with the settings that its plan says.
pub fn client_of(plan: &Plan, client: usize, world: Arc<dyn World>) -> (Redlock, Driver) {
    let nodes = (0..plan.nodes.len()).map(|node| format!("redis://{}", plan.host(client, node)));
    // Nodes that forget stay away for as long as the assumptions ask for, or are strict, so clients
    // need not hold them back.
    let builder = plan.keep_locks(Redlock::builder().nodes(nodes));
    let mut builder = builder.delayed_restarts(false);
    if let Some(timeout) = plan.clients[client].node_timeout {
        builder = builder.node_timeout(timeout);
    }
    build(builder, world).expect("a plan draws valid settings")
}
