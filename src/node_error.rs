//! What went wrong at one node, and what to change there.
//!
//! An error is made from what a connection did, or from a server's error reply. It
//! keeps only the code of a reply: the rest of the text may echo what was sent. Only what is said
//! to the probe, which says nothing secret, is kept where its code means nothing.

mod kind;
mod reply;
mod step;

use std::{error, fmt, io, sync::Arc, time::Duration};

pub use self::kind::NodeErrorKind;
pub(crate) use self::step::Step;
use crate::spelled::Spelled;

/// Why one node's answer did not count. `Display` says what to change at the node.
#[derive(Clone, Debug)]
pub struct NodeError {
    kind: NodeErrorKind,
    /// Behind a pointer, since every answer has room for a `NodeError`.
    more: Option<Arc<More>>,
}

/// What is known besides the kind.
#[derive(Clone, Debug, Default)]
struct More {
    code: Option<Box<str>>,
    /// The server's own words, where nothing that was sent can be among them that is secret.
    words: Option<Box<str>>,
    /// The command that was refused.
    command: Option<&'static str>,
    /// What the server is, by its own word.
    server: Option<Arc<str>>,
    step: Option<Step>,
    waited: Option<Duration>,
    /// It has no password, and so refuses every one.
    has_no_password: bool,
    /// Only the key was refused, not the command.
    is_of_the_key: bool,
    /// What is at the key.
    found: Option<&'static str>,
    /// What a strict node tells of itself.
    told: Option<Box<str>>,
    source: Option<Arc<io::Error>>,
}

/// So many bytes of a server's own words are kept.
const MOST_WORDS: usize = 160;

/// What is said of a server that refuses a password because it has none.
const NO_PASSWORD: &str = "has no password: leave it out of the node's URL, or set one there";

impl NodeError {
    pub(crate) fn new(kind: NodeErrorKind) -> Self {
        Self { kind, more: None }
    }

    fn with(kind: NodeErrorKind, more: More) -> Self {
        Self { kind, more: Some(Arc::new(more)) }
    }

    pub(crate) fn io(kind: NodeErrorKind, source: io::Error) -> Self {
        Self::with(kind, More { source: Some(Arc::new(source)), ..More::default() })
    }

    /// Adds what only this place knows.
    fn and(self, add: impl FnOnce(&mut More)) -> Self {
        let mut more = self.more.map(Arc::unwrap_or_clone).unwrap_or_default();
        add(&mut more);
        Self::with(self.kind, more)
    }

    /// Says at which step no connection came about.
    pub(crate) fn during(self, step: Step) -> Self {
        self.and(|more| more.step = Some(step))
    }

    /// Says which command was refused.
    pub(crate) fn to(self, command: &'static str) -> Self {
        self.and(|more| more.command = Some(command))
    }

    /// Keeps the server's own words, where they are all that is known: a provider may say there
    /// what it allows. Not where they repeat `secret`.
    pub(crate) fn saying(self, text: &str, secret: Option<&str>) -> Self {
        let text = text.strip_prefix(self.code().unwrap_or_default()).unwrap_or(text).trim();
        let is_text = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let repeats = secret.is_some_and(|secret| !secret.is_empty() && text.contains(secret));
        if self.kind != NodeErrorKind::Server || !is_text || text.is_empty() || repeats {
            return self;
        }
        let text = text.get(..MOST_WORDS.min(text.len())).unwrap_or_default();
        self.and(|more| more.words = Some(text.into()))
    }

    /// The same in the server's own words, if it has said this before, in its `earlier` refusal.
    pub(crate) fn in_words_of(self, earlier: Option<&Self>) -> Self {
        let words = earlier.filter(|earlier| earlier.kind == self.kind);
        match words.and_then(|earlier| earlier.more.as_ref()?.words.clone()) {
            Some(words) => self.and(|more| more.words = Some(words)),
            None => self,
        }
    }

    /// Says what the server is that refused, unless nothing is known of it.
    pub(crate) fn by(self, server: &Arc<str>) -> Self {
        if server.is_empty()
            || self.code().is_none() && self.more.as_ref().is_none_or(|more| more.command.is_none())
        {
            return self;
        }
        self.and(|more| more.server = Some(Arc::clone(server)))
    }

    pub(crate) fn waited(kind: NodeErrorKind, waited: Duration) -> Self {
        Self::with(kind, More { waited: Some(waited), ..More::default() })
    }

    /// Whether the server has said something, be it a refusal.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the service's page shows it"))]
    pub(crate) fn is_an_answer(&self) -> bool {
        use NodeErrorKind as K;
        self.code().is_some()
            || matches!(
                self.kind,
                K::ReadOnly
                    | K::Sentinel
                    | K::SharedDatabase
                    | K::Restarted
                    | K::SameServer
                    | K::Evicting
            )
    }

