//! What is heard of releases, and what it means for who waits.
//!
//! Nodes publish each release on the lock's channel. A message is a hint: it
//! may be lost, late, or anyone's. It makes a waiter try sooner, and never
//! keeps one from trying at the polling floor.

use std::{collections::BTreeMap, task::Context, time::Duration};

use rand::Rng as _;

use super::run::{Driver, Timer};
use crate::{
    exchange::{Heard, News},
    key::Key,
    node::Listener,
    protocol::{Moment, NodeId, NodeSet},
};

/// For how long a channel is listened to after its last waiter has gone: who
/// waited for a lock will, as a rule, again.
const LINGER: Duration = Duration::from_secs(2);

/// The most channels listened to at once. Who waits beyond them polls.
const MAX_CHANNELS: usize = 65_536;

/// How much later each next waiter in the assumed order tries: what timers of a
/// millisecond surely tell apart. Half of it costs more commands and saves no
/// time.
const SLOT: Duration = Duration::from_millis(2);
const MOST_SLOTS: u32 = 4;

/// No honest release is older: what says so is not believed.
const OLDEST: u32 = 1 << 10;

/// So many releases of one lock may be told of at the same time.
const REMEMBERED: usize = 4;

/// What is listened to.
#[derive(Default)]
pub(super) struct Channels(BTreeMap<Key, Channel>);

#[derive(Default)]
struct Channel {
    /// How many releases a quorum has told of.
    heard: u64,
    /// For how many releases those have waited lately who got the lock.
    expected: u32,
    /// The last releases, and which nodes have told of them.
    recent: [(u64, NodeSet); REMEMBERED],
    next: usize,
    /// Nodes that have confirmed that we are subscribed.
    subscribed: NodeSet,
    wanted_at: Moment,
}

impl Channel {
    /// Counts a message, and says whether it makes a quorum.
    fn count(&mut self, node: NodeId, news: News, votes: usize) -> bool {
        let known = self.recent.iter().position(|(number, _)| *number == news.number);
        let place = known.unwrap_or_else(|| {
            self.next = (self.next + 1) % REMEMBERED;
            self.next
        });
        let Some((number, nodes)) = self.recent.get_mut(place) else { return false };
        if known.is_none() {
            (*number, *nodes) = (news.number, NodeSet::EMPTY);
        }
        let before = nodes.len();
        nodes.insert(node);
        let enough = before < votes && nodes.len() >= votes;
        if enough {
            self.heard = self.heard.wrapping_add(1);
            let age = news.age.min(OLDEST);
            let less = self.expected.saturating_sub(age).div_ceil(4);
            self.expected = self.expected.saturating_sub(less).max(age);
        }
        enough
    }

    /// How long to let others try first who have waited longer: in a crowd,
    /// who gets the lock next has waited about as long as the one before.
    fn turn(&self, age: u32) -> Duration {
        SLOT * self.expected.saturating_sub(age).min(MOST_SLOTS)
    }
}

impl Driver {
    /// Begins to listen for releases of `key`, or goes on to.
    pub(super) fn listen(&mut self, key: &Key, now: Moment) {
        if let Some(channel) = self.channels.0.get_mut(key) {
            channel.wanted_at = now;
            return;
        }
        if self.channels.0.len() >= MAX_CHANNELS {
            return;
        }
        if self.channels.0.is_empty() {
            self.timers.push(now.after(LINGER), Timer::Hush);
        }
        self.channels.0.insert(key.clone(), Channel { wanted_at: now, ..Channel::default() });
        self.listeners.iter_mut().for_each(|listener| listener.listen(key));
        (self.listening, self.stirred) = (true, true);
    }

    /// Stops listening to what nobody has waited for lately.
    pub(super) fn hush(&mut self, now: Moment) {
        self.stirred = true;
        let (lines, listeners) = (&self.lines, &mut self.listeners);
        self.channels.0.retain(|key, channel| {
            if lines.waits_for_others(key) {
                channel.wanted_at = now;
            }
            let wanted = now < channel.wanted_at.after(LINGER);
            if !wanted {
                listeners.iter_mut().for_each(|listener| listener.leave(key));
            }
            wanted
        });
        if !self.channels.0.is_empty() {
            self.timers.push(now.after(LINGER), Timer::Hush);
        }
    }

