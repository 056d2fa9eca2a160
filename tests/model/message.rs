//! A question of a claim to a node, until its answer has arrived: first it is under way
//! to the node, then its answer is under way back. Neither need ever arrive.

/// What is asked. The first four carry a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `acquire.lua`, for a vote.
    Acquire = 1,
    /// `acquire.lua`, to give a node its key back.
    Heal,
    /// `extend.lua`: a renewal.
    Extend,
    /// `extend.lua`, to hand the lock on.
    HandOver,
    /// `SET NX` of a plain client.
    Set,
    /// Today's extension: here always a hand-over to an heir that is not fenced.
    PlainExtend,
    /// Today's healing, without a number.
    PlainHeal,
}

/// What the node did with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done = 1,
    /// The number is not above the fence.
    Stale,
    /// Another's value is there.
    Locked,
    /// Nothing of ours is there.
    Missing,
}

/// Question, number, reply and fence in three bits each; 0 is no message.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message(pub u16);

impl Message {
    pub const NONE: Self = Self(0);

    pub fn new(ask: Ask, number: u8) -> Self {
        Self(ask as u16 | u16::from(number) << 3)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub fn ask(self) -> Ask {
        match self.0 & 7 {
            1 => Ask::Acquire,
            2 => Ask::Heal,
            3 => Ask::Extend,
            4 => Ask::HandOver,
            5 => Ask::Set,
            6 => Ask::PlainExtend,
            _ => Ask::PlainHeal,
        }
    }

    pub fn number(self) -> u8 {
        (self.0 >> 3 & 7) as u8
    }

    /// None while the question has not arrived.
    pub fn reply(self) -> Option<Reply> {
        match self.0 >> 6 & 7 {
            0 => None,
            1 => Some(Reply::Done),
            2 => Some(Reply::Stale),
            3 => Some(Reply::Locked),
            _ => Some(Reply::Missing),
        }
    }

    /// The fence that the reply tells of.
    pub fn fence(self) -> u8 {
        (self.0 >> 9 & 7) as u8
    }

    pub fn answered(self, reply: Reply, fence: u8) -> Self {
        Self(self.0 & 63 | (reply as u16) << 6 | u16::from(fence) << 9)
    }

    /// Whether it is under way to the node and may set the key there, whatever its fence.
    pub fn sets_without_number(self) -> bool {
        !self.is_none() && self.reply().is_none() && matches!(self.ask(), Ask::Set | Ask::PlainHeal)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}({})", self.ask(), self.number())?;
        match self.reply() {
            None => Ok(()),
            Some(reply) => write!(f, " -> {reply:?} (fence {})", self.fence()),
        }
    }
}
