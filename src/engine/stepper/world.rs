//! A world small enough to be played through: clients, nodes, and what is on its
//! way between them. It moves by single steps and draws nothing by chance.

use std::{collections::VecDeque, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    caller::Client,
    node::{Store, execute, execute_fenced},
    scenario::{BEGIN, Scenario, Step},
};
use crate::{
    engine::{Engine, Output, Time, chance::Chance},
    exchange::{Answer, Ask, Event, Outcome, Ticket},
    node_error::{NodeError, NodeErrorKind},
    protocol::{Moment, NodeId},
};

/// A question on its way to a node.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) ticket: Ticket,
    pub(super) token: Vec<u8>,
    pub(super) ttl: Duration,
    /// The fencing number that it carries, or zero.
    pub(super) number: u64,
    /// Whether it publishes that the lock is let go of.
    pub(super) tells: bool,
    pub(super) offered_at: Moment,
}

/// One client's connection to one node.
#[derive(Default)]
pub(super) struct Link {
    pub(super) sent: VecDeque<Sent>,
    pub(super) answers: VecDeque<(Sent, Answer)>,
}

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) now: Moment,
    pub(super) clients: Vec<Client>,
    pub(super) nodes: Vec<Store>,
    /// The fence at each node, zero where there is none.
    pub(super) fences: Vec<u64>,
    /// How many steps were played.
    pub(super) step: u64,
    /// Questions of broken connections that have not been carried out.
    pub(super) late: Vec<(usize, Sent)>,
    pub(super) losses: usize,
    pub(super) drops: usize,
    pub(super) stalls: usize,
    pub(super) pauses: usize,
    pub(super) denials: usize,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let client = |number| Client::new(scenario, number);
        Self {
            now: BEGIN,
            clients: (0..scenario.clients.len()).map(client).collect(),
            nodes: vec![None; scenario.nodes],
            fences: vec![0; scenario.nodes],
            step: 0,
            late: Vec::new(),
            losses: scenario.losses,
            drops: scenario.drops,
            stalls: scenario.stalls,
            pauses: scenario.pauses,
            denials: scenario.denials,
            scenario: scenario.clone(),
        }
    }

    /// From now on so many nodes, from the last on, can't be reached.
    pub(super) fn take_down(&mut self, nodes: usize) {
        self.scenario.down = nodes;
    }

    /// All that can happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (client, it) in self.clients.iter().enumerate() {
            for (caller, one) in it.callers.iter().enumerate() {
                if one.can_act() {
                    steps.push(Step::Act { client, caller });
                }
                if one.waits() && self.drops > 0 {
                    steps.push(Step::Leave { client, caller });
                }
            }
            for (node, link) in it.links.iter().enumerate() {
                let is_quiet = link.sent.is_empty() && link.answers.is_empty();
                if !link.sent.is_empty() && self.matters_when(client, node) {
                    steps.push(Step::Execute { client, node });
                }
                if !is_quiet {
                    steps.push(Step::Deliver { client, node });
                }
                if self.denials > 0 && link.answers.front().is_some_and(is_grant) {
                    steps.push(Step::Deny { client, node });
                }
                if !is_quiet && self.losses > 0 {
                    steps.push(Step::Break { client, node });
                }
            }
        }
        steps.extend((0..self.late.len()).map(|which| Step::ComesLate { which }));
        let may_wait = self.is_quiet() || self.stalls > 0 && !self.is_held_up_for_long();
        if may_wait && !self.is_at_rest() && self.next_timeout() != Moment::NEVER {
            steps.push(Step::Wait);
            if self.pauses > 0 {
                steps.push(Step::Pause);
            }
        }
        steps
    }

    /// Whether it makes a difference when `node` carries a client's question out,
    /// as opposed to when the answer arrives: where something else may come between
    /// the two that the node or the connection is about.
    fn matters_when(&self, client: usize, node: usize) -> bool {
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != client);
        let mut links = others.map(|(_, it)| &it.links[node]);
        let may_break_or_stall = self.losses > 0 || self.stalls > 0;
        may_break_or_stall
            || links.any(|link| !link.sent.is_empty())
            || self.late.iter().any(|(at, _)| *at == node)
    }

    pub(super) fn play(&mut self, step: Step) {
        self.step += 1;
        match step {
            Step::Act { client, caller } => {
                let (now, wait, ttl) = (self.now, self.scenario.wait, self.scenario.ttl);
                let is_fenced = (self.scenario.fenced)(client, caller);
                let number = client;
                let client = &mut self.clients[client];
                if is_fenced {
                    client.tell_clock(number, now);
                }
                let caller = &mut client.callers[caller];
                (caller.fenced, caller.step) = (is_fenced, self.step);
                caller.act(&client.shared, now, wait, ttl);
            }
            Step::Leave { client, caller } => {
                self.drops -= 1;
                self.clients[client].callers[caller].leave();
            }
            Step::Execute { client, node } => self.execute(client, node),
            Step::Deliver { client, node } => self.deliver(client, node),
            Step::Deny { client, node } => {
                self.denials -= 1;
                if let Some((_, answer)) = self.clients[client].links[node].answers.front_mut() {
                    *answer = Answer::Refused;
                }
            }
            Step::Break { client, node } => self.break_link(client, node),
            Step::ComesLate { which } => {
                let (node, sent) = self.late.remove(which);
                self.carry_out(node, &sent);
            }
            Step::Wait => self.wait(),
            Step::Pause => {
                self.pauses -= 1;
                self.pass_until(self.now.after(self.scenario.ttl * 3 / 5));
            }
        }
        (0..self.clients.len()).for_each(|client| self.settle(client));
    }

    fn execute(&mut self, client: usize, node: usize) {
        if let Some(sent) = self.clients[client].links[node].sent.pop_front() {
            let answer = self.carry_out(node, &sent);
            self.clients[client].links[node].answers.push_back((sent, answer));
        }
    }

    fn carry_out(&mut self, node: usize, sent: &Sent) -> Answer {
        let (store, fence) = (&mut self.nodes[node], &mut self.fences[node]);
        match sent.number {
            0 => execute(store, sent, self.now),
            _ => execute_fenced(store, fence, sent, self.now),
        }
    }

    fn deliver(&mut self, client: usize, node: usize) {
        if self.clients[client].links[node].answers.is_empty() {
            self.execute(client, node);
        }
        let link = &mut self.clients[client].links[node];
        if let Some((sent, answer)) = link.answers.pop_front() {
            self.end(client, node, [(sent, Outcome::Answered(answer))]);
        }
    }

    fn break_link(&mut self, client: usize, node: usize) {
        self.losses -= 1;
        let link = std::mem::take(&mut self.clients[client].links[node]);
        self.late.extend(link.sent.iter().map(|sent| (node, sent.clone())));
        let sent = link.answers.into_iter().map(|(sent, _)| sent).chain(link.sent);
        let error = NodeError::new(NodeErrorKind::ConnectionLost);
        let ends: Vec<_> = sent.map(|sent| (sent, Outcome::Lost(error.clone()))).collect();
        self.end(client, node, ends);
    }

    /// Tells a client's engine how questions have ended, all of them at once.
    fn end(&mut self, client: usize, node: usize, ends: impl IntoIterator<Item = (Sent, Outcome)>) {
        let (now, node) = (self.now, node_id(node, self.scenario.nodes));
        let engine = self.engine(client);
        for (Sent { ticket, offered_at, .. }, outcome) in ends {
            engine.handle_answer(Event { node, ticket, outcome, offered_at }, now);
        }
        engine.settle_answered(Time { clock: now, now });
    }

    /// Lets time pass until something is due, and lets all clients know.
    fn wait(&mut self) {
        self.stalls -= usize::from(!self.is_quiet());
        // What was due in a pause is due since then, and what the clock says is later.
        let due = self.next_timeout();
        self.pass_until(due);
        let now = self.now;
        for client in 0..self.clients.len() {
            let time = Time { clock: now, now };
            let engine = self.engine(client);
            if engine.poll_timeout() <= due {
                engine.handle_due(due, time);
                engine.renew_waiting(time);
                engine.answer_closings(now);
            }
        }
    }

    fn pass_until(&mut self, moment: Moment) {
        let now = self.now.max(moment);
        self.now = now;
        // What the documents except is not played, as in `is_held_up_for_long`.
        self.late.retain(|(_, sent)| now < sent.offered_at.after(sent.ttl));
    }

    /// Whether a question would be held up for longer than its ttl if time passed:
    /// the documents say what becomes of a key then.
    fn is_held_up_for_long(&self) -> bool {
        let next = self.next_timeout();
        let mut sent = self.clients.iter().flat_map(|it| &it.links).flat_map(|link| &link.sent);
        sent.any(|sent| next >= sent.offered_at.after(sent.ttl))
    }

    /// Whether nothing is on its way.
    fn is_quiet(&self) -> bool {
        let mut links = self.clients.iter().flat_map(|client| &client.links);
        links.all(|link| link.sent.is_empty() && link.answers.is_empty())
    }

    /// Whether nobody wants anything any more. Time may pass then until an unused
    /// channel is not listened to, and would end keys that are left.
    fn is_at_rest(&self) -> bool {
        let mut callers = self.clients.iter().flat_map(|client| &client.callers);
        let is_busy = |engine: &Engine| engine.operations() > 0 || engine.callers() > 0;
        !callers.any(|caller| caller.waits() || caller.can_act())
            && !self.clients.iter().any(|client| is_busy(&client.engine))
    }

    fn next_timeout(&self) -> Moment {
        let timeouts = self.clients.iter().map(|client| client.engine.poll_timeout());
        timeouts.min().unwrap_or(Moment::NEVER)
    }

    /// A client's engine, with chance that depends on nothing but how many
    /// attempts it has made: so equal states have equal futures.
    fn engine(&mut self, client: usize) -> &mut Engine {
        let it = &mut self.clients[client];
        let seed = (client as u64) << 32 | it.attempts;
        it.engine.chance = Chance::new(StdRng::seed_from_u64(seed));
        &mut it.engine
    }

    /// Does at once what a driver would do at once: hands in requests, sends what
    /// is asked, and gives callers their answers.
    fn settle(&mut self, client: usize) {
        let time = Time { clock: self.now, now: self.now };
        loop {
            self.send_questions(client);
            if client >= self.scenario.slow && self.answer_at_once(client) {
                continue;
            }
            let step = self.step;
            self.clients[client].callers.iter_mut().for_each(|it| it.take_answers(step));
            let Ok(request) = self.clients[client].queue.try_recv() else { return };
            self.engine(client).handle_request(request, time);
        }
    }

    /// Answers the first question of a client whose network takes no time, if there
    /// is one.
    fn answer_at_once(&mut self, client: usize) -> bool {
        let mut links = self.clients[client].links.iter();
        let Some(node) = links.position(|link| !link.sent.is_empty()) else { return false };
        self.deliver(client, node);
        true
    }

    fn send_questions(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let reached = self.scenario.nodes - self.scenario.down;
        let time = Time { clock: self.now, now: self.now };
        while let Some(output) = it.engine.poll_output() {
            // Nobody publishes here: waiters look by themselves.
            let Output::Ask { op, ask, targets } = output else { continue };
            let Some(question) = it.engine.question(op, ask, targets) else { continue };
            let sent = Sent {
                ticket: question.ticket,
                token: question.token.to_vec(),
                ttl: question.ttl.key_duration(),
                number: question.fence.map_or(0, |fence| fence.number.get()),
                tells: question.news.is_some(),
                offered_at: self.now,
            };
            it.attempts += u64::from(sent.ticket.ask.sets());
            let (up, down): (Vec<_>, Vec<_>) =
                targets.iter().partition(|node| node.index() < reached);
            up.iter().for_each(|node| it.links[node.index()].sent.push_back(sent.clone()));
            for node in down.iter().copied() {
                let why = NodeError::new(NodeErrorKind::Unreachable);
                it.engine.handle_declined(op, ask, node, why, time.now);
            }
            if !down.is_empty() {
                it.engine.settle_declined(op, time);
            }
        }
    }
}

/// Whether this is how a node says that it has set the key.
fn is_grant((sent, answer): &(Sent, Answer)) -> bool {
    sent.ticket.ask == Ask::Set && matches!(answer, Answer::Granted)
}

fn node_id(node: usize, nodes: usize) -> NodeId {
    NodeId::all(nodes).nth(node).expect("there are so many")
}
