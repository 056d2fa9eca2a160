//! The nodes, as the driver sees them: puts the engine's questions to their
//! connections, and brings back answers and news. It decides nothing.

use std::{sync::Arc, task::Context};

use rand::{Rng as _, rngs::StdRng};

use super::wakes::Wakes;
use crate::{
    config::Config,
    engine::{Question, Wish},
    exchange::{Event, Heard, News},
    node::{self, Epoch, Form, Listener, Node, Order, Peers, Request},
    node_error::NodeError,
    protocol::{Moment, NodeId, NodeSet, Ttl},
};

/// All connections of one client.
pub(super) struct Net {
    nodes: Vec<Node>,
    listeners: Vec<Listener>,
    wakes: Wakes,
    /// Nodes that were offered something and have not been polled since.
    offered: NodeSet,
    /// Whether any listener is wanted, or has a connection still.
    listening: bool,
    /// Whether listeners were told something and have not been polled since.
    stirred: bool,
    /// What has come from the nodes.
    pub(super) events: Vec<Event>,
    /// What the listeners have heard.
    pub(super) heard: Vec<(NodeId, Heard)>,
    /// Nodes that declined the last question, and why.
    pub(super) declined: Vec<(NodeId, NodeError)>,
    /// The command that was encoded last.
    encoded: Vec<u8>,
    /// The nodes, and the longest ttl that they were asked for.
    peers: Arc<Peers>,
    longest: Ttl,
    /// The epoch of the strict node that it is for.
    epoch: Vec<u8>,
    /// Jitter of the pauses between attempts to connect.
    rng: StdRng,
}

impl Net {
    pub(super) fn new(config: &Config) -> Self {
        let world = &config.world;
        let nodes = || NodeId::all(config.endpoints.len()).zip(&config.endpoints);
        let node = |(id, at)| Node::new(id, Arc::clone(at), Arc::clone(world));
        let listener = |(id, at)| Listener::new(id, Arc::clone(at), Arc::clone(world));
        Self {
            nodes: nodes().map(node).collect(),
            listeners: nodes().map(listener).collect(),
            wakes: Wakes::new(config.endpoints.len()),
            offered: NodeSet::EMPTY,
            listening: false,
            stirred: false,
            events: Vec::new(),
            heard: Vec::new(),
            declined: Vec::new(),
            encoded: Vec::new(),
            peers: Arc::clone(&config.peers),
            longest: Ttl::from_millis(0),
            epoch: Vec::new(),
            rng: world.rng(),
        }
    }

    /// Wakes go to whoever polls with `cx`, from now on.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.wakes.register(cx);
    }

    /// Offers `question` to `targets`. Those that decline are in `declined` then.
    pub(super) fn ask(&mut self, question: &Question<'_>, targets: NodeSet, now: Moment) {
        let Question { ticket, key, token, ttl, fence, news, .. } = *question;
        let ask = ticket.ask;
        if ttl.of_key() > self.longest.of_key() {
            self.longest = ttl;
            self.peers.note_ttl(ttl);
        }
        let mut order = Order {
            ticket,
            keep_until: question.keep_until,
            timeout: question.timeout,
            // The form is chosen per node, below.
            form: Form::Short,
            replies: 0,
            is_release: ask.is_release(),
            reserved: question.reserved,
        };
        for target in targets.iter() {
            let Some(node) = self.nodes.get_mut(target.index()) else { continue };
            let is_scriptless = question.scriptless.contains(target);
            let form = if is_scriptless { Form::Whole } else { node.form(ask) };
            let is_strict = ask.needs_epoch() && node.write_epoch(&mut self.epoch);
            // Nodes that get the same command share one encoding.
            if order.replies == 0 || order.form != form || is_strict {
                self.encoded.clear();
                order.form = form;
                let again = news.filter(|_| is_scriptless).map(News::again);
                let news = again.or(news);
                let known = Epoch { known: &self.epoch, heals: question.reserved };
                let epoch = is_strict.then_some(known);
                let request = Request { ask, key, token, ttl, news, fence, epoch };
                order.replies = node::encode(&mut self.encoded, form, request);
            }
            match node.offer(&order, &self.encoded, now, &mut self.events) {
                Ok(()) => self.offered.insert(target),
                Err(error) => self.declined.push((target, error)),
            }
        }
    }

    /// Begins or ends listening to a channel, on all nodes.
    pub(super) fn listen(&mut self, wish: &Wish) {
        for listener in &mut self.listeners {
            match wish {
                Wish::Subscribe(key) => listener.listen(key),
                Wish::Unsubscribe(key) => listener.leave(key),
            }
        }
        (self.listening, self.stirred) = (true, true);
    }

    /// Polls the nodes that have something to say or were given something; with
    /// `rung`, since something is due, all of them.
    pub(super) fn poll_nodes(&mut self, now: Moment, due: Moment, rung: bool) {
        let mut woken = self.wakes.take();
        if rung {
            woken = NodeSet::first(self.nodes.len());
        }
        let offered = std::mem::take(&mut self.offered);
        let mut draw = || self.rng.next_u64();
        for id in woken.union(offered).iter() {
            let Some(node) = self.nodes.get_mut(id.index()) else { continue };
            let cx = &mut self.wakes.of(id);
            if woken.contains(id) || !node.is_up() {
                node.poll(cx, now, due, &mut draw, &mut self.events);
            } else {
                node.poll_commands(cx, now, &mut draw, &mut self.events);
            }
            if node.take_misled()
                && let Some(listener) = self.listeners.get_mut(id.index())
            {
                listener.move_on(now, &mut self.heard);
                self.stirred |= self.listening;
            }
        }
    }

    /// Drives the connections that listen. `wanted` says whether anything is to
    /// be listened to.
    pub(super) fn poll_listeners(
        &mut self,
        cx: &mut Context<'_>,
        now: Moment,
        due: Moment,
        wanted: bool,
    ) {
        self.stirred = false;
        if !self.listening {
            return;
        }
        let mut draw = || self.rng.next_u64();
        for listener in &mut self.listeners {
            listener.poll(cx, now, due, &mut draw, &mut self.heard);
        }
        self.listening = wanted || self.listeners.iter().any(|listener| !listener.is_off());
    }

    /// Whether there is something to write.
    pub(super) fn was_offered(&self) -> bool {
        !self.offered.is_empty()
    }

    /// Whether there is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.stirred || !self.events.is_empty() || !self.offered.is_empty()
    }

    /// When to poll although nothing happened.
    pub(super) fn poll_timeout(&self) -> Moment {
        let next = self.nodes.iter().map(Node::poll_timeout).fold(Moment::NEVER, Moment::min);
        if !self.listening {
            return next;
        }
        self.listeners.iter().map(Listener::poll_timeout).fold(next, Moment::min)
    }

    /// The most that is on its way to one node.
    #[cfg(redlock_sim)]
    pub(super) fn in_flight(&self) -> usize {
        self.nodes.iter().map(Node::in_flight).max().unwrap_or(0)
    }
}
