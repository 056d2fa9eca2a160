//! The channels that releases are published on, and what is heard there.
//!
//! Nodes publish each release on the lock's channel. A message is a hint: it
//! may be lost, late, or anyone's. It makes a waiter try sooner, and never
//! keeps one from trying at the polling floor. No connection is here: what is
//! to be subscribed to is put into `wishes`.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    engine::pacing::{CROWDED, LINGER, MOST_SLOTS, SLOT},
    exchange::News,
    key::Key,
    protocol::{Moment, NodeId, NodeSet},
};

/// The most channels listened to at once. A waiter beyond them polls.
const MAX_CHANNELS: usize = 65_536;

/// No honest holder has waited for more releases than this: a message that says so is
/// not believed.
const OLDEST: u32 = 1 << 10;

/// A holder that has waited for so many releases fewer than the one before may just have
/// jumped the queue.
const FEW: u32 = 8;

/// In a crowd, two of five holders have just come and found the lock free, however long others
/// have waited. More of them in a row mean that the crowd has gone.
const JUMPS_IN_A_ROW: u32 = 8;

/// This many releases of one lock may be published at the same time.
const REMEMBERED: usize = 4;

/// A channel to begin or to end listening to, on all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Subscribe(Key),
    Unsubscribe(Key),
}

/// When a waiter may try that was told of a release.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YourTurn {
    /// For so long it lets others try first.
    pub(super) after: Duration,
    /// Whether it is likely that nobody else tries at the same time.
    pub(super) is_sure: bool,
}

/// What is listened to.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_key: BTreeMap<Key, Channel>,
    wishes: VecDeque<Wish>,
}

#[derive(Debug, Default)]
struct Channel {
    /// The nodes at which this client is subscribed.
    subscribed: NodeSet,
    /// How many releases a quorum of nodes has published, and when the last.
    heard: u64,
    heard_at: Moment,
    /// How many releases the recent holders had waited for.
    expected: u32,
    /// The same, guessed lower, so that it is too low rather than too high.
    far_expected: u32,
    /// How many holders in a row had waited for less than half of what was expected.
    jumps: u32,
    /// The last releases, and which nodes have published them.
    recent: [(u64, NodeSet); REMEMBERED],
    next: usize,
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
            self.expect(news.age.min(OLDEST));
        }
        enough
    }

    /// Learns from a holder that had waited for `age` releases. One who jumped the queue says
    /// little of the next, and many that are too sure that it is their turn cost more than one
    /// who waits a little.
    fn expect(&mut self, age: u32) {
        let is_jump = age < self.expected.div_ceil(2);
        self.jumps = if is_jump { self.jumps.saturating_add(1) } else { 0 };
        let less = if self.jumps > JUMPS_IN_A_ROW { self.expected.div_ceil(2) } else { 1 };
        self.expected = self.expected.saturating_sub(less).max(age);
        let gap = self.far_expected.saturating_sub(age);
        let less = if gap > FEW { gap / 4 } else { 1 };
        self.far_expected = self.far_expected.saturating_sub(less).max(age);
    }

    /// When a waiter of this `age` may try, and whether it is sure to be next: in a crowd, the
    /// next holder has waited about as long as the last.
    fn turn_of(&self, age: u32, is_far: bool) -> YourTurn {
        if is_far {
            // Whoever lets another try first has lost a round trip if that one is not there.
            let earlier = self.far_expected.saturating_sub(age).min(MOST_SLOTS);
            return YourTurn { after: SLOT.saturating_mul(earlier), is_sure: true };
        }
        let earlier = self.expected.saturating_sub(age).min(MOST_SLOTS);
        let after = SLOT.saturating_mul(earlier).saturating_sub(SLOT / 2);
        // In a large crowd, several may have waited as long.
        let is_sure = earlier == 0 && (age > self.expected || age <= MOST_SLOTS);
        YourTurn { after, is_sure }
    }
}

impl Channels {
    /// Begins to listen for releases of `key`, or goes on to. Says whether it is
    /// the first channel: then they are to be looked through after [`LINGER`].
    pub(super) fn listen(&mut self, key: &Key, now: Moment) -> bool {
        if let Some(channel) = self.by_key.get_mut(key) {
            channel.wanted_at = now;
            return false;
        }
        if self.by_key.len() >= MAX_CHANNELS {
            return false;
        }
        let is_first = self.by_key.is_empty();
        self.by_key.insert(key.clone(), Channel { wanted_at: now, ..Channel::default() });
        self.wishes.push_back(Wish::Subscribe(key.clone()));
        is_first
    }

