//! A state of the world: three nodes, up to three claims, and what is under way between
//! them. It knows nothing of rules; `normal` knows which states are the same.

use crate::message::Message;

pub const NODES: usize = 3;
pub const QUORUM: usize = 2;
/// A claim is one token: a call, its rounds, and all heirs to whom its lock is handed on.
pub const CLAIMS: usize = 3;
/// So many questions of one claim to one node may be unanswered.
pub const SLOTS: usize = 4;

pub const ORDER: u8 = 1;
pub const TWICE: u8 = 2;
pub const BOTH: u8 = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Idle,
    /// Asks for the lock.
    Trying,
    Held,
    /// The lock is being handed on to an heir.
    Handing,
    /// Released or given up: nodes are asked to let go, until each has answered.
    Ending,
    Done,
}

/// What a claim knows of a node: its vote in this round, or that it has let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vote {
    #[default]
    None,
    Yes,
    /// The number is not above the fence.
    Stale,
    /// Another's value is there, and a fence below the number, or none is asked for.
    Below,
    /// Another's value is there, and a fence that is not below the number.
    Above,
    No,
    /// The claim will never ask this node again.
    Clean,
}

/// One claim's affairs with one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub messages: [Message; SLOTS],
    pub vote: Vote,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// 0 if it is free, else the claim's index + 1.
    pub lock: u8,
    pub fence: u8,
    pub at: [At; CLAIMS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub phase: Phase,
    /// The number of this round, or the one that is shown; 0 of a plain client or heir.
    pub number: u8,
    /// The highest number in any of its messages.
    pub sent: u8,
    /// The highest fence that it was told of while it tries.
    pub seen: u8,
    /// The highest number that any call had shown when this call began.
    pub floor: u8,
    pub rounds: u8,
    pub insisted: u8,
    pub heals: u8,
    pub renewals: u8,
    pub heirs: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    pub nodes: [Node; NODES],
    pub claims: [Claim; CLAIMS],
    /// A bit for each number that a holder has shown.
    pub shown: u8,
    /// How often a key may still end by itself, and a fence be forgotten.
    pub expiries: u8,
    pub forgets: u8,
    /// The properties that do not hold.
    pub broken: u8,
}

impl At {
    pub fn is_idle(&self) -> bool {
        self.messages[0].is_none()
    }

    pub fn messages(&self) -> impl Iterator<Item = Message> {
        self.messages.into_iter().take_while(|message| !message.is_none())
    }

    /// Files a message. No question is asked twice with one number while it is unanswered.
    pub fn put(&mut self, message: Message) {
        assert!(self.messages[SLOTS - 1].is_none(), "more slots are needed");
        self.messages[SLOTS - 1] = message;
        self.sort();
    }

    pub fn take(&mut self, slot: usize) -> Message {
        let message = std::mem::take(&mut self.messages[slot]);
        self.sort();
        message
    }

    /// The greatest first, what is empty last.
    pub fn sort(&mut self) {
        self.messages.sort_unstable_by(|a, b| b.cmp(a));
    }

    pub fn retain(&mut self, keep: impl Fn(Message) -> bool) {
        for message in &mut self.messages {
            if !message.is_none() && !keep(*message) {
                *message = Message::NONE;
            }
        }
        self.sort();
    }
}

impl Node {
    pub fn has(&self, claim: usize) -> bool {
        usize::from(self.lock) == claim + 1
    }
}

impl World {
    pub fn count(&self, claim: usize, vote: Vote) -> usize {
        self.nodes.iter().filter(|node| node.at[claim].vote == vote).count()
    }

    pub fn highest_shown(&self) -> u8 {
        7 - (self.shown.leading_zeros() as u8).min(7)
    }

    pub fn clear_votes(&mut self, claim: usize) {
        for node in &mut self.nodes {
            node.at[claim].vote = Vote::None;
        }
    }

    /// A node is known by what it has, and a claim too, where `alike` are: of all states that
    /// differ in names only, the smallest.
    pub fn normal(mut self, alike: &[[usize; CLAIMS]]) -> Self {
        self.nodes.sort_unstable();
        let mut least = self;
        for order in alike {
            let mut other = least.clone();
            other.rename(order);
            other.nodes.sort_unstable();
            if other < least {
                least = other;
            }
        }
        least
    }

    /// The claim `order[i]` gets the index i.
    fn rename(&mut self, order: &[usize; CLAIMS]) {
        self.claims = order.map(|old| self.claims[old]);
        for node in &mut self.nodes {
            node.at = order.map(|old| node.at[old]);
            let holder = usize::from(node.lock);
            let new = order.iter().position(|&old| old + 1 == holder);
            node.lock = new.map_or(0, |new| new as u8 + 1);
        }
    }
}

/// The checker hashes every state that it meets, so that this is one write.
impl std::hash::Hash for World {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let mut bytes = [0; 128];
        let mut at = 0;
        let mut put = |byte: u8| {
            bytes[at] = byte;
            at += 1;
        };
        for node in &self.nodes {
            put(node.lock << 4 | node.fence);
            for at in &node.at {
                put(at.vote as u8);
                at.messages.iter().flat_map(|message| message.0.to_le_bytes()).for_each(&mut put);
            }
        }
        for claim in &self.claims {
            put(claim.phase as u8);
            put(claim.number << 4 | claim.sent);
            put(claim.seen << 4 | claim.floor);
            put(claim.rounds << 4 | claim.insisted);
            put(claim.heals << 4 | claim.renewals);
            put(claim.heirs);
        }
        put(self.shown);
        put(self.expiries << 4 | self.forgets);
        put(self.broken);
        hasher.write(&bytes);
    }
}
