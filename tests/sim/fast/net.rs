//! The network of the fast level: connections that keep their order and
//! nothing else, over links that can be slow, lossy, cut, or reset.
//!
//! A message that is lost is sent again, as TCP does it. So a link can only delay
//! messages, and those of a connection that broke can arrive after messages that
//! were sent on the next one.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::decode_command;

use crate::{
    draw::chance,
    names::{Line, Place},
    plan::{MS, Plan},
    stage::{Shared, Truth},
};

/// What happens at some moment.
pub enum Event {
    Wake(Waker),
    /// The next message of a connection may have arrived at its node.
    Up(usize),
    /// The next message of a connection may have arrived at its client.
    Down(usize),
    /// A fault of the plan begins, or is over.
    Begin(usize),
    End(usize),
}

struct Timed {
    at: u64,
    number: u64,
    event: Event,
}

pub struct Net {
    stage: Shared,
    state: Mutex<State>,
}

pub struct State {
    agenda: BinaryHeap<Reverse<Timed>>,
    next: u64,
    pub rng: SmallRng,
    latency: (u64, u64),
    pub(super) conns: Vec<Conn>,
    pub(super) links: Vec<Vec<Link>>,
    pub(super) nodes: Vec<Host>,
}

/// How many cuts of each direction of a link are not over.
#[derive(Clone, Default)]
pub(super) struct Link {
    pub(super) up_cuts: u32,
    pub(super) down_cuts: u32,
}

/// What is wrong with all links of a node.
#[derive(Clone, Default)]
pub(super) struct Host {
    pub(super) slow_by: u64,
    pub(super) loss: u32,
}

pub(super) enum Item {
    Bytes(Vec<u8>),
    Close,
}

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) queue: VecDeque<(u64, Item)>,
    last: u64,
}

/// One connection of a client to a node.
pub(super) struct Conn {
    pub(super) client: usize,
    pub(super) to: Place,
    /// After how many more bytes of the server's answers the connection breaks, if it does.
    left: Option<usize>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// What the node has received and not yet carried out.
    pub(super) received: Vec<u8>,
    /// What the client can read.
    readable: Vec<u8>,
    /// What the client is told once it has read all.
    pub(super) end: Option<io::ErrorKind>,
    pub(super) reader: Option<Waker>,
    /// Nobody reads the node's answers any more.
    pub(super) deaf: bool,
    /// The client has closed, and the node has received all there will be.
    over: bool,
    /// The node does not know the connection any more.
    pub(super) gone: bool,
}

impl Net {
    pub fn new(stage: Shared, plan: &Plan) -> Arc<Self> {
        let mut state = State {
            agenda: BinaryHeap::new(),
            next: 0,
            rng: SmallRng::seed_from_u64(plan.seed ^ 0x6e65_7477),
            latency: plan.latency,
            conns: Vec::new(),
            links: vec![vec![Link::default(); plan.nodes.len()]; plan.clients.len()],
            nodes: vec![Host::default(); plan.nodes.len()],
        };
        for (place, fault) in plan.faults.iter().enumerate() {
            state.push(fault.at, Event::Begin(place));
            state.push(fault.at + fault.lasts, Event::End(place));
        }
        Arc::new(Self { stage, state: Mutex::new(state) })
    }

    pub fn stage(&self) -> &Shared {
        &self.stage
    }

