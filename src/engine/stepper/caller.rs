//! The clients of a stepped world and their callers: what each does in turn.
//! A caller decides nothing: when it acts is for the world to say.

use std::{fmt, sync::Arc, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::{mpsc, oneshot};

use super::{scenario::Scenario, world::Link};
use crate::{
    claim::{Claim, Released},
    config::{Builder, Config},
    engine::{
        AcquireRequest, Engine, ExtendRequest, Patience, Request, Shared, Won, pacing::LAST_ATTEMPT,
    },
    error::Error,
    key::Key,
    protocol::{Moment, Ttl},
};

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Waits for the lock, with no limit where the wait is the longest duration.
    Lock,
    /// Waits for the lock, but not for as long as a second attempt would need.
    Ask,
    /// Asks for the lock once, and waits for nothing but a split vote.
    Try,
    /// Asks for an extension, and waits for nothing.
    Extend,
    /// Releases, and listens to what comes of it.
    Release,
    /// Drops its guard.
    Drop,
}

/// One client, without sockets.
pub(super) struct Client {
    pub(super) engine: Engine,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::UnboundedReceiver<Request>,
    pub(super) callers: Vec<Caller>,
    pub(super) links: Vec<Link>,
    /// How many attempts it has made.
    pub(super) attempts: u64,
}

impl Client {
    /// The client with that number.
    pub(super) fn new(scenario: &Scenario, number: usize) -> Self {
        let config = Arc::new(config(scenario, number));
        let callers = scenario.clients.get(number);
        let (sender, queue) = mpsc::unbounded_channel();
        Self {
            engine: Engine::new(Arc::clone(&config), StdRng::seed_from_u64(0)),
            shared: Arc::new(Shared::new(config, sender)),
            queue,
            callers: callers.into_iter().flatten().map(|acts| Caller::new(acts)).collect(),
            links: (0..scenario.nodes).map(|_| Link::default()).collect(),
            attempts: 0,
        }
    }
}

impl Client {
    /// Tells its engine what its wall clock says: each client's is a minute behind that of the one
    /// before.
    pub(super) fn tell_clock(&self, number: usize, now: Moment) {
        let passed = u64::try_from(now.since(Moment::PAST).as_micros()).expect("not long");
        let behind = u64::try_from(number).expect("few") * 60_000_000;
        let request = Request::Clock(CLOCK + passed - behind);
        self.shared.send(request).expect("the queue lives");
    }
}

/// What the first client's wall clock says when all begins.
pub(super) const CLOCK: u64 = 1_800_000_000_000_000;

fn config(scenario: &Scenario, number: usize) -> Config {
    let shift = if scenario.aliases { number } else { 0 };
    let names = ('a'..='z').take(scenario.nodes).cycle().skip(shift).take(scenario.nodes);
    let urls = names.map(|name| format!("redis://{name}"));
    let builder = Builder::new().nodes(urls).ttl(scenario.ttl);
    builder.check().expect("valid settings")
}

/// A lock that some caller has or had.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) claim: Arc<Claim>,
    /// Whether it has been seen to be over.
    pub(super) is_over: bool,
    /// In which step it was asked for, and in which it was had.
    pub(super) asked_in: u64,
    pub(super) had_in: u64,
}

/// One task of a client.
pub(super) struct Caller {
    acts: Vec<Act>,
    next: usize,
    /// Whether it asks for numbers, and in which step it acted last.
    pub(super) fenced: bool,
    /// For how many milliseconds its locks' keys live beyond the ttl.
    pub(super) grace: u32,
    pub(super) step: u64,
    asked_in: u64,
    waiting: Option<oneshot::Receiver<Result<Won, Error>>>,
    won: Option<Won>,
    /// Why it has no lock.
    pub(super) error: Option<Error>,
    pub(super) locks: Vec<Lock>,
    extended: Vec<oneshot::Receiver<Result<(), Error>>>,
    released: Option<oneshot::Receiver<Result<Released, Error>>>,
}

