//! What a node's connection can be in. It decides nothing: that is `link`'s.

use super::conn::Conn;
use crate::{
    node_error::NodeError,
    protocol::Moment,
    world::{Pending, Stream},
};

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
        proven: bool,
    },
    Down {
        cause: NodeError,
        retry_at: Moment,
    },
}

pub(super) type Attempt = Pending<Result<Stream, NodeError>>;
