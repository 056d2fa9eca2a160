//! What the simulator needs from the library: a way to bring its own world, a
//! look at a lock's deadline that does not touch it, the in-memory node, and the
//! mutants.
//!
//! It exists only with `--cfg redlock_sim`. It is not for users, and may change
//! with every version.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use rand::{SeedableRng as _, rngs::StdRng};

use crate::{
    claim::Claim,
    client::Redlock,
    config::Builder,
    driver,
    error::Error,
    guard::LockGuard,
    protocol::Moment,
    testing::{Reply, memory},
    world::{self, Pending, Place},
};
pub use crate::{
    mutant::{Hunter, Mutant, chosen::choose},
    testing::memory::Flavor,
};

/// A connection, in both directions.
pub trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

/// A boxed future.
pub type Promise<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The world as one simulated client sees it.
pub trait World: Send + Sync {
    /// Nanoseconds on this client's clock.
    fn now(&self) -> u64;
    /// Nanoseconds on this client's wall clock since [`WALL`].
    fn wall(&self) -> i64;
    /// A timer that is over when `span` has passed on this client's clock.
    fn sleep(&self, span: Duration) -> Promise<()>;
    /// Looks up a node's host name.
    fn look_up(&self, host: &str) -> Promise<io::Result<Vec<IpAddr>>>;
    /// Connects to a node, by its address.
    fn dial(&self, address: IpAddr) -> Promise<io::Result<Box<dyn Io>>>;
    /// The seed of the client's randomness.
    fn seed(&self) -> u64;
}

struct Bridge(Arc<dyn World>);

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

impl world::World for Bridge {
    fn now(&self) -> Moment {
        Moment::from_nanos(self.0.now())
    }

    fn wall(&self) -> SystemTime {
        let (wall, since) = (self.0.wall(), SystemTime::UNIX_EPOCH + WALL);
        let off = Duration::from_nanos(wall.unsigned_abs());
        if wall < 0 { since - off } else { since + off }
    }

    fn sleep(&self, span: Duration) -> Pending<()> {
        self.0.sleep(span)
    }

    fn look_up(&self, host: &str, port: u16) -> Pending<io::Result<Vec<SocketAddr>>> {
        let looking = self.0.look_up(host);
        Box::pin(async move {
            let found = looking.await?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
        })
    }

    fn dial(&self, place: &Place) -> Pending<io::Result<world::Stream>> {
        let Place::Tcp(address) = place else {
            return Box::pin(async { Err(io::ErrorKind::Unsupported.into()) });
        };
        let dialling = self.0.dial(address.ip());
        Box::pin(async { Ok(Box::new(dialling.await?) as world::Stream) })
    }

    fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.0.seed())
    }
}

/// Builds a client in `world`, and its driver. The simulator polls the driver.
///
/// # Errors
///
/// The same as those of [`Builder::build`].
pub fn build(builder: Builder, world: Arc<dyn World>) -> Result<(Redlock, Driver), Error> {
    let config = builder.live_in(Arc::new(Bridge(world))).check()?;
    let (shared, driver) = driver::detached(config);
    Ok((Redlock::of(shared), Driver(driver)))
}

/// What a strict node's epoch is, for clients of this builder, where the node is the process
/// `run_id`.
pub fn epoch(builder: Builder, run_id: &str) -> Option<String> {
    let config = builder.check().ok()?;
    let behind = config.endpoints.first()?.strict.as_deref()?;
    Some(format!("{run_id}{behind}"))
}

/// A client's driver, as a future that is over when the driver has ended.
pub struct Driver(driver::Driver);

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.load()).finish()
    }
}

/// How much work a driver has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Operations that are not over.
    pub operations: usize,
    /// The largest number of commands at one node that it owes an answer to, or that
    /// wait for it and are not releases.
    pub in_flight: usize,
}

impl Driver {
    /// How much work the driver has now.
    pub fn load(&self) -> Load {
        let (operations, in_flight) = self.0.load();
        Load { operations, in_flight }
    }

