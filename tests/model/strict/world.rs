//! A state of the world: nodes with what they have and what they had, claims, and what is
//! under way between them. It knows nothing of rules; `normal` knows which states are the
//! same.

use super::message::Message;

/// A run says how many there are; the others stay as they are.
pub const NODES: usize = 4;
/// A claim is one attempt of a client: one token.
pub const CLAIMS: usize = 3;
/// So many questions of one claim to one node may be unanswered.
pub const SLOTS: usize = 3;

/// A node's record of its run id, as its own server reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Epoch {
    #[default]
    None,
    /// It names the run id that the server has.
    Own,
    /// So do these, and the node has no vote for so long; after that, until it is asked.
    Quarantine(u8),
    /// It names another run id: an earlier one, or another node's.
    Other,
}

/// What a node forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Data {
    /// Whose key is there: 0 if it is free, else the claim's index + 1.
    pub lock: u8,
    /// How long the key lives, by the node's clock.
    pub left: u8,
    pub fence: u8,
    pub epoch: Epoch,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Idle,
    /// Asks for the lock.
    Trying,
    Held,
    /// Held, and asks for longer.
    Extending,
    /// Released, lost or given up. Its keys may be deleted at any time, or not.
    Done,
}

/// What a claim knows of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vote {
    #[default]
    None,
    Yes,
    /// A yes of a node that had no vote until just before.
    After,
    /// Nothing of ours is there.
    Missing,
    /// Nothing, but it has told its run id.
    Told,
}

/// One claim's affairs with one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub messages: [Message; SLOTS],
    pub vote: Vote,
    /// The client knows the run id that the node has.
    pub knows: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    pub data: Data,
    /// What it has on its disk.
    pub saved: Data,
    /// How far its clock was set forward.
    pub ahead: u8,
    /// It has lost a fence that it had.
    pub forgot: bool,
    pub at: [At; CLAIMS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub phase: Phase,
    /// How long it believes in its lock, counted from its first question.
    pub left: u8,
    /// The same, counted from the first question of the extension that is under way.
    pub fresh: u8,
    /// How many extensions there were, with this one.
    pub round: u8,
    /// The number that it shows; 0 of an unfenced one.
    pub number: u8,
    /// The highest number that it sent.
    pub sent: u8,
    /// The highest number that any call had shown when it began.
    pub floor: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    pub nodes: [Node; NODES],
    pub claims: [Claim; CLAIMS],
    /// So often time may still pass.
    pub ticks: u8,
    /// So often a node may still write to its disk.
    pub saves: u8,
    /// The highest number that a holder has shown.
    pub shown: u8,
    /// A number was not above all that had been shown when its call began.
    pub disordered: bool,
}

impl At {
    pub fn messages(&self) -> impl Iterator<Item = Message> {
        self.messages.into_iter().take_while(|message| !message.is_none())
    }

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
    fn sort(&mut self) {
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

impl Claim {
    /// Whether it believes that it has the lock.
    pub fn holds(&self) -> bool {
        matches!(self.phase, Phase::Held | Phase::Extending) && self.left > 0
    }
}

impl World {
    pub fn count(&self, claim: usize, is: impl Fn(Vote) -> bool) -> usize {
        self.nodes.iter().filter(|node| is(node.at[claim].vote)).count()
    }

    pub fn clear_votes(&mut self, claim: usize) {
        for node in &mut self.nodes {
            node.at[claim].vote = Vote::None;
        }
    }

    /// So many nodes are known by what they have, and a claim too, where `alike` are: of all
    /// states that differ in names only, the smallest.
    pub fn normal(mut self, nodes: usize, alike: &[[usize; CLAIMS]]) -> Self {
        self.nodes[..nodes].sort_unstable();
        let mut least = self;
        for order in alike {
            let mut other = least.clone();
            other.rename(order);
            other.nodes[..nodes].sort_unstable();
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
            for data in [&mut node.data, &mut node.saved] {
                let new = order.iter().position(|&old| old + 1 == usize::from(data.lock));
                data.lock = new.map_or(0, |new| new as u8 + 1);
            }
        }
    }
}

/// The checker hashes every state that it meets, so that this is one write.
impl std::hash::Hash for World {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let mut bytes = [0; 120];
        let mut at = 0;
        let mut put = |byte: u8| {
            bytes[at] = byte;
            at += 1;
        };
        for node in &self.nodes {
            for data in [node.data, node.saved] {
                put(data.lock << 4 | data.left);
                put(data.fence << 4 | data.epoch.code());
            }
            put(node.ahead << 1 | u8::from(node.forgot));
            for at in &node.at {
                put((at.vote as u8) << 1 | u8::from(at.knows));
                at.messages.iter().flat_map(|message| message.0.to_le_bytes()).for_each(&mut put);
            }
        }
        for claim in &self.claims {
            put((claim.phase as u8) << 4 | claim.round);
            put(claim.left << 4 | claim.fresh);
            put(claim.number << 4 | claim.floor);
            put(claim.sent);
        }
        put(self.ticks << 4 | self.shown);
        put(self.saves << 1 | u8::from(self.disordered));
        hasher.write(&bytes);
    }
}

impl Epoch {
    fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Own => 1,
            Self::Other => 2,
            Self::Quarantine(left) => 3 + left,
        }
    }
}
