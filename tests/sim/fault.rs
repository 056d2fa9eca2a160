//! The faults that a plan is made of: what can go wrong, each with its own name. What a
//! fault does is said in `faults.rs` and at each level.

/// What a node knows when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Kept,
    Gone,
    Stale,
}

/// How a node answers instead of doing what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Loading,
    ReadOnly,
    OutOfMemory,
    /// The node lets nobody publish or subscribe, and does all else.
    NoPubSub,
    Busy,
    /// The node does what was asked, and answers an error that says nothing.
    Unclear,
    /// The node does what was asked, and answers bytes that are no reply.
    Garbage,
    /// The node closes the connection.
    HangUp,
    /// The node closes the connection when it is greeted, as some proxies do, and does all else.
    Greeting,
}

/// What a server does that has been a node and is its replica now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deposed {
    /// It keeps its connections, and refuses to write.
    Stays,
    /// It closes its connections, and refuses to write on the next ones.
    HangsUp,
    /// It closes its connections, and writes on the next ones, which the node never hears of:
    /// only its greeting says that it is a replica.
    Writes,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between a client and a node, in the directions named.
    Cut {
        client: usize,
        node: usize,
        up: bool,
        down: bool,
    },
    /// The connection breaks. What was on its way to the node arrives up to `late`
    /// nanoseconds later.
    Break {
        client: usize,
        node: usize,
        late: u64,
    },
    /// Packets of a node are lost, and sent again.
    Loss {
        node: usize,
        per_mille: u32,
    },
    /// All that goes to or comes from a node takes longer.
    Slow {
        node: usize,
        by: u64,
    },
    /// The node accepts connections, and reads nothing.
    Hang {
        node: usize,
    },
    /// The node goes down. Its connections close, unless the host is silent too.
    Crash {
        node: usize,
        memory: Memory,
        silent: bool,
    },
    Refuse {
        node: usize,
        how: Refusal,
        per_mille: u32,
    },
    ForgetScripts {
        node: usize,
    },
    /// Another server is the node from now on, with all that the one before had granted, or, if it
    /// `lags`, with what that one had a while ago. While the fault lasts, the node's name goes on
    /// leading to the one before.
    Failover {
        node: usize,
        deposed: Deposed,
        lags: bool,
    },
    /// `FLUSHALL`: the node has forgotten all, and is the same process on the same connections.
    Flush {
        node: usize,
    },
    /// A proxy hides that the node was started anew and has forgotten all: it is another process on
    /// the same connections.
    Swap {
        node: usize,
    },
    /// The node's epoch is evicted, and the keys of locks with it. Fences stay.
    Evict {
        node: usize,
    },
    /// `REPLICAOF` another node and back: it has the data of that one, and is the same process on
    /// the same connections.
    Follow {
        node: usize,
        of: usize,
    },
    /// Of the connections that are made meanwhile, so many out of 1000 break within the answers
    /// to the login, or soon after them.
    CutLogin {
        node: usize,
        per_mille: u32,
    },
    /// The node's clock is set forward or back.
    Step {
        node: usize,
        millis: i64,
    },
    /// The client's wall clock is set forward or back.
    SetWall {
        client: usize,
        millis: i64,
    },
    /// The client's process stands still.
    Pause {
        client: usize,
    },
    /// The client's process ends, whatever it was doing.
    Kill {
        client: usize,
    },
    /// The runtime that the driver runs on ends, and the callers live on.
    EndRuntime {
        client: usize,
    },
}

impl Fault {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cut { up: true, down: true, .. } => "cut",
            Self::Cut { .. } => "one-way cut",
            Self::Break { .. } => "broken connection",
            Self::Loss { .. } => "packet loss",
            Self::Slow { .. } => "slow node",
            Self::Hang { .. } => "hung node",
            Self::Crash { memory: Memory::Kept, .. } => "crash, memory kept",
            Self::Crash { memory: Memory::Gone, .. } => "crash, memory gone",
            Self::Crash { memory: Memory::Stale, .. } => "crash, memory stale",
            Self::Refuse { .. } => "error replies",
            Self::ForgetScripts { .. } => "scripts forgotten",
            Self::Failover { lags: false, .. } => "failover",
            Self::Failover { lags: true, .. } => "failover, writes missing",
            Self::Flush { .. } => "flush",
            Self::Swap { .. } => "restart behind a proxy",
            Self::Evict { .. } => "epoch evicted",
            Self::Follow { .. } => "another node followed",
            Self::CutLogin { .. } => "login cut",
            Self::Step { .. } => "node clock set",
            Self::SetWall { .. } => "client clock set",
            Self::Pause { .. } => "client paused",
            Self::Kill { .. } => "client killed",
            Self::EndRuntime { .. } => "runtime ended",
        }
    }

    /// The client that the fault ends for good, if it does.
    pub fn ends(self) -> Option<usize> {
        match self {
            Self::Kill { client } | Self::EndRuntime { client } => Some(client),
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Crash { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Failover { .. }
            | Self::Flush { .. }
            | Self::Swap { .. }
            | Self::Evict { .. }
            | Self::Follow { .. }
            | Self::CutLogin { .. }
            | Self::Step { .. }
            | Self::SetWall { .. }
            | Self::Pause { .. } => None,
        }
    }

    /// Whether a node comes back without anything that it had granted.
    pub fn forgets(self) -> bool {
        match self {
            Self::Crash { memory: Memory::Gone, .. } => true,
            Self::Crash { memory: Memory::Kept | Memory::Stale, .. } => false,
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Failover { .. }
            | Self::Flush { .. }
            | Self::Swap { .. }
            | Self::Evict { .. }
            | Self::Follow { .. }
            | Self::CutLogin { .. }
            | Self::Step { .. }
            | Self::SetWall { .. }
            | Self::Pause { .. }
            | Self::Kill { .. }
            | Self::EndRuntime { .. } => false,
        }
    }

    /// The node that becomes another server, if one does, and what the one before it does then.
    pub fn deposed(self) -> Option<(usize, Deposed)> {
        match self {
            Self::Failover { node, deposed, .. } => Some((node, deposed)),
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Crash { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Flush { .. }
            | Self::Swap { .. }
            | Self::Evict { .. }
            | Self::Follow { .. }
            | Self::CutLogin { .. }
            | Self::Step { .. }
            | Self::SetWall { .. }
            | Self::Pause { .. }
            | Self::Kill { .. }
            | Self::EndRuntime { .. } => None,
        }
    }

    /// Whether a client's process stands still. No message is late or lost because
    /// of that.
    pub fn is_pause(self) -> bool {
        match self {
            Self::Pause { .. } => true,
            Self::Cut { .. }
            | Self::Break { .. }
            | Self::Loss { .. }
            | Self::Slow { .. }
            | Self::Hang { .. }
            | Self::Crash { .. }
            | Self::Refuse { .. }
            | Self::ForgetScripts { .. }
            | Self::Failover { .. }
            | Self::Flush { .. }
            | Self::Swap { .. }
            | Self::Evict { .. }
            | Self::Follow { .. }
            | Self::CutLogin { .. }
            | Self::Step { .. }
            | Self::SetWall { .. }
            | Self::Kill { .. }
            | Self::EndRuntime { .. } => false,
        }
    }
}
