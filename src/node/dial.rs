//! From a node's name to an open connection: looks the name up, and races the addresses
//! that it has.
//!
//! It says nothing on the connection, keeps none, and never tries again by itself.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::Shared,
    stream::{FuturesUnordered, StreamExt as _},
};

use crate::{
    mutant::{self, Mutant},
    protocol::Moment,
    world::{Pending, Place, Stream, World},
};

/// How long after one address the next one is tried, where the first has not answered:
/// the "Connection Attempt Delay" that RFC 8305 recommends.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// So many addresses of one name are tried. More than a few are a mistake.
const MOST_ADDRESSES: usize = 8;

/// What a look-up has found is used for so long after it began, if nobody waited for its end.
/// Resolvers give up after less: two tries of 5 s at up to three name servers.
const FRESH: Duration = Duration::from_secs(60);

/// The look-ups of one node's name: one at a time, whoever waits for it.
#[derive(Default)]
pub(super) struct Names {
    under_way: Mutex<Option<(LookUp, Moment)>>,
}

/// A look-up's outcome may be handed to several that wait.
type LookUp = Shared<Pending<Result<Arc<[SocketAddr]>, Arc<io::Error>>>>;

impl Names {
    /// The addresses of `host`. Whoever gives up waiting leaves the look-up under way, and
    /// the next one to ask gets what it finds.
    pub(super) async fn look_up(
        &self,
        host: &str,
        port: u16,
        world: &dyn World,
    ) -> io::Result<Arc<[SocketAddr]>> {
        let look_up = self.join(host, port, world);
        let outcome = look_up.clone().await;
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // Another that waited for the same may have begun the next already.
        let is_this = under_way.as_ref().is_some_and(|(other, _)| other.ptr_eq(&look_up));
        if is_this && !mutant::is(Mutant::NameIsKept) {
            *under_way = None;
        }
        outcome.map_err(|error| io::Error::new(error.kind(), error))
    }

    /// The look-up that is under way, or another.
    fn join(&self, host: &str, port: u16, world: &dyn World) -> LookUp {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let now = world.now();
        if let Some((look_up, began_at)) = &*under_way {
            let is_over = || look_up.clone().now_or_never().is_some();
            if now.since(*began_at) < FRESH || !is_over() {
                return look_up.clone();
            }
        }
        let look_up = begin(host, port, world);
        *under_way = Some((look_up.clone(), now));
        look_up
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

fn begin(host: &str, port: u16, world: &dyn World) -> LookUp {
    let looking = world.look_up(host, port);
    let looking: Pending<_> = Box::pin(async move {
        let mut addresses = looking.await.map_err(Arc::new)?;
        addresses.truncate(MOST_ADDRESSES);
        Ok(addresses.into())
    });
    looking.shared()
}

/// How long after the first address the last one is tried, at the latest.
pub(super) fn longest_race(addresses: usize) -> Duration {
    let pauses = u32::try_from(addresses.saturating_sub(1)).unwrap_or(u32::MAX);
    NEXT_ADDRESS.saturating_mul(pauses)
}

/// Opens a connection to the first address that answers: each is tried a while after the
/// one before it, or as soon as that one has refused. The error is the last one's.
pub(super) async fn race(addresses: &[SocketAddr], world: &dyn World) -> io::Result<Stream> {
    let mut dialling = FuturesUnordered::new();
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut rest = addresses.iter();
    while let Some(address) = rest.next() {
        dialling.push(world.dial(&Place::Tcp(*address)));
        let pause: Pending<()> = match rest.as_slice() {
            [] => Box::pin(std::future::pending()),
            _ => world.sleep(NEXT_ADDRESS),
        };
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                Some(outcome) = dialling.next() => match outcome {
                    Ok(stream) => return Ok(stream),
                    Err(error) => refused = error,
                },
                () = &mut pause => break,
            }
            // The next address need not wait, if there is one; or for those that are left.
            if !rest.as_slice().is_empty() || dialling.is_empty() {
                break;
            }
        }
    }
    Err(refused)
}