    /// Locks the network. Code that needs the stage too locks that second.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub fn push(&mut self, at: u64, event: Event) {
        self.agenda.push(Reverse(Timed { at, number: self.next, event }));
        self.next += 1;
    }

    /// Takes the next event and its time.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.agenda.pop().map(|Reverse(timed)| (timed.at, timed.event))
    }

    fn delay(&mut self, node: usize) -> u64 {
        let (least, most) = self.latency;
        let host = &self.nodes[node];
        let (slow_by, loss) = (host.slow_by, host.loss);
        let mut delay = self.rng.random_range(least..=most) + slow_by;
        while chance(&mut self.rng, loss) && delay < 500 * MS {
            // TCP sends again after 200 ms, as a rule, and then after twice that.
            delay = 2 * delay + 200 * MS;
        }
        delay
    }

    fn is_cut(&self, conn: &Conn, up: bool) -> bool {
        let link = &self.links[conn.client][conn.to.node];
        if up { link.up_cuts > 0 } else { link.down_cuts > 0 }
    }

    /// Whether a connection can be made now. `None` means that nobody answers.
    pub fn try_dial(&mut self, truth: &Truth, client: usize, node: usize) -> Option<bool> {
        let link = &self.links[client][node];
        let host = &truth.nodes[node];
        let reachable = link.up_cuts == 0 && link.down_cuts == 0 && !host.silent;
        reachable.then_some(!host.is_down())
    }

    pub fn round_trip(&mut self, node: usize) -> u64 {
        self.delay(node) + self.delay(node)
    }

    /// Opens a connection to a server, which breaks after `left` bytes of its answers.
    pub fn open(&mut self, client: usize, to: Place, left: Option<usize>) -> usize {
        self.conns.push(Conn {
            client,
            to,
            left,
            up: Pipe::default(),
            down: Pipe::default(),
            received: Vec::new(),
            readable: Vec::new(),
            end: None,
            reader: None,
            deaf: false,
            over: false,
            gone: false,
        });
        self.conns.len() - 1
    }

    /// The client writes.
    pub fn write(&mut self, now: u64, id: usize, bytes: &[u8]) -> io::Result<usize> {
        if let Some(end) = self.conns[id].end {
            return Err(end.into());
        }
        let len = self.some_of(bytes.len());
        self.send(now, id, true, Item::Bytes(bytes[..len].to_vec()));
        Ok(len)
    }

    /// How much a socket takes or gives: now and then less than there is.
    fn some_of(&mut self, len: usize) -> usize {
        if len > 1 && chance(&mut self.rng, 30) { self.rng.random_range(1..len) } else { len }
    }

    /// The client reads: it gets bytes or an end, or it will be woken.
    pub fn read(&mut self, id: usize, most: usize, waker: &Waker) -> Option<io::Result<Vec<u8>>> {
        let there = most.min(self.conns[id].readable.len());
        if there > 0 {
            let len = self.some_of(there);
            return Some(Ok(self.conns[id].readable.drain(..len).collect()));
        }
        let conn = &mut self.conns[id];
        match conn.end {
            Some(io::ErrorKind::UnexpectedEof) => Some(Ok(Vec::new())),
            Some(end) => Some(Err(end.into())),
            None => {
                conn.reader = Some(waker.clone());
                None
            }
        }
    }

    /// The client closes. What it has written arrives all the same.
    pub fn close(&mut self, now: u64, id: usize) {
        self.conns[id].deaf = true;
        self.send(now, id, true, Item::Close);
    }

    pub(super) fn send(&mut self, now: u64, id: usize, up: bool, item: Item) {
        let delay = self.delay(self.conns[id].to.node);
        let conn = &mut self.conns[id];
        let pipe = if up { &mut conn.up } else { &mut conn.down };
        pipe.last = pipe.last.max(now + delay);
        pipe.queue.push_back((pipe.last, item));
        let at = pipe.last;
        self.push(at, if up { Event::Up(id) } else { Event::Down(id) });
    }

    fn next_item(&mut self, now: u64, id: usize, up: bool) -> Option<Item> {
        if self.is_cut(&self.conns[id], up) {
            return None; // `heal` looks again
        }
        let conn = &mut self.conns[id];
        let pipe = if up { &mut conn.up } else { &mut conn.down };
        (pipe.queue.front()?.0 <= now).then(|| pipe.queue.pop_front())?.map(|(_, item)| item)
    }

    /// Takes in what has arrived at a node.
    pub fn arrive_up(&mut self, truth: &mut Truth, id: usize) {
        while let Some(item) = self.next_item(truth.now, id, true) {
            match item {
                Item::Bytes(bytes) => self.conns[id].received.extend_from_slice(&bytes),
                Item::Close => self.conns[id].over = true,
            }
            self.serve(truth, id);
        }
    }

    /// The node carries out what it has received, unless it hangs.
    pub(super) fn serve(&mut self, truth: &mut Truth, id: usize) {
        let Conn { client, to, gone, .. } = self.conns[id];
        let node = to.node;
        if gone || truth.nodes[node].hung > 0 || truth.nodes[node].is_down() {
            return;
        }
        let received = std::mem::take(&mut self.conns[id].received);
        let (mut rest, mut replies) = (&received[..], Vec::new());
        while let Ok(Some((command, len))) = decode_command(rest) {
            rest = &rest[len..];
            let line = Line { client, to, conn: id as u64 };
            match truth.execute(line, &command, self.rng.next_u32()) {
                Some(sent) => {
                    replies.extend(sent.reply);
                    self.deliver(truth.now, sent.messages);
                }
                None => return self.hang_up(truth.now, id, replies),
            }
        }
        self.conns[id].received = rest.to_vec();
        if self.is_cut_off(id, &mut replies) {
            truth.lets_down(client, node);
            truth.nodes[node].hang_up(id as u64);
            return self.hang_up(truth.now, id, replies);
        }
        if !replies.is_empty() && !self.conns[id].deaf {
            self.send(truth.now, id, false, Item::Bytes(replies));
        }
        if self.conns[id].over {
            self.conns[id].gone = true;
            truth.nodes[node].hang_up(id as u64);
        }
    }

    /// Whether a connection breaks now, and leaves only so much of `replies`.
    fn is_cut_off(&mut self, id: usize, replies: &mut Vec<u8>) -> bool {
        let Some(left) = self.conns[id].left else { return false };
        let is_over = !replies.is_empty() && replies.len() >= left;
        replies.truncate(left);
        self.conns[id].left = Some(left - replies.len());
        is_over
    }

    /// Sends messages to their connections, none of which is the publisher's.
    fn deliver(&mut self, now: u64, messages: Vec<(u64, Vec<u8>)>) {
        for (to, message) in messages {
            let to = to as usize;
            if !self.conns[to].deaf {
                self.send(now, to, false, Item::Bytes(message));
            }
        }
    }

    fn hang_up(&mut self, now: u64, id: usize, replies: Vec<u8>) {
        self.conns[id].gone = true;
        self.send(now, id, false, Item::Bytes(replies));
        self.send(now, id, false, Item::Close);
    }

    /// Takes in what has arrived at a client.
    pub fn arrive_down(&mut self, now: u64, id: usize) {
        while let Some(item) = self.next_item(now, id, false) {
            let conn = &mut self.conns[id];
            match item {
                Item::Bytes(bytes) => conn.readable.extend(bytes),
                Item::Close => conn.end = conn.end.or(Some(io::ErrorKind::UnexpectedEof)),
            }
            if let Some(reader) = conn.reader.take() {
                reader.wake();
            }
        }
    }
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
