//! A client's process: tasks that take a few keys in turn, count up under them, and
//! write down what they believe. It judges nothing, and never asks a server itself.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::{Error, ErrorKind, LockGuard, Redlock};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt as _,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Result,
    clock::{ms, nanos, now},
    counter::Counter,
    host::{self, Control},
    log::{Event, Log},
    mode::{Belief, Mode, NODE_TIMEOUT, TTLS, build},
};

/// A call that takes so much longer than its limit does not come back.
pub const HANGS: Duration = ms(5000);
/// Releases have no limit of their own but the ttl.
const SHUTDOWN: Duration = ms(3000);
/// No write is begun so shortly before the end.
const COMFORT: Duration = ms(10);

/// What a client is told when it is started.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Orders {
    pub process: u32,
    pub mode: Mode,
    pub seed: u64,
    pub belief: Belief,
    pub counter: SocketAddr,
    pub log: PathBuf,
    pub keys: u32,
    pub tasks: u32,
}

/// Works until its input ends.
pub async fn run(orders: Orders) -> Result<()> {
    let redlock = build(orders.mode, &orders.belief)?;
    let log = Arc::new(Log::open(&orders.log)?);
    tokio::spawn(host::watch(Arc::clone(&log)));
    let calls = Arc::new(AtomicU64::new(1));
    let (end, ends) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for task in 0..orders.tasks {
        let rng = SmallRng::seed_from_u64(orders.seed ^ u64::from(task) << 32);
        let counter = Counter::connect(orders.counter, orders.process).await?;
        let (redlock, log, calls) = (redlock.clone(), Arc::clone(&log), Arc::clone(&calls));
        let (orders, ends) = (orders.clone(), ends.clone());
        let mut task = Task { redlock, log, calls, counter, rng, orders, ends };
        tasks.spawn(async move { task.run().await });
    }
    let mut input = [0; 16];
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        () = async { while matches!(stdin.read(&mut input).await, Ok(1..)) {} } => {}
        // None ends by itself but by a failure.
        Some(ended) = tasks.join_next() => return ended?,
    }
    end.send(true)?;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    // What it could not release goes by its ttl.
    let _ = redlock.shutdown(SHUTDOWN).await;
    Ok(())
}

struct Task {
    redlock: Redlock,
    log: Arc<Log>,
    /// Of all tasks of the process.
    calls: Arc<AtomicU64>,
    counter: Counter,
    rng: SmallRng,
    orders: Orders,
    ends: watch::Receiver<bool>,
}

impl Task {
    async fn run(&mut self) -> Result<()> {
        while !*self.ends.borrow() {
            self.take().await?;
            sleep(ms(self.rng.random_range(0..10))).await;
        }
        Ok(())
    }

    /// One call, and the hold that comes of it.
    async fn take(&mut self) -> Result<()> {
        let call = self.calls.fetch_add(1, Relaxed);
        let key = format!("{}:{}", self.orders.mode, self.rng.random_range(0..self.orders.keys));
        let limit = ms(*pick(&mut self.rng, &[0, 100, 300, 1000]));
        let ttl = ms(self.rng.random_range(TTLS));
        let mut acquire = self.redlock.lock(&key).ttl(ttl).wait(limit);
        if self.orders.mode.is_fenced() {
            acquire = acquire.fenced();
        }
        if self.rng.random_ratio(1, 8) {
            acquire = acquire.renew();
        }
        let asked = Event::Asked { call, key: key.clone(), at: now(), limit: nanos(limit) };
        self.log.say(&asked);
        let control = Control::start(limit.max(NODE_TIMEOUT));
        let ended = timeout(limit + HANGS, acquire.into_future()).await;
        let at = now();
        if let Some((from, until)) = control.end().await {
            self.log.say(&Event::Control { call, from, until });
        }
        match ended {
            Ok(Ok(guard)) => self.hold(guard, call, &key).await,
            Ok(Err(error)) => self.refused(call, at, &error),
            Err(_) => {
                self.log.say(&Event::Hung { call, at: now() });
                Ok(())
            }
        }
    }

    fn refused(&self, call: u64, at: u64, error: &Error) -> Result<()> {
        let why = Some(format!("{:?}", error.kind()));
        self.log.say(&Event::Over { call, at, why });
        // These are mistakes of the campaign.
        let is_mistaken = matches!(error.kind(), ErrorKind::InvalidConfig | ErrorKind::Closed);
        if is_mistaken { Err(error.to_string().into()) } else { Ok(()) }
    }

    async fn hold(&mut self, guard: LockGuard, call: u64, key: &str) -> Result<()> {
        // The clock is read first: what is written down ends no later than what is believed.
        let (at, number) = (now(), guard.fencing_number());
        let until = at + nanos(guard.remaining());
        self.log.say(&Event::Granted { call, at, until, number });
        let read = self.counter.read(call, key, number).await?;
        self.work(&guard, call).await;
        // Who shows a number need not look: a write that is late is refused.
        if let Some(value) = read
            && (number.is_some() || guard.ensure(COMFORT).is_ok())
        {
            self.counter.write(call, key, value + 1, number).await?;
        }
        self.let_go(guard, call).await;
        Ok(())
    }

    /// Holds it: mostly for a moment, now and then until it is nearly over, or longer.
    async fn work(&mut self, guard: &LockGuard, call: u64) {
        let long = self.rng.random_ratio(1, 6);
        let time = self.rng.random_range(if long { 60..400 } else { 1..12 });
        let extends = self.rng.random_ratio(1, 6);
        sleep(ms(time / 2)).await;
        if extends {
            let ttl = ms(self.rng.random_range(TTLS));
            // One that fails takes nothing away, and what does not come back is a hang.
            if timeout(HANGS, guard.extend(ttl)).await.is_err() {
                self.log.say(&Event::Hung { call, at: now() });
            }
        }
        let mut left = time - time / 2;
        while left > 0 {
            let step = left.min(50);
            sleep(ms(step)).await;
            left -= step;
            let at = now();
            self.log.say(&Event::Looked { call, at, until: at + nanos(guard.remaining()) });
        }
    }

    async fn let_go(&mut self, guard: LockGuard, call: u64) {
        self.log.say(&Event::LetGo { call, at: now() });
        if self.rng.random_ratio(1, 6) {
            return drop(guard);
        }
        match timeout(HANGS, guard.release()).await {
            // One that finds nothing to release is the end of a lock as well.
            Ok(_) => self.log.say(&Event::Over { call, at: now(), why: None }),
            Err(_) => self.log.say(&Event::Hung { call, at: now() }),
        }
    }
}

fn pick<'a, T>(rng: &mut SmallRng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}
