//! What must be said first on a connection, and what the server has answered to it.
//! It moves no bytes and decides nothing about the next attempt.

use super::{
    endpoint::Endpoint,
    hello::Hello,
    info,
    native::Native,
    noted,
    probe::{self, Sent, Verdict},
    resp::{self, Reply, Taken},
    server::Server,
};
use crate::{
    key::EPOCH,
    node_error::{NodeError, NodeErrorKind, Step},
};

/// What a connection is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commands: so whether a lock would work is found out first.
    Commands,
    /// Hearing of releases, on a connection of its own.
    Listening,
}

/// One command of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Auth,
    Select,
    Hello,
    Name,
    /// Which process it is, and whether it drops keys.
    Info,
    /// Whether strict clients use it.
    Epoch,
    /// The probe's acquire and its release, by script or by this command of the server's own.
    Acquire,
    Release(Option<Native>),
}

impl Said {
    fn command(self) -> &'static str {
        match self {
            Self::Auth => "AUTH",
            Self::Select => "SELECT",
            Self::Hello => "HELLO",
            Self::Name => "CLIENT SETINFO",
            Self::Info => "INFO",
            Self::Epoch => "GET",
            Self::Acquire => "SET",
            Self::Release(native) => probe::release_command(native),
        }
    }
}

/// What the server has answered so far to what was said first.
pub(super) struct Login {
    said: Vec<Said>,
    answered: usize,
    db: i64,
    /// What must not be repeated.
    password: Option<Box<str>>,
    server: Server,
    /// Why the probe's release was refused.
    refused: Option<NodeError>,
    /// Whether the probe's acquire was let through.
    was_set: bool,
    /// The probe's key had ended before its release: nothing was deleted, so nothing is known.
    was_late: bool,
    probes: u8,
}

/// How often a lock is tried where its key had ended before it could be released.
const MOST_PROBES: u8 = 4;

impl Login {
    /// The words that must be said first, and what awaits the replies to them. Without
    /// `greets`, for a server that hangs up when it is greeted, only what must be.
    pub(super) fn begin(endpoint: &Endpoint, purpose: Purpose, greets: bool) -> (Vec<u8>, Self) {
        let (mut words, mut said) = (Vec::new(), Vec::new());
        if endpoint.user.is_some() || endpoint.password.is_some() {
            let password = endpoint.password.as_deref().unwrap_or_default();
            let user = endpoint.user.as_deref();
            redis::cmd("AUTH").arg(user).arg(password).write_packed_command(&mut words);
            said.push(Said::Auth);
        }
        if endpoint.db != 0 {
            redis::cmd("SELECT").arg(endpoint.db).write_packed_command(&mut words);
            said.push(Said::Select);
        }
        if greets {
            redis::cmd("HELLO").arg(2).write_packed_command(&mut words);
            said.push(Said::Hello);
            for (attribute, value) in
                [("LIB-NAME", env!("CARGO_PKG_NAME")), ("LIB-VER", env!("CARGO_PKG_VERSION"))]
            {
                let mut command = redis::cmd("CLIENT");
                command.arg("SETINFO").arg(attribute).arg(value).write_packed_command(&mut words);
                said.push(Said::Name);
            }
            if purpose == Purpose::Commands {
                ask_about(&mut words, &mut said, endpoint.strict.is_some());
            }
        }
        let server = Server::new(greets);
        let mut login = Self {
            said,
            answered: 0,
            db: endpoint.db,
            password: endpoint.password.as_deref().map(Into::into),
            server,
            refused: None,
            was_set: false,
            was_late: false,
            probes: 0,
        };
        if purpose == Purpose::Commands {
            login.probe(&mut words, endpoint, None);
        }
        (words, login)
    }

    /// What is left to be said: the probe once more, if it came to nothing, or with a command of
    /// the server's own, if the server runs no scripts.
    pub(super) fn more(&mut self, endpoint: &Endpoint) -> Option<Vec<u8>> {
        if self.was_late && self.probes < MOST_PROBES {
            let native = self.server.native.filter(|_| !self.server.scripts);
            let mut words = Vec::new();
            self.probe(&mut words, endpoint, native);
            return Some(words);
        }
        if self.refused.is_none() || !self.server.scripts {
            return None;
        }
        let native = self.server.native?;
        self.server.scripts = false;
        let mut words = Vec::new();
        self.probe(&mut words, endpoint, Some(native));
        Some(words)
    }

    fn probe(&mut self, words: &mut Vec<u8>, endpoint: &Endpoint, native: Option<Native>) {
        self.probes = self.probes.saturating_add(1);
        probe::encode(words, &endpoint.probe, native);
        self.said.extend([Said::Acquire, Said::Release(native)]);
    }

    pub(super) fn is_over(&self) -> bool {
        self.answered >= self.said.len()
    }

    /// The step whose answer is awaited.
    pub(super) fn step(&self) -> Step {
        Step::Login(self.said.get(self.answered).map_or("its end", |said| said.command()))
    }

    /// Whether a server that hangs up now may do so because it was greeted: some proxies hang up
    /// on a command that they don't know.
    pub(super) fn may_be_the_greeting(&self) -> bool {
        self.server.greets && !self.was_greeted()
    }

