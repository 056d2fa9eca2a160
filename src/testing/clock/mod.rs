//! A clock that a test moves, and the world of the clients that live by it: their timers,
//! and connections to in-memory nodes that take no time. It never moves by itself faster
//! than real time, and never past a timer that has not rung.

mod sleep;
mod turns;

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
    time::{Duration, SystemTime},
};

use rand::rngs::StdRng;

use self::{sleep::Sleep, turns::Turns};
use super::memory::MemoryNode;
use crate::{
    clock,
    protocol::Moment,
    world::{Pending, Place, Stream, System, World},
};

/// How often other tasks get a turn between two timers: enough for one that was told of
/// something to tell another, and that one a third.
const TURNS_OF_OTHERS: usize = 16;

/// How often they may have the clients do something meanwhile: a task that locks and releases
/// without end must not keep the clock from going on. Each time takes some ms beside such a task,
/// since a runtime that is never idle runs 61 others before one that gave up its turn.
const MOST_ROUNDS: usize = 512;

/// How long a client is waited for that has something to do, and whose runtime runs nothing.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// A clock that a test can move ahead, for [`Cluster`](super::Cluster)s and clients that
/// live by it: what takes an hour takes milliseconds.
///
/// Give it to the nodes ([`ClusterBuilder::clock`](super::ClusterBuilder::clock)) and to
/// each client ([`Builder::clock`](crate::Builder::clock)). Both see the same time, so keys
/// expire, locks are renewed, end and are lost as they would in that time. Clones are the
/// same clock.
///
/// The clock also goes on by itself as real time does, so nothing waits for ever that waits
/// for time: a node that hangs costs its timeout. Give locks the ttl that they have in
/// production, and it makes no difference.
///
/// It moves the clients and the nodes, and with them the wall clock by which
/// [`valid_until`](crate::LockGuard::valid_until) tells when a lock ends. It moves nothing else:
/// not `SystemTime::now`, nor `tokio::time`, nor what sleeps by it. A client without it lives in real time, also under `tokio::time::pause` or
/// `#[tokio::test(start_paused = true)]`.
///
/// # Examples
///
/// A lock that renews itself outlives an hour, and is lost when a majority hangs:
///
/// ```
/// use std::time::Duration;
///
/// use redlock_quorum::{Redlock, testing::{Clock, Cluster}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Clock::new();
/// let cluster = Cluster::builder().clock(&clock).start().await?;
/// let redlock = Redlock::builder().nodes(cluster.urls()).clock(&clock).build()?;
///
/// let guard = redlock.lock("job").renew().await?;
/// clock.advance(Duration::from_secs(3600)).await;
/// assert!(guard.is_held());
///
/// for node in &cluster.nodes()[..2] {
///     node.pause().await?;
/// }
/// clock.advance(Duration::from_secs(10)).await;
/// assert!(!guard.is_held());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    turns: Arc<Turns>,
    /// Only one at a time moves it.
    moving: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// How far it is ahead of the real clock.
    ahead: Duration,
    /// What rings, in order, each with a number of its own.
    timers: BTreeMap<(Moment, u64), Waker>,
    made: u64,
    nodes: HashMap<SocketAddr, Weak<MemoryNode>>,
}

impl Clock {
    /// A clock that shows the real time.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two of them are not the same clock")]
    pub fn new() -> Self {
        let inner = Inner {
            state: Mutex::default(),
            turns: Arc::default(),
            moving: tokio::sync::Mutex::default(),
        };
        Self(Arc::new(inner))
    }