    /// Ends what nobody has waited for lately, where `is_wanted` says for which
    /// keys somebody waits now. Says whether channels are left.
    pub(super) fn unsubscribe_idle(
        &mut self,
        is_wanted: impl Fn(&Key) -> bool,
        now: Moment,
    ) -> bool {
        let wishes = &mut self.wishes;
        self.by_key.retain(|key, channel| {
            if is_wanted(key) {
                channel.wanted_at = now;
            }
            let stays = now < channel.wanted_at.after(LINGER);
            if !stays {
                wishes.push_back(Wish::Unsubscribe(key.clone()));
            }
            stays
        });
        !self.by_key.is_empty()
    }

    pub(super) fn has_wish(&self) -> bool {
        !self.wishes.is_empty()
    }

    pub(super) fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Counts a message, and says whether it makes a quorum.
    pub(super) fn count(
        &mut self,
        node: NodeId,
        key: &Key,
        news: News,
        votes: usize,
        now: Moment,
    ) -> bool {
        let Some(channel) = self.by_key.get_mut(key) else { return false };
        let is_quorum = channel.count(node, news, votes);
        if is_quorum {
            channel.heard_at = now;
        }
        is_quorum
    }

    /// Whether other clients were heard to release the lock just now, one after the other:
    /// it is not free but for moments, and all who wait for it are told.
    pub(super) fn is_crowded(&self, key: &Key, votes: usize, now: Moment) -> bool {
        self.by_key.get(key).is_some_and(|channel| {
            channel.expected > 0
                && channel.subscribed.len() >= votes
                && now < channel.heard_at.after(CROWDED)
        })
    }

    pub(super) fn note_subscribed(&mut self, node: NodeId, key: &Key) {
        if let Some(channel) = self.by_key.get_mut(key) {
            channel.subscribed.insert(node);
        }
    }

    /// Nothing is heard from `node` any more, until it is subscribed to again. Gives the
    /// keys that it could have told of.
    pub(super) fn note_deaf(&mut self, node: NodeId) -> Vec<Key> {
        let mut deaf = Vec::new();
        for (key, channel) in &mut self.by_key {
            if channel.subscribed.contains(node) {
                channel.subscribed.remove(node);
                deaf.push(key.clone());
            }
        }
        deaf
    }

    /// The nodes from which a release of `key` will be heard of from now on.
    pub(super) fn subscribed(&self, key: &Key) -> NodeSet {
        self.by_key.get(key).map_or(NodeSet::EMPTY, |channel| channel.subscribed)
    }

    /// How many releases of `key` have been heard of.
    pub(super) fn releases_heard(&self, key: &Key) -> u64 {
        self.by_key.get(key).map_or(0, |channel| channel.heard)
    }

    /// When a waiter that has waited for `age` releases may try, where its nodes are near or far.
    pub(super) fn turn_of(&self, key: &Key, age: u32, is_far: bool) -> YourTurn {
        let at_once = YourTurn { after: Duration::ZERO, is_sure: true };
        self.by_key.get(key).map_or(at_once, |channel| channel.turn_of(age, is_far))
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
    fn who_has_waited_longest_is_first() {
        let mut channel = Channel::default();
        hear(&mut channel, &[0, 1, 2], 1, 11);
        let turn = |age| {
            let YourTurn { after, is_sure } = channel.turn_of(age, false);
            (after, is_sure)
        };
        assert_eq!(turn(12), (Duration::ZERO, true));
        assert_eq!(turn(11), (Duration::ZERO, false), "another may have waited as long");
        assert_eq!(turn(10), (SLOT / 2, false));
        assert_eq!(turn(9), (SLOT * 3 / 2, false));
        assert_eq!(turn(0), (SLOT * MOST_SLOTS - SLOT / 2, false));
    }

    #[test]
    fn of_a_few_the_one_that_waited_as_long_as_the_last_is_next() {
        let mut channel = Channel::default();
        hear(&mut channel, &[0, 1, 2], 1, 1);
        assert_eq!(channel.turn_of(1, false), YourTurn { after: Duration::ZERO, is_sure: true });
    }

    #[test]
    fn nobody_waits_long_for_a_liar_or_for_a_crowd_that_has_gone() {
        let mut channel = Channel::default();
        hear(&mut channel, &[0, 1, 2], 1, 11);
        hear(&mut channel, &[0, 1, 2], 2, 3);
        assert_eq!(channel.expected, 10, "one who jumped the queue changes little");
        hear(&mut channel, &[0, 1, 2], 3, u32::MAX);
        for number in 4..34 {
            hear(&mut channel, &[0, 1, 2], number, 0);
        }
        assert_eq!(channel.turn_of(0, false), YourTurn { after: Duration::ZERO, is_sure: true });
    }
}
