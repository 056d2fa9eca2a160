//! The states that a node's connection can be in. It does not decide when one
//! follows another: `link` does.

use super::{conn::Conn, connect::Connected, known::Known, wire::Form};
use crate::{exchange::Ask, node_error::NodeError, protocol::Moment, world::Pending};

/// The state of a node's connection.
pub(super) enum Link {
    /// There is no connection and no failure: nothing was ever asked, or the
    /// server has closed a connection that was not in use. A new one is made
    /// when something is asked, or at `retry_at`.
    Idle { retry_at: Moment },
    /// An attempt to connect is under way. `after` is why the last one failed:
    /// until this one succeeds, the node counts as down.
    Connecting { attempt: Attempt, after: Option<NodeError> },
    /// There is a connection. It is `proven` by its first answer: a server that
    /// logs us in and then hangs up must not be redialled at once for ever.
    Up { conn: Conn, known: Box<Known>, proven: bool },
    /// The last attempt failed, and the next one begins at `retry_at`.
    Down { cause: NodeError, retry_at: Moment },
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// Why the node counts as down, if it does.
    pub(super) fn failure(&self) -> Option<&NodeError> {
        match self {
            Self::Down { cause, .. } | Self::Connecting { after: Some(cause), .. } => Some(cause),
            _ => None,
        }
    }

    /// When to connect even if nothing is asked.
    pub(super) fn retry_at(&self) -> Moment {
        match self {
            Self::Idle { retry_at } | Self::Down { retry_at, .. } => *retry_at,
            Self::Connecting { .. } | Self::Up { .. } => Moment::NEVER,
        }
    }

    /// How a command must be put. What waits for a connection may meet any
    /// server, so a script goes as its text.
    pub(super) fn form(&self, ask: Ask, is_strict: bool) -> Form {
        match self {
            Self::Up { known, .. } => known.form(ask),
            _ if ask.script(is_strict).is_some() => Form::Whole,
            _ => Form::Short,
        }
    }
}

pub(super) type Attempt = Pending<Result<Connected, NodeError>>;