    /// The bound of [`Load::in_flight`].
    pub const MOST_IN_FLIGHT: usize = crate::node::MAX_IN_FLIGHT;
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A view of a lock that changes nothing about it.
#[derive(Clone, Debug)]
pub struct Peek(Arc<Claim>);

impl Peek {
    /// A view of the lock that `guard` holds.
    pub fn at(guard: &LockGuard) -> Self {
        Self(guard.claim())
    }

    /// A view of the lock that work runs under.
    pub fn under(held: &crate::Held) -> Self {
        Self(Arc::clone(&held.claim))
    }

    /// The lock's deadline, in nanoseconds on its client's clock. Zero once it is
    /// lost.
    pub fn until(&self) -> u64 {
        self.0.until().as_nanos()
    }

    /// The lock's token.
    pub fn token(&self) -> &[u8] {
        self.0.token.as_bytes()
    }
}

/// An in-memory node's data.
#[derive(Clone, Debug)]
pub struct Store(memory::Store);

/// What a node sends after one command, as it goes over the wire.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The reply, to the connection that sent the command.
    pub reply: Vec<u8>,
    /// Messages to other connections, by number.
    pub messages: Vec<(u64, Vec<u8>)>,
}

/// What wall clocks say at the moment from which virtual time is counted, since 1970: in January
/// 2027.
pub const WALL: Duration = Duration::from_secs(1_800_000_000);

impl Store {
    /// A store without keys. Its wall clock said `wall`, since 1970, when its own clock was at 0.
    pub fn new(wall: Duration) -> Self {
        Self(memory::Store::new(Duration::ZERO, wall, "0".repeat(40)))
    }

    /// Carries out one command of a connection at the time `now` of the node's
    /// clock.
    pub fn execute<S: AsRef<[u8]>>(&mut self, conn: u64, now: Duration, args: &[S]) -> Sent {
        let outcome = self.0.execute(conn, now, args);
        let messages = outcome.messages.iter().map(|(to, message)| (*to, encode([message])));
        Sent { reply: encode(&outcome.replies), messages: messages.collect() }
    }

    /// From now on the node is another kind of server.
    pub fn set_flavor(&mut self, flavor: Flavor) {
        self.0.set_flavor(flavor);
    }

    /// From now on the node is another process, which calls itself by `run_id`.
    pub fn set_run_id(&mut self, run_id: String) {
        self.0.set_run_id(run_id);
    }

    /// Makes the node say from now on that it is a replica, or that it is none.
    pub fn set_replica(&mut self, is_replica: bool) {
        self.0.set_replica(is_replica);
    }

    /// A connection is over, and so are its subscriptions.
    pub fn hang_up(&mut self, conn: u64) {
        self.0.hang_up(conn);
    }

    /// Sets whether the node has no memory left, and whether it lets nobody publish
    /// or subscribe.
    pub fn restrict(&mut self, full: bool, mute: bool) {
        self.0.restrict(full, mute);
    }

    /// The value at `key`, if the key lives.
    pub fn value(&self, now: Duration, key: &[u8]) -> Option<&[u8]> {
        self.0.value(now, key)
    }

    /// All keys are from now on what the other store has.
    pub fn take_keys_of(&mut self, other: &Self) {
        self.0.take_keys_of(&other.0);
    }

    /// Forgets the scripts.
    pub fn forget_scripts(&mut self) {
        self.0.forget_scripts();
    }

    /// Forgets what ends with the process: scripts and subscriptions.
    pub fn restart(&mut self) {
        self.0.restart();
    }

    /// All keys that live, and their values.
    pub fn living(&self, now: Duration) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.living(now)
    }
}

/// Reads one command from the front of `buffer`, if it is there in whole. Returns
/// the command and its length.
///
/// # Errors
///
/// The bytes are no command.
pub fn decode_command(buffer: &[u8]) -> io::Result<Option<(Vec<Vec<u8>>, usize)>> {
    crate::testing::resp::take_command(buffer)
}

fn encode<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Vec<u8> {
    let mut out = Vec::new();
    for reply in replies {
        // Writing to a Vec cannot fail.
        let _ = crate::testing::resp::write(&mut out, reply);
    }
    out
}
