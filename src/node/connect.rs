//! Makes one connection to one node: look up, dial, secure, log in.
//!
//! It tries once: when and how often to try is the node's business. Only a server that has
//! hung up twice when it was greeted is dialled again at once, and not greeted.

use std::{
    future::Future,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    dial,
    endpoint::Endpoint,
    login::{Login, Purpose},
    server::Server,
};
use crate::{
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind, Step},
    tls,
    world::{Address, Pending, Place, Stream, World},
};

/// How long one attempt to connect and log in may take. A lost first packet is
/// sent again after 1 s, so waiting longer is a second attempt in disguise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection on which we are logged in, and what is known of its server.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) server: Server,
}

/// Looks up the node's name, and then connects, secures the connection where that is wanted,
/// and logs in: each within [`CONNECT_TIMEOUT`], and a little more where the name has several
/// addresses. A look-up that takes longer goes on for the next attempt.
pub(super) async fn connect(
    endpoint: Arc<Endpoint>,
    world: Arc<dyn World>,
    purpose: Purpose,
) -> Result<Connected, NodeError> {
    let places = find(&endpoint, &*world).await?;
    let span = CONNECT_TIMEOUT.saturating_add(places.longest_race());
    let late = &mut Late { sleep: world.sleep(span), span };
    let failure = match log_in(&endpoint, &*world, &places, purpose, true, late).await {
        Ok(connected) => return Ok(connected),
        Err(failure) => failure,
    };
    if !failure.is_greeting {
        endpoint.hang_ups.of(purpose).store(0, Relaxed);
    }
    // Once, it may have been by chance; and a connection without a greeting tells no replica
    // from a master, nor whether a database is shared.
    let is_again = failure.is_greeting && endpoint.hang_ups.of(purpose).fetch_add(1, Relaxed) > 0;
    if !is_again || endpoint.db != 0 || mutant::is(Mutant::GreetsForEver) {
        return Err(failure.error);
    }
    endpoint.hang_ups.of(purpose).store(1, Relaxed);
    let plain = log_in(&endpoint, &*world, &places, purpose, false, late);
    plain.await.map_err(|failure| failure.error)
}

/// Where a node may be.
enum Places {
    Addresses(Arc<[std::net::SocketAddr]>),
    One(Place),
}

impl Places {
    fn longest_race(&self) -> Duration {
        match self {
            Self::Addresses(addresses) => dial::longest_race(addresses.len()),
            Self::One(_) => Duration::ZERO,
        }
    }

    async fn dial(&self, world: &dyn World) -> io::Result<Stream> {
        match self {
            Self::Addresses(addresses) => dial::race(addresses, world).await,
            Self::One(place) => world.dial(place).await,
        }
    }
}

async fn find(endpoint: &Endpoint, world: &dyn World) -> Result<Places, NodeError> {
    let (host, port) = match &endpoint.address {
        Address::Tcp { host, port } => (host, *port),
        Address::Unix(path) => return Ok(Places::One(Place::Unix(path.clone()))),
    };
    let looking = async {
        let found = endpoint.names.look_up(host, port, world).await;
        found.map_err(|error| NodeError::io(NodeErrorKind::Unreachable, error))
    };
    let late = &mut Late { sleep: world.sleep(CONNECT_TIMEOUT), span: CONNECT_TIMEOUT };
    let found = in_time(looking, late, None).await;
    found.map(Places::Addresses).map_err(|error| error.during(Step::LookUp))
}

/// Why there is no connection, and whether it broke when the server was greeted.
struct Failure {
    error: NodeError,
    is_greeting: bool,
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self { error, is_greeting: false }
    }
}

async fn log_in(
    endpoint: &Endpoint,
    world: &dyn World,
    places: &Places,
    purpose: Purpose,
    greets: bool,
    late: &mut Late,
) -> Result<Connected, Failure> {
    let unreachable = |error| NodeError::io(NodeErrorKind::Unreachable, error);
    let dialling = async { places.dial(world).await.map_err(unreachable) };
    let dialled = in_time(dialling, late, None).await;
    let mut stream = dialled.map_err(|error| error.during(Step::Connect))?;
    if let Some(session) = &endpoint.session {
        let secured = in_time(session.secure(stream), late, Some(NO_HANDSHAKE)).await;
        stream = secured.map_err(|error| match error.kind() {
            NodeErrorKind::Unreachable => error.during(Step::Tls),
            _ => error,
        })?;
    }
    let (words, mut login) = Login::begin(endpoint, purpose, greets);
    let talking = talk(&mut stream, endpoint, words, &mut login);
    let outcome = in_time(talking, late, None).await;
    if login.was_greeted() {
        endpoint.hang_ups.of(purpose).store(0, Relaxed);
    }
    match outcome {
        Ok(()) => Ok(Connected { stream, server: login.end()? }),
        Err(error) if error.kind() == NodeErrorKind::Unreachable => {
            let was_hung_up = error.waited_for().is_none();
            if was_hung_up && mutant::is(Mutant::CutLoginIsRefusal) {
                return Err(NodeError::new(NodeErrorKind::AuthRequired).into());
            }
            let is_greeting = was_hung_up && login.may_be_the_greeting();
            let error = error.during(login.step());
            // The server says why, but what we sent meanwhile keeps us from reading it.
            let hint = endpoint.session.as_ref().filter(|_| was_hung_up).map(|_| HUNG_UP);
            Err(Failure { error: error.hint(hint), is_greeting })
        }
        Err(error) => Err(error.into()),
    }
}

/// A server that speaks no TLS may wait for the rest of what it takes for a
/// command.
const NO_HANDSHAKE: &str = "no answer to the TLS handshake, does it speak TLS at this port?";

const HUNG_UP: &str =
    "the server hung up after the TLS handshake, does it want a client's certificate?";

/// The end of what an attempt may take, and how long that is.
struct Late {
    sleep: Pending<()>,
    span: Duration,
}

/// Awaits `step`, unless the time is up before.
async fn in_time<T>(
    step: impl Future<Output = Result<T, NodeError>>,
    late: &mut Late,
    hint: Option<&'static str>,
) -> Result<T, NodeError> {
    tokio::select! {
        biased;
        outcome = step => outcome,
        () = &mut late.sleep => {
            Err(NodeError::waited(NodeErrorKind::Unreachable, late.span).hint(hint))
        }
    }
}

/// Says what must be said first in one write, reads all answers, and says what these leave to
/// be said.
async fn talk(
    stream: &mut Stream,
    endpoint: &Endpoint,
    mut words: Vec<u8>,
    login: &mut Login,
) -> Result<(), NodeError> {
    // What a server thinks of our certificate it may say only now.
    let lost = |error| tls::explain(NodeErrorKind::Unreachable, error);
    let mut replies = Vec::new();
    loop {
        stream.write_all(&words).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        while !login.is_over() {
            let chunk = &mut [0; 512];
            let len = stream.read(chunk).await.map_err(lost)?;
            if len == 0 || replies.len() > MAX_HELLO_BYTES {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            replies.extend_from_slice(chunk.get(..len).unwrap_or_default());
            login.take(&mut replies)?;
        }
        // Bytes that are left would pass for answers to what follows.
        if !replies.is_empty() {
            return Err(NodeError::new(NodeErrorKind::Protocol));
        }
        match login.more(endpoint) {
            Some(more) => words = more,
            None => return Ok(()),
        }
    }
}

/// Far more than a few short replies and a server's list of its modules take.
const MAX_HELLO_BYTES: usize = 64 * 1024;
