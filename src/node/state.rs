//! What a node's connection can be in. It decides nothing: that is `link`'s.

use super::{conn::Conn, connect::Connected, known::Known};
use crate::{node_error::NodeError, protocol::Moment, world::Pending};

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

pub(super) type Attempt = Pending<Result<Connected, NodeError>>;
