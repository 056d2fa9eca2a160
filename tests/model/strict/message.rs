//! A question of a claim to a node, until its answer has arrived: first it is under way
//! to the node, then its answer is under way back. Neither need ever arrive.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `acquire.lua` or `plain.lua` behind the prelude `epoch.lua`.
    Acquire = 1,
    /// `extend.lua`, without the prelude.
    Extend,
    /// As an acquire, to give a node its key back; it goes on in quarantine.
    Heal,
}

/// What the node did with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done = 1,
    /// Done, by a question that ended a quarantine.
    DoneAfter,
    /// Nothing of ours is there.
    Missing,
    /// `EPOCH`: the client does not know the run id, which is told.
    Told,
    /// `QUARANTINE`.
    Quarantined,
    /// Another's value is there, or the number is not above the fence.
    Refused,
}

/// Question, whether the client knew the run id, round, number and reply; 0 is no message.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message(pub u16);

impl Message {
    pub const NONE: Self = Self(0);

    pub fn new(ask: Ask, knows: bool, round: u8, number: u8) -> Self {
        Self(ask as u16 | u16::from(knows) << 2 | u16::from(round) << 3 | u16::from(number) << 5)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub fn ask(self) -> Ask {
        match self.0 & 3 {
            1 => Ask::Acquire,
            2 => Ask::Extend,
            _ => Ask::Heal,
        }
    }

    /// Whether it names the run id that the node has.
    pub fn knows(self) -> bool {
        self.0 >> 2 & 1 != 0
    }

    /// In which extension it was asked; 0 of an acquire.
    pub fn round(self) -> u8 {
        (self.0 >> 3 & 3) as u8
    }

    pub fn number(self) -> u8 {
        (self.0 >> 5 & 7) as u8
    }

    /// None while the question has not arrived.
    pub fn reply(self) -> Option<Reply> {
        match self.0 >> 8 & 7 {
            0 => None,
            1 => Some(Reply::Done),
            2 => Some(Reply::DoneAfter),
            3 => Some(Reply::Missing),
            4 => Some(Reply::Told),
            5 => Some(Reply::Quarantined),
            _ => Some(Reply::Refused),
        }
    }

    pub fn answered(self, reply: Reply) -> Self {
        Self(self.0 & 255 | (reply as u16) << 8)
    }

    /// Whether a restart of the node leaves it: an answer to what the node did.
    pub fn outlives_the_connection(self) -> bool {
        self.reply().is_some_and(|reply| reply != Reply::Told)
    }

    /// Whether it is under way to the node and may set a key there.
    pub fn may_set(self) -> bool {
        !self.is_none() && self.reply().is_none() && self.ask() != Ask::Extend
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unknowing = if self.knows() || self.ask() == Ask::Extend { "" } else { "?" };
        write!(f, "{:?}{unknowing}({})", self.ask(), self.number())?;
        match self.reply() {
            None => Ok(()),
            Some(reply) => write!(f, " -> {reply:?}"),
        }
    }
}