    /// Whether the server has answered the greeting, whatever it said.
    pub(super) fn was_greeted(&self) -> bool {
        self.said.get(..self.answered).unwrap_or_default().contains(&Said::Hello)
    }

    /// Takes the replies that have all arrived off the front of `replies`.
    ///
    /// # Errors
    ///
    /// The server refuses to serve us, or is none that may vote.
    pub(super) fn take(&mut self, replies: &mut Vec<u8>) -> Result<(), NodeError> {
        while let Some(said) = self.said.get(self.answered).copied()
            && let Some((reply, len)) = decode(said, replies)?
        {
            self.answered = self.answered.saturating_add(1);
            self.handle(said, &reply).map_err(|error| error.by(&self.server.words))?;
            replies.drain(..len);
        }
        Ok(())
    }

    fn handle(&mut self, said: Said, reply: &Reply<'_>) -> Result<(), NodeError> {
        match (said, reply) {
            (Said::Auth, Reply::Error(text)) => {
                Err(NodeError::from_login(NodeErrorKind::AuthFailed, text).to(said.command()))
            }
            (Said::Select, Reply::Error(text)) => {
                Err(NodeError::from_login(NodeErrorKind::NoDatabase, text).to(said.command()))
            }
            (Said::Hello, Reply::List(list)) => {
                let hello = Hello::of(list);
                self.server.greet(&hello);
                hello.objection(self.db).map_or(Ok(()), |kind| Err(NodeError::new(kind)))
            }
            (Said::Info, Reply::Bulk(text)) => {
                info::note(&mut self.server, text);
                Ok(())
            }
            (Said::Epoch, Reply::Bulk(value)) if noted::is_epoch(value) => {
                self.server.warnings.push(NodeError::new(NodeErrorKind::HasEpoch));
                Ok(())
            }
            (Said::Hello | Said::Name | Said::Info | Said::Epoch, Reply::Error(text)) => {
                refused_at_the_door(text)
            }
            (Said::Acquire, _) => {
                self.handle_acquire(probe::judge(reply, said.command(), self.sent()))
            }
            (Said::Release(_), _) => {
                // Where nothing was set, nothing is there to be deleted.
                self.was_late = *reply == Reply::Int(0) && self.server.refuses.is_none();
                let verdict = probe::judge(reply, said.command(), self.sent());
                self.refused = match verdict.of_release(self.was_set) {
                    // Of a script and a command of the server's own, the script is what is told.
                    Verdict::Refused(error) if probe::is_lasting(error.kind()) => {
                        self.refused.take().or(Some(error))
                    }
                    Verdict::Refused(_) | Verdict::Untold(_) | Verdict::Works => None,
                };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sent(&self) -> Sent<'_> {
        Sent::Password(self.password.as_deref())
    }

    /// A server that grants nothing now is no danger, and a lock that it has granted already
    /// can be extended and released there; unless it can't be used at all.
    fn handle_acquire(&mut self, verdict: Verdict) -> Result<(), NodeError> {
        use NodeErrorKind as K;
        self.was_set = matches!(verdict, Verdict::Works);
        let Verdict::Refused(error) = verdict else {
            self.server.refuses = None;
            return Ok(());
        };
        match error.kind() {
            K::AuthRequired | K::ReadOnly | K::Clustered | K::Loading | K::Protocol => Err(error),
            _ => {
                self.server.refuses = Some(error);
                Ok(())
            }
        }
    }

    /// What is known of the server, once all has been answered.
    ///
    /// # Errors
    ///
    /// A lock that was taken there could not be given back.
    pub(super) fn end(mut self) -> Result<Server, NodeError> {
        if let Some(error) = self.refused {
            return Err(error.by(&self.server.words));
        }
        if self.server.evicts {
            self.server.warnings.push(NodeError::new(NodeErrorKind::Evicting));
        }
        Ok(self.server)
    }
}

/// Asks a server what matters to locks besides whether one would work. A strict node is asked for
/// its epoch with each lock.
fn ask_about(words: &mut Vec<u8>, said: &mut Vec<Said>, is_strict: bool) {
    // Servers before Redis 7 take one section at a time.
    for section in ["server", "memory"] {
        redis::cmd("INFO").arg(section).write_packed_command(words);
        said.push(Said::Info);
    }
    if !is_strict {
        redis::cmd("GET").arg(EPOCH).write_packed_command(words);
        said.push(Said::Epoch);
    }
}

/// Only the answer to the greeting may be a list.
fn decode(said: Said, replies: &[u8]) -> Taken<Reply<'_>> {
    if said == Said::Hello { resp::decode_any(replies) } else { resp::decode(replies) }
}

/// A server may refuse to be greeted and to hear our name. But some say why they are
/// about to hang up before they have heard a command, and then that is the answer.
fn refused_at_the_door(text: &str) -> Result<(), NodeError> {
    let error = NodeError::from_reply(text);
    match error.kind() {
        NodeErrorKind::TooManyClients | NodeErrorKind::Protected => Err(error),
        _ => Ok(()),
    }
}