    /// Whether an ACL forbids this key, and says nothing of others.
    pub(crate) fn is_of_the_key(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_of_the_key)
    }

    /// Whether it was this command that was refused.
    pub(crate) fn is_to(&self, command: &str) -> bool {
        self.more.as_ref().is_some_and(|more| more.command == Some(command))
    }

    /// How long something was waited for in vain.
    pub(crate) fn waited_for(&self) -> Option<Duration> {
        self.more.as_ref()?.waited
    }

    /// The server was started anew, and is asked for no lock for as long as this.
    pub(crate) fn restarted(rest: Duration) -> Self {
        let told = format!("in {}", Spelled(rest));
        Self::with(NodeErrorKind::Restarted, More { told: Some(told.into()), ..More::default() })
    }

    /// The server is that of another node, by its name.
    pub(crate) fn same_server(other: &str) -> Self {
        let told = format!("it is that of {other}");
        Self::with(NodeErrorKind::SameServer, More { told: Some(told.into()), ..More::default() })
    }

    /// Something that is no lock's token is at the key.
    pub(crate) fn foreign(found: Option<&'static str>) -> Self {
        Self::with(NodeErrorKind::ForeignKey, More { found, ..More::default() })
    }

    /// Adds a possible reason.
    pub(crate) fn hint(self, hint: Option<&'static str>) -> Self {
        let Some(hint) = hint else { return self };
        let source = Arc::new(io::Error::new(io::ErrorKind::TimedOut, hint));
        self.and(|more| more.source = Some(source))
    }

    /// Returns what went wrong, by what to change at the node.
    ///
    /// ```
    /// # use redlock_quorum::{NodeErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first node is down
    /// let error = health.nodes()[0].error().ok_or("it is up")?;
    /// assert_eq!(error.kind(), NodeErrorKind::Unreachable);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn kind(&self) -> NodeErrorKind {
        self.kind
    }

    /// Returns the code of the server's error reply, such as `READONLY`; `None` if
    /// there was no reply or it has no code.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first node is down
    /// for error in health.nodes().iter().filter_map(|node| node.error()) {
    ///     match error.code() {
    ///         Some(code) => println!("the server said {code}"),
    ///         None => println!("the server said nothing: {error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.more.as_ref()?.code.as_deref()
    }

    /// Whether time alone may cure the error. If not, someone has to change the
    /// server or the client's configuration. A replica may become a master, and memory be
    /// freed, so these may be cured, though an operator may want to know of them.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # cluster.nodes()[0].kill().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?; // the first node is down
    /// for error in health.nodes().iter().filter_map(|node| node.error()) {
    ///     if !error.is_transient() {
    ///         eprintln!("someone must act: {error}");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use NodeErrorKind as K;
        !matches!(
            self.kind,
            K::Untrusted
                | K::Sentinel
                | K::SharedDatabase
                | K::WrongHost
                | K::TlsRefused
                | K::NoTls
                | K::AuthRequired
                | K::AuthFailed
                | K::NoDatabase
                | K::Protected
                | K::NotPermitted
                | K::Unsupported
                | K::ForeignKey
                | K::ForeignFence
                | K::OtherMaxTtl
                | K::OtherNodes
                | K::SameServer
                | K::Evicting
                | K::HasEpoch
        )
    }

    /// Whether a request that got this answer surely had no effect. After an unclear
    /// reply it may have had one: a proxy can time out and answer for a server that
    /// goes on.
    pub(crate) fn surely_had_no_effect(&self) -> bool {
        use NodeErrorKind as K;
        !matches!(self.kind, K::Timeout | K::ConnectionLost | K::Server | K::Protocol)
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(more) = &self.more else { return fmt::Display::fmt(&self.kind, f) };
        match (self.kind, more.waited) {
            (NodeErrorKind::Owing, Some(waited)) => {
                write!(f, "not asked, it has owed an answer for {}", Spelled(waited))?;
            }
            (NodeErrorKind::ConnectionLost, Some(waited)) => {
                write!(f, "given up, it has owed an answer for {}", Spelled(waited))?;
            }
            (kind, Some(waited)) => write!(f, "{kind} in {}", Spelled(waited))?,
            (NodeErrorKind::AuthFailed, None) if more.has_no_password => {
                f.write_str(NO_PASSWORD)?
            }
            (kind, None) => fmt::Display::fmt(&kind, f)?,
        }
        if let Some(told) = &more.told {
            write!(f, ", {told}")?;
        }
        if let Some(step) = more.step {
            write!(f, ", {step}")?;
        }
        more.write_reply(f)?;
        match &more.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl More {
    /// Writes what was answered, to what, and by whom, as far as that is known.
    fn write_reply(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.code.as_deref().or(self.found);
        let to = if found.is_some() { "to " } else { "at " };
        let mut lead = " (";
        for (word, text) in [("", found), (to, self.command), ("by ", self.server.as_deref())] {
            let Some(text) = text else { continue };
            write!(f, "{lead}{word}{text}")?;
            lead = " ";
        }
        if lead == " " {
            f.write_str(")")?;
        }
        self.words.as_deref().map_or(Ok(()), |words| write!(f, ", in its words: {words}"))
    }
}

/// This is not derived: a derived source would be the [`Arc`] around the cause.
impl error::Error for NodeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.more.as_ref()?.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_refusal_is_surely_without_effect() {
        assert!(NodeError::from_reply("READONLY You can't write").surely_had_no_effect());
        assert!(!NodeError::from_reply("ERR upstream timed out").surely_had_no_effect());
        assert!(!NodeError::new(NodeErrorKind::Timeout).surely_had_no_effect());
        assert!(NodeError::new(NodeErrorKind::Owing).surely_had_no_effect());
    }

    #[test]
    fn what_was_found_stands_behind_the_kind_and_the_source_is_the_systems_error() {
        use std::error::Error as _;
        let late = NodeError::waited(NodeErrorKind::Timeout, Duration::from_millis(20));
        assert_eq!(late.to_string(), "no answer in 20ms");
        assert!(late.source().is_none());
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let refused = NodeError::io(NodeErrorKind::Unreachable, refused).during(Step::Connect);
        assert_eq!(refused.to_string(), "no connection, connecting: connection refused");
        assert!(refused.source().is_some_and(|source| source.is::<io::Error>()));
    }
}
