//! What a node's connection can be in. It decides nothing: that is `link`'s.

use super::{conn::Conn, connect::Connected, known::Known, wire::Form};
use crate::{exchange::Ask, node_error::NodeError, protocol::Moment, world::Pending};

/// Where a node stands.
pub(super) enum Link {
    /// No connection, and no failure: nothing was ever asked, or the server
    /// has closed one that was not in use. Made when asked, or at `retry_at`.
    Idle {
        retry_at: Moment,
    },
    /// `after` is why the last attempt failed: until this one succeeds, the
    /// node counts as down.
    Connecting {
        attempt: Attempt,
        after: Option<NodeError>,
    },
    /// `proven` by a first answer: a server that logs us in and then hangs up
    /// must not be redialled at once for ever.
    Up {
        conn: Conn,
        known: Known,
        proven: bool,
    },
    Down {
        cause: NodeError,
        retry_at: Moment,
    },
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

    /// When to connect although nothing is asked.
    pub(super) fn retry_at(&self) -> Moment {
        match self {
            Self::Idle { retry_at } | Self::Down { retry_at, .. } => *retry_at,
            Self::Connecting { .. } | Self::Up { .. } => Moment::NEVER,
        }
    }

    /// How a command must be put. What waits for a connection may meet any
    /// server, so a script goes as its text.
    pub(super) fn form(&self, ask: Ask) -> Form {
        match self {
            Self::Up { known, .. } => known.form(ask),
            _ if ask.script().is_some() => Form::Whole,
            _ => Form::Short,
        }
    }
}

pub(super) type Attempt = Pending<Result<Connected, NodeError>>;
