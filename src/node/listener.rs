//! A second connection to a node, on which releases are heard of.
//!
//! It is made when there is something to listen to, and closed when there is
//! not. It passes on what comes and promises nothing: a node that refuses, a
//! connection that breaks and a message that is lost all only mean that nothing
//! is heard.

use std::{
    collections::BTreeSet,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    conn::Conn,
    connect::{self, Connected},
    endpoint::Endpoint,
    login::Purpose,
    push::{self, CHANNEL, Push},
    state::Attempt,
};
use crate::{
    exchange::{Heard, News},
    key::Key,
    node_error::{NodeError, NodeErrorKind},
    protocol::{Backoff, Moment, NodeId},
    world::World,
};

/// The pauses between attempts to connect. Nobody waits for this connection, so
/// they are longer than those of a node's main one.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The pause before a server that does not let us listen is asked again.
const REFUSED: Duration = Duration::from_secs(60);

/// One node's listening connection.
pub(crate) struct Listener {
    id: NodeId,
    endpoint: Arc<Endpoint>,
    world: Arc<dyn World>,
    state: State,
    /// The keys whose channels are wanted.
    channels: BTreeSet<Key>,
    /// Whether the server has confirmed any channel on this connection.
    hears: bool,
    /// How many commands on this connection have no answer.
    unanswered: usize,
    backoff: Backoff,
    /// How many connections in a row broke when we had subscribed, and had heard nothing.
    cuts: u8,
    /// Whether a warning has said that the server does not let us listen.
    warned: bool,
}

/// A server that hangs up so many times in a row when we subscribe does not let us: some proxies
/// hang up on what they don't know.
const MOST_CUTS: u8 = 3;

enum State {
    Off { retry_at: Moment },
    Connecting(Attempt),
    Up(Conn),
}

impl Listener {
    pub(crate) fn new(id: NodeId, endpoint: Arc<Endpoint>, world: Arc<dyn World>) -> Self {
        Self {
            id,
            endpoint,
            world,
            state: State::Off { retry_at: Moment::PAST },
            channels: BTreeSet::new(),
            hears: false,
            unanswered: 0,
            backoff: RECONNECT,
            cuts: 0,
            warned: false,
        }
    }

    /// Subscribes to the channel of `key`, as soon as there is a connection.
    pub(crate) fn listen(&mut self, key: &Key) {
        if self.channels.insert(key.clone())
            && let State::Up(conn) = &mut self.state
        {
            push_command(conn, true, key);
            self.unanswered = self.unanswered.saturating_add(1);
        }
    }

    /// Ends the subscription to the channel of `key`.
    pub(crate) fn leave(&mut self, key: &Key) {
        if self.channels.remove(key)
            && let State::Up(conn) = &mut self.state
        {
            push_command(conn, false, key);
            self.unanswered = self.unanswered.saturating_add(1);
        }
    }

    /// The connection leads to a server that is not the node any more: another is made.
    pub(crate) fn move_on(&mut self, now: Moment, heard: &mut Vec<(NodeId, Heard)>) {
        if !matches!(self.state, State::Off { .. }) {
            self.turn_off(now, heard);
        }
    }

    /// Whether there is no connection, and none is wanted.
    pub(crate) fn is_off(&self) -> bool {
        self.channels.is_empty() && matches!(self.state, State::Off { .. })
    }