    /// Drives the connections that listen, and acts on what came.
    pub(super) fn poll_listeners(&mut self, cx: &mut Context<'_>, now: Moment) {
        self.stirred = false;
        if !self.listening {
            return;
        }
        let mut heard = std::mem::take(&mut self.heard);
        let mut draw = || self.rng.next_u64();
        for listener in &mut self.listeners {
            listener.poll(cx, now, self.due, &mut draw, &mut heard);
        }
        let votes = self.config.quorum.votes();
        for (node, heard) in heard.drain(..) {
            match heard {
                Heard::Released(key, news) => {
                    let channel = self.channels.0.get_mut(&key);
                    if channel.is_some_and(|channel| channel.count(node, news, votes)) {
                        self.hear_release(&key, now);
                    }
                }
                Heard::Subscribed(key) => {
                    let channel = self.channels.0.get_mut(&key);
                    channel.into_iter().for_each(|channel| channel.subscribed.insert(node));
                }
                Heard::Deaf => self.channels.0.values_mut().for_each(|c| c.subscribed.remove(node)),
            }
        }
        self.heard = heard;
        let on = |listener: &Listener| !listener.is_off();
        self.listening = !self.channels.0.is_empty() || self.listeners.iter().any(on);
    }

    /// Whether a release of `key` from now on will be heard of.
    pub(super) fn hears(&self, key: &Key) -> bool {
        let channel = self.channels.0.get(key);
        channel.is_some_and(|channel| channel.subscribed.len() >= self.config.quorum.votes())
    }

    /// How many releases of `key` have been heard of.
    pub(super) fn releases_heard(&self, key: &Key) -> u64 {
        self.channels.0.get(key).map_or(0, |channel| channel.heard)
    }

    /// How long who has waited for so many releases lets others try first.
    pub(super) fn pause_for(&self, key: &Key, age: u32) -> Duration {
        self.channels.0.get(key).map_or(Duration::ZERO, |channel| channel.turn(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(channel: &mut Channel, nodes: &[usize], number: u64, age: u32) -> usize {
        let all: Vec<_> = NodeId::all(5).collect();
        let news = News { number, age };
        nodes.iter().filter(|node| channel.count(all[**node], news, 3)).count()
    }

    #[test]
    fn a_release_counts_once_however_many_tell_of_it() {
        let mut channel = Channel::default();
        assert_eq!(hear(&mut channel, &[0, 0, 1, 1], 7, 0), 0, "two nodes are no quorum");
        assert_eq!(hear(&mut channel, &[0], 8, 0), 0, "that is another release");
        assert_eq!(hear(&mut channel, &[4, 3, 2], 7, 0), 1);
        assert_eq!(hear(&mut channel, &[1, 2], 8, 0), 1);
        assert_eq!(channel.heard, 2);
        for number in 100..200 {
            assert_eq!(hear(&mut channel, &[0, 1], number, 0), 0);
        }
    }

    #[test]
    fn who_has_waited_longest_is_first_and_nobody_waits_for_a_liar() {
        let mut channel = Channel::default();
        hear(&mut channel, &[0, 1, 2], 1, 11);
        assert_eq!(channel.turn(11), Duration::ZERO);
        assert_eq!(channel.turn(9), SLOT * 2);
        assert_eq!(channel.turn(0), SLOT * MOST_SLOTS);
        hear(&mut channel, &[0, 1, 2], 2, 3);
        assert_eq!(channel.expected, 9, "one who jumped the queue changes little");
        hear(&mut channel, &[0, 1, 2], 3, u32::MAX);
        for number in 4..34 {
            hear(&mut channel, &[0, 1, 2], number, 0);
        }
        assert_eq!(channel.turn(0), Duration::ZERO);
    }
}
