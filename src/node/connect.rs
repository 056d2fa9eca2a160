//! Makes one connection to one node: dial, log in.
//!
//! It never retries and keeps no state: when and how often to try is the
//! node's business.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    endpoint::Endpoint,
    native::{Hello, Native},
    resp::{self, Reply, Taken},
};
use crate::{
    node_error::{NodeError, NodeErrorKind},
    tls,
    world::{Pending, Stream, World},
};

/// How long one attempt to connect and log in may take. A lost first packet is
/// sent again after 1 s, so waiting longer is a second attempt in disguise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection on which we are logged in, and the compare-and-delete that its
/// server has of its own.
pub(super) struct Connected {
    pub(super) stream: Stream,
    pub(super) native: Option<Native>,
}

/// Connects, secures the connection where that is wanted, and logs in: all
/// within [`CONNECT_TIMEOUT`].
pub(super) async fn connect(
    endpoint: Arc<Endpoint>,
    world: Arc<dyn World>,
) -> Result<Connected, NodeError> {
    let late = &mut world.sleep(CONNECT_TIMEOUT);
    let unreachable = |error| NodeError::io(NodeErrorKind::Unreachable, error);
    let dialling = async { world.dial(&endpoint.address).await.map_err(unreachable) };
    let mut stream = in_time(dialling, late, None).await?;
    if let Some(session) = &endpoint.session {
        stream = in_time(session.secure(stream), late, Some(NO_HANDSHAKE)).await?;
    }
    let logging_in = async {
        let native = log_in(&mut stream, &endpoint).await;
        native.map_err(|error| match error.kind() {
            // The server says why, but what we sent meanwhile keeps us from reading it.
            NodeErrorKind::Unreachable if endpoint.session.is_some() => error.hint(Some(HUNG_UP)),
            _ => error,
        })
    };
    let native = in_time(logging_in, late, None).await?;
    Ok(Connected { stream, native })
}

/// A server that speaks no TLS may wait for the rest of what it takes for a
/// command.
const NO_HANDSHAKE: &str = "no answer to the TLS handshake, does it speak TLS at this port?";

const HUNG_UP: &str =
    "the server hung up after the TLS handshake, does it want a client's certificate?";

/// Awaits `step`, unless the time is up before.
async fn in_time<T>(
    step: impl Future<Output = Result<T, NodeError>>,
    late: &mut Pending<()>,
    hint: Option<&'static str>,
) -> Result<T, NodeError> {
    tokio::select! {
        biased;
        outcome = step => outcome,
        () = late => Err(NodeError::waited(NodeErrorKind::Unreachable, CONNECT_TIMEOUT).hint(hint)),
    }
}

/// Says what must be said first in one write, reads all answers, and returns
/// what the server has of its own.
async fn log_in(stream: &mut Stream, endpoint: &Endpoint) -> Result<Option<Native>, NodeError> {
    let (words, mut login) = Login::begin(endpoint);
    // What a server thinks of our certificate it may say only now.
    let lost = |error| tls::explain(NodeErrorKind::Unreachable, error);
    stream.write_all(&words).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;

    let mut replies = Vec::new();
    while !login.is_over() {
        let chunk = &mut [0; 512];
        let error = match stream.read(chunk).await {
            Ok(len) if len > 0 && replies.len() <= MAX_HELLO_BYTES => {
                replies.extend_from_slice(chunk.get(..len).unwrap_or_default());
                login.take(&mut replies)?;
                continue;
            }
            Ok(_) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => error,
        };
        return Err(login.refusal.unwrap_or_else(|| lost(error)));
    }
    // Bytes that are left would pass for answers to what follows.
    if replies.is_empty() { Ok(login.native) } else { Err(NodeError::new(NodeErrorKind::Protocol)) }
}

/// What the server has answered so far to what was said first.
struct Login {
    /// For each command that the server must accept, what a refusal means.
    required: Vec<NodeErrorKind>,
    answered: usize,
    native: Option<Native>,
    /// Why the server may be about to hang up: some say so before they have
    /// heard a command.
    refusal: Option<NodeError>,
}

impl Login {
    /// `HELLO` and twice `CLIENT SETINFO`: a server or an ACL may refuse to be
    /// greeted and to hear our name.
    const COURTESIES: usize = 3;

    /// The words that must be said first, and what awaits the replies to them.
    fn begin(endpoint: &Endpoint) -> (Vec<u8>, Self) {
        let (mut words, mut required) = (Vec::new(), Vec::new());
        if let Some(password) = &endpoint.password {
            let user = endpoint.user.as_deref();
            redis::cmd("AUTH").arg(user).arg(password).write_packed_command(&mut words);
            required.push(NodeErrorKind::AuthFailed);
        }
        if endpoint.db != 0 {
            redis::cmd("SELECT").arg(endpoint.db).write_packed_command(&mut words);
            required.push(NodeErrorKind::NoDatabase);
        }
        redis::cmd("HELLO").arg(2).write_packed_command(&mut words);
        for (attribute, value) in
            [("LIB-NAME", env!("CARGO_PKG_NAME")), ("LIB-VER", env!("CARGO_PKG_VERSION"))]
        {
            let mut command = redis::cmd("CLIENT");
            command.arg("SETINFO").arg(attribute).arg(value).write_packed_command(&mut words);
        }
        (words, Self { required, answered: 0, native: None, refusal: None })
    }

    fn is_over(&self) -> bool {
        self.answered >= self.required.len().saturating_add(Self::COURTESIES)
    }

    /// Takes the replies that have all arrived off the front of `replies`.
    fn take(&mut self, replies: &mut Vec<u8>) -> Result<(), NodeError> {
        while let Some((reply, len)) = self.decode(replies)? {
            match (reply, self.required.get(self.answered)) {
                (Reply::Error(text), Some(kind)) => return Err(NodeError::from_login(*kind, text)),
                (Reply::Error(text), None) => self.refusal = Some(NodeError::from_reply(text)),
                (Reply::List(list), _) => self.native = Hello::of(list).native(),
                _ => {}
            }
            self.answered += 1;
            replies.drain(..len);
        }
        Ok(())
    }

    /// Only the answer to the greeting may be a list.
    fn decode<'a>(&self, replies: &'a [u8]) -> Taken<Reply<'a>> {
        let is_greeting = self.answered == self.required.len();
        if is_greeting { resp::decode_any(replies) } else { resp::decode(replies) }
    }
}

/// Far more than a few short replies and a server's list of its modules take.
const MAX_HELLO_BYTES: usize = 64 * 1024;
