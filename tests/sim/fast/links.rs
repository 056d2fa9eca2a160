//! What goes wrong with the fast level's network.

use std::io;

use rand::RngExt as _;

use super::net::{Conn, Event, Item, State};
use crate::{plan::MS, stage::Truth};

impl State {
    pub fn cut(&mut self, client: usize, node: usize, up: bool, down: bool) {
        let link = &mut self.links[client][node];
        link.up_cuts += u32::from(up);
        link.down_cuts += u32::from(down);
    }

    /// The cut is over: what was held back is sent again, a little later.
    pub fn heal(&mut self, now: u64, client: usize, node: usize, up: bool, down: bool) {
        let link = &mut self.links[client][node];
        link.up_cuts -= u32::from(up);
        link.down_cuts -= u32::from(down);
        for id in 0..self.conns.len() {
            if (self.conns[id].client, self.conns[id].to.node) == (client, node) {
                let again = now + self.rng.random_range(0..200 * MS);
                self.push(again, Event::Up(id));
                self.push(again, Event::Down(id));
            }
        }
    }

    /// The client hears that its connection broke. What it had sent arrives all the
    /// same, in time or up to `late` later.
    pub fn break_off(&mut self, now: u64, client: usize, node: usize, late: u64) {
        for id in 0..self.conns.len() {
            let conn = &mut self.conns[id];
            if (conn.client, conn.to.node) != (client, node) || conn.end.is_some() {
                continue;
            }
            conn.deaf = true;
            conn.end = Some(io::ErrorKind::ConnectionReset);
            if let Some(reader) = conn.reader.take() {
                reader.wake();
            }
            let more = self.rng.random_range(0..=late);
            let pipe = &mut self.conns[id].up;
            pipe.queue.iter_mut().for_each(|(at, _)| *at += more);
            let times: Vec<_> = pipe.queue.iter().map(|(at, _)| (*at).max(now)).collect();
            times.into_iter().for_each(|at| self.push(at, Event::Up(id)));
        }
    }

    pub fn slow(&mut self, node: usize, by: u64, begins: bool) {
        let slow_by = &mut self.nodes[node].slow_by;
        *slow_by = if begins { *slow_by + by } else { *slow_by - by };
    }

    pub fn lose(&mut self, node: usize, per_mille: u32, begins: bool) {
        let loss = &mut self.nodes[node].loss;
        *loss = if begins { *loss + per_mille } else { *loss - per_mille };
    }

    /// The node's process ends, and what it had not read is lost.
    pub fn crash(&mut self, now: u64, node: usize, silent: bool) {
        for id in 0..self.conns.len() {
            let conn = &mut self.conns[id];
            if conn.to.node != node || conn.gone {
                continue;
            }
            conn.gone = true;
            conn.received.clear();
            conn.up.queue.clear();
            if !silent && !conn.deaf {
                self.send(now, id, false, Item::Close);
            }
        }
    }

    /// The servers that have ceased to be the node close their connections, if they do. What
    /// they had not read is lost.
    pub fn hang_up_old(&mut self, truth: &mut Truth, node: usize) {
        for id in 0..self.conns.len() {
            let Conn { to, gone, deaf, .. } = self.conns[id];
            if to.node != node || gone || !truth.nodes[node].has_hung_up(to.term) {
                continue;
            }
            let conn = &mut self.conns[id];
            conn.gone = true;
            conn.received.clear();
            conn.up.queue.clear();
            truth.nodes[node].hang_up(id as u64);
            if !deaf {
                self.send(truth.now, id, false, Item::Close);
            }
        }
    }

    /// A host that is back closes its old connections, which it does not know.
    pub fn restart(&mut self, now: u64, node: usize) {
        for id in 0..self.conns.len() {
            let conn = &self.conns[id];
            if conn.to.node == node && conn.gone && conn.end.is_none() && !conn.deaf {
                self.send(now, id, false, Item::Close);
            }
        }
    }

    /// A node that hung reads what has arrived meanwhile.
    pub fn wake_up(&mut self, truth: &mut Truth, node: usize) {
        for id in 0..self.conns.len() {
            if self.conns[id].to.node == node {
                self.serve(truth, id);
            }
        }
    }
}