    /// Moves the clock ahead by `span`, from one timer of a client to the next: each does
    /// what is due at its time, and has its answers, before the clock goes on. When this
    /// returns, all of that is done. `Duration::ZERO` only waits until nothing is left to
    /// do now.
    ///
    /// The test's own tasks get a few turns between timers, enough to react to a lock that
    /// is lost by asking for another. That is certain on a runtime of a single thread, as
    /// `#[tokio::test]` makes it. A task that keeps a client busy without a pause is not
    /// waited for for long, nor is a client whose runtime is not run, for 5 s each time.
    ///
    /// # Cancel safety
    ///
    /// The clock stays where it is when the future is dropped.
    pub async fn advance(&self, span: Duration) {
        let _alone = self.0.moving.lock().await;
        let until = self.now().after(span);
        let mut rounds = MOST_ROUNDS;
        loop {
            self.settle(&mut rounds).await;
            let next = self.next_timer().min(until);
            self.move_to(next);
            if next == until {
                break self.settle(&mut rounds).await;
            }
        }
    }

    /// Waits until no client has anything to do, nor after tasks of the test had their turns.
    /// If some always have, it takes another of the `rounds` that are left for that.
    async fn settle(&self, rounds: &mut usize) {
        loop {
            let stuck = System.sleep(STUCK_AFTER);
            let woken = tokio::select! {
                biased;
                woken = self.0.turns.all_wait() => woken,
                () = stuck => return,
            };
            let turns = if *rounds == 0 { 1 } else { TURNS_OF_OTHERS };
            if self.wait_while(woken, turns).await {
                *rounds = MOST_ROUNDS;
                return;
            }
            let Some(left) = rounds.checked_sub(1) else { return };
            *rounds = left;
        }
    }

    /// Whether all clients still wait after so many `turns` of others, since which none was
    /// woken. The first one that is woken ends this.
    async fn wait_while(&self, woken: u64, turns: usize) -> bool {
        for _ in 0..turns {
            tokio::task::yield_now().await;
            if !self.0.turns.still_wait(woken) {
                return false;
            }
        }
        true
    }

    fn next_timer(&self) -> Moment {
        self.state().timers.first_key_value().map_or(Moment::NEVER, |((at, _), _)| *at)
    }

    /// Moves to `moment`, unless it is later already, and rings what is due.
    fn move_to(&self, moment: Moment) {
        let mut state = self.state();
        let ahead = moment.since(state.now());
        state.ahead = state.ahead.saturating_add(ahead);
        let now = state.now();
        let later = state.timers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    pub(super) fn add_node(&self, at: SocketAddr, node: &Arc<MemoryNode>) {
        let mut state = self.state();
        state.nodes.retain(|_, node| node.strong_count() > 0);
        state.nodes.insert(at, Arc::downgrade(node));
    }

    fn connect(&self, place: &Place) -> io::Result<Stream> {
        let node = match place {
            Place::Tcp(at) => self.state().nodes.get(at).and_then(Weak::upgrade),
            Place::Unix(_) => None,
        };
        match node {
            Some(node) => Ok(Box::new(node.connect()?)),
            None => Err(io::Error::other(
                "a client whose clock a test moves reaches the nodes with that clock alone: \
                 start them with Cluster::builder().clock(&clock)",
            )),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Moment {
        clock::now().after(self.ahead)
    }
}

impl World for Clock {
    fn now(&self) -> Moment {
        self.state().now()
    }

    fn wall(&self) -> SystemTime {
        let (wall, ahead) = (clock::wall(), self.state().ahead);
        wall.checked_add(ahead).unwrap_or(wall)
    }

    fn sleep(&self, span: Duration) -> Pending<()> {
        Box::pin(Sleep::new(self.clone(), self.now().after(span)))
    }

    fn longest_sleep(&self) -> Duration {
        // Its own timers look again from time to time.
        Duration::MAX
    }

    fn look_up(&self, host: &str, port: u16) -> Pending<io::Result<Vec<SocketAddr>>> {
        System.look_up(host, port)
    }

    fn dial(&self, place: &Place) -> Pending<io::Result<Stream>> {
        Box::pin(std::future::ready(self.connect(place)))
    }

    fn rng(&self) -> StdRng {
        System.rng()
    }

    fn attend(&self, driver: Pending<()>) -> Pending<()> {
        Box::pin(self.0.turns.attend(driver))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("ahead", &self.state().ahead).finish_non_exhaustive()
    }
}