    /// Drives the connection, and appends to `heard` what came of it.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        due: Moment,
        draw: &mut dyn FnMut() -> u64,
        heard: &mut Vec<(NodeId, Heard)>,
    ) {
        if self.channels.is_empty() {
            // Whatever is wrong with the connection can wait until it is wanted again.
            if !matches!(self.state, State::Off { .. }) {
                self.turn_off(Moment::PAST, heard);
            }
            return;
        }
        if let State::Off { retry_at } = self.state
            && retry_at <= due
        {
            let (endpoint, world) = (Arc::clone(&self.endpoint), Arc::clone(&self.world));
            let attempt = connect::connect(endpoint, world, Purpose::Listening);
            self.state = State::Connecting(Box::pin(attempt));
        }
        if let State::Connecting(attempt) = &mut self.state
            && let Poll::Ready(outcome) = attempt.as_mut().poll(cx)
        {
            match outcome {
                Ok(Connected { stream, .. }) => {
                    let mut conn = Conn::new(stream);
                    self.channels.iter().for_each(|key| push_command(&mut conn, true, key));
                    self.unanswered = self.channels.len();
                    self.state = State::Up(conn);
                }
                Err(error) => return self.lose(&error, now, draw, heard),
            }
        }
        if let Err(error) = self.poll_messages(cx, heard) {
            self.lose(&error, now, draw, heard);
        }
    }

    /// When to poll the listener even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Moment {
        match self.state {
            State::Off { retry_at } if !self.channels.is_empty() => retry_at,
            _ => Moment::NEVER,
        }
    }

    fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        heard: &mut Vec<(NodeId, Heard)>,
    ) -> Result<(), NodeError> {
        let State::Up(conn) = &mut self.state else { return Ok(()) };
        conn.poll_write(cx)?;
        let (id, channels, unanswered) = (self.id, &self.channels, &mut self.unanswered);
        let mut refused = None;
        conn.poll_read(cx, |unread| {
            let Some((push, len)) = push::decode(unread)? else { return Ok(None) };
            if !matches!(push, Push::Message(..)) {
                // No server answers what it was not asked.
                let left = unanswered.checked_sub(1);
                *unanswered = left.ok_or_else(|| NodeError::new(NodeErrorKind::Protocol))?;
            }
            match push {
                Push::Subscribed(channel) => {
                    let key = Key::new(b"", key_of(channel)).ok();
                    if let Some(key) = key.and_then(|key| channels.get(&key)) {
                        heard.push((id, Heard::Subscribed(key.clone())));
                        self.hears = true;
                        self.backoff = RECONNECT;
                    }
                }
                Push::Message(channel, text) => {
                    let key = Key::new(b"", key_of(channel)).ok();
                    // The key that was asked for also knows its prefix.
                    let known = key.and_then(|key| channels.get(&key));
                    if let (Some(key), Some(news)) = (known, News::from_text(text)) {
                        heard.push((id, Heard::Released(key.clone(), news)));
                    }
                }
                Push::Error(text) => {
                    let error = NodeError::from_reply(text).to("SUBSCRIBE");
                    // What has no code that we know is no state that passes.
                    if error.is_transient() && error.kind() != NodeErrorKind::Server {
                        return Err(error);
                    }
                    // This channel is closed to us; others may not be.
                    refused = Some(error);
                }
                Push::Unsubscribed | Push::Other => {}
            }
            Ok(Some(len))
        })?;
        if let Some(error) = refused {
            self.warn(&error);
        }
        Ok(())
    }

    /// Drops the connection, which is made again later.
    fn lose(
        &mut self,
        error: &NodeError,
        now: Moment,
        draw: &mut dyn FnMut() -> u64,
        heard: &mut Vec<(NodeId, Heard)>,
    ) {
        let mut pause = self.backoff.next_delay(draw());
        let is_cut = !self.hears && self.unanswered > 0;
        self.cuts = if is_cut { self.cuts.saturating_add(1) } else { 0 };
        if !error.is_transient() {
            pause = REFUSED;
            self.warn(error);
        } else if self.cuts >= MOST_CUTS {
            self.warn(&error.clone().to("SUBSCRIBE"));
        }
        self.turn_off(now.after(pause), heard);
    }

    /// Drops the connection, and says so if anything was heard on it.
    fn turn_off(&mut self, retry_at: Moment, heard: &mut Vec<(NodeId, Heard)>) {
        self.state = State::Off { retry_at };
        if std::mem::take(&mut self.hears) {
            heard.push((self.id, Heard::Deaf));
        }
    }

    /// Warns, once, that the server does not let us listen.
    fn warn(&mut self, error: &NodeError) {
        if !std::mem::replace(&mut self.warned, true) {
            let (node, cure) = (self.endpoint.label(), cure(error.kind()));
            tracing::warn!(
                %node, %error,
                "node does not let us listen for releases: who waits for a lock asks now and \
                 then instead. {cure}"
            );
        }
    }
}

/// What would let us listen.
fn cure(kind: NodeErrorKind) -> &'static str {
    match kind {
        NodeErrorKind::NotPermitted => "Allow +subscribe +unsubscribe &redlock:*",
        // Envoy's and twemproxy's do.
        _ => "It was renamed, or a proxy in between keeps it back",
    }
}

fn key_of(channel: &[u8]) -> &[u8] {
    channel.strip_prefix(CHANNEL).unwrap_or_default()
}

fn push_command(conn: &mut Conn, begin: bool, key: &Key) {
    let mut command = Vec::new();
    push::encode(&mut command, begin, key.as_bytes());
    conn.push(&command);
}