impl Caller {
    fn new(acts: &[Act]) -> Self {
        Self {
            acts: acts.to_vec(),
            next: 0,
            fenced: false,
            grace: 0,
            step: 0,
            asked_in: 0,
            waiting: None,
            won: None,
            error: None,
            locks: Vec::new(),
            extended: Vec::new(),
            released: None,
        }
    }

    pub(super) fn can_act(&self) -> bool {
        match self.acts.get(self.next) {
            None => false,
            Some(Act::Lock | Act::Ask | Act::Try) => self.waiting.is_none(),
            Some(Act::Extend | Act::Release | Act::Drop) => self.won.is_some(),
        }
    }

    /// Whether it has had a lock.
    pub(super) fn has_won(&self) -> bool {
        !self.locks.is_empty()
    }

    /// Whether it waits for its lock.
    pub(super) fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// Leaves, and does nothing more.
    pub(super) fn leave(&mut self) {
        self.waiting = None;
        self.next = self.acts.len();
    }

    pub(super) fn act(&mut self, shared: &Arc<Shared>, now: Moment, wait: Duration, ttl: Duration) {
        let act = self.acts[self.next];
        self.next += 1;
        match (act, &mut self.won) {
            (Act::Lock, _) if wait == Duration::MAX => {
                self.acquire(shared, Patience::Forever, ttl);
            }
            (Act::Lock, _) => self.acquire(shared, Patience::Until(now.after(wait)), ttl),
            (Act::Ask, _) => {
                self.acquire(shared, Patience::Until(now.after(LAST_ATTEMPT)), ttl);
            }
            (Act::Try, _) => self.acquire(shared, Patience::Once, ttl),
            (Act::Extend, Some(won)) => {
                let (reply, answer) = oneshot::channel();
                let (claim, ttl) = (Arc::clone(&won.claim), Ttl::from_duration(ttl * 2));
                let (_, queued) = shared.permits().expect("there is room");
                let request = ExtendRequest { claim, ttl, reply };
                shared.send(Request::Extend(request, queued)).expect("the queue lives");
                self.extended.push(answer);
            }
            (Act::Release, Some(won)) => {
                let (reply, answer) = oneshot::channel();
                let request = Request::Release { claim: won.take(), reply: Some(reply) };
                shared.send(request).expect("the queue lives");
                (self.won, self.released) = (None, Some(answer));
            }
            (Act::Drop, _) => self.won = None,
            (Act::Extend | Act::Release, None) => {}
        }
    }

    fn acquire(&mut self, shared: &Arc<Shared>, patience: Patience, ttl: Duration) {
        let (reply, answer) = oneshot::channel();
        let (_, queued) = shared.permits().expect("there is room");
        let (key, ttl) = (Key::new(b"", b"k").expect("a key"), Ttl::from_duration(ttl));
        let ttl = ttl.with_grace(self.grace);
        let request = AcquireRequest::new(Arc::clone(shared), key, ttl, patience, reply);
        let request = AcquireRequest { fenced: self.fenced, ..request };
        self.asked_in = self.step;
        shared.send(Request::acquire(request, queued)).expect("the queue lives");
        self.waiting = Some(answer);
    }

    /// Takes its lock, if it has come; and does nothing more if it was refused.
    pub(super) fn take_answers(&mut self, step: u64) {
        let Some(Ok(answer)) = self.waiting.as_mut().map(oneshot::Receiver::try_recv) else {
            return;
        };
        self.waiting = None;
        match answer {
            Ok(won) => {
                let (claim, is_over) = (Arc::clone(&won.claim), false);
                self.locks.push(Lock { claim, is_over, asked_in: self.asked_in, had_in: step });
                self.won = Some(won);
            }
            Err(error) => {
                self.error = Some(error);
                self.next = self.acts.len();
            }
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { next, waiting, won, locks, .. } = self;
        let locks: Vec<_> = locks.iter().map(|lock| (&lock.claim, lock.is_over)).collect();
        write!(f, "{next} {} {} {locks:?}", waiting.is_some(), won.is_some())
    }
}
