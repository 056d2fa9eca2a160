//! Whether a node's name goes on leading to the same server, and what is to be made of it if not. It
//! goes by what servers say of themselves: what one has forgotten is no client's to know.

use std::time::Duration;

use super::{endpoint::Endpoint, server::Server};
use crate::{node_error::NodeError, protocol::Moment, spelled::Spelled};

/// The process that answered last behind a node's name.
#[derive(Debug, Default)]
pub(super) struct LastProcess {
    id: Option<Box<str>>,
    /// When the connection to it ended.
    left_at: Option<Moment>,
    /// Until when it is asked for no lock, on whatever connection.
    held_back_until: Option<Moment>,
}

/// What is to be made of the server behind a new connection.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Another process answered before.
    pub(super) is_other: bool,
    /// Until when it is asked for no lock.
    pub(super) held_back_until: Option<Moment>,
    /// Another node's connection leads to the same process.
    pub(super) same: Option<NodeError>,
}

/// A server says in whole seconds for how long it has run, and was seen to say 0.9 s too much.
const UPTIME_ERROR: Duration = Duration::from_secs(1);

/// Twice the drift of one clock that is assumed by default, one in a hundred.
const DRIFT_SHARE: u32 = 50;

impl LastProcess {
    /// There is a connection to `server`. The log has it if another process answered so short ago
    /// that locks may live which that one has granted.
    pub(super) fn meet(&mut self, server: &Server, now: Moment, endpoint: &Endpoint) -> Met {
        let Some(id) = server.process.as_deref() else { return Met::default() };
        let same = endpoint.peers.meet(endpoint.label(), id, endpoint.strict.is_some());
        let is_other = self.id.as_deref().is_some_and(|before| before != id);
        let change = self.change(id, now, endpoint.longest_ttl);
        let rest = held_back(server.uptime.unwrap_or_default(), endpoint.peers.longest());
        let rest = rest.filter(|_| is_other && endpoint.delays_restarts);
        if is_other {
            self.held_back_until = rest.map(|rest| now.after(rest));
        }
        if let Some(rest) = rest {
            tracing::warn!(
                node = %endpoint.label(), rest = %Spelled(rest),
                "the node was started anew, and may have forgotten what it granted: it is asked for \
                 no lock until that has ended"
            );
        } else if let Some(ago) = change {
            tracing::warn!(
                node = %endpoint.label(), ago = %Spelled(ago),
                "the node's name leads to another server than before, or to one that was \
                 started anew: unless that one has all keys, locks that were granted there \
                 are lost, and others may be granted them"
            );
        }
        Met {
            is_other,
            held_back_until: self.held_back_until.filter(|until| now < *until),
            same: same.map(|other| NodeError::same_server(&other)),
        }
    }

    /// How long ago another process answered, if that is less than a lock lives.
    fn change(&mut self, id: &str, now: Moment, longest_ttl: Duration) -> Option<Duration> {
        let is_other = self.id.as_deref().is_some_and(|before| before != id);
        let ago = now.since(self.left_at.unwrap_or(now));
        self.id = Some(id.into());
        (is_other && ago < longest_ttl).then_some(ago)
    }

    /// Which it is, if one has answered.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The connection has ended.
    pub(super) fn leave(&mut self, now: Moment, endpoint: &Endpoint) {
        self.left_at = Some(now);
        endpoint.peers.leave(endpoint.label());
    }
}

/// For how long locks may live that were granted before a server has begun to run, where none lives
/// for longer than `longest`. The clocks of whoever holds one, of this host and of the server may
/// differ in rate.
fn held_back(uptime: Duration, longest: Duration) -> Option<Duration> {
    let longest_by_any = longest.saturating_add(longest / DRIFT_SHARE);
    let rest = longest_by_any.saturating_add(UPTIME_ERROR).saturating_sub(uptime);
    (!rest.is_zero() && !longest.is_zero()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_told_while_locks_of_the_one_before_may_live() {
        let ttl = Duration::from_secs(10);
        let at = |seconds| Moment::from_nanos(1).after(Duration::from_secs(seconds));
        let mut last = LastProcess::default();
        let endpoint = Endpoint::from_url("redis://a", 1).unwrap();
        assert_eq!(last.change("a", at(0), ttl), None, "the first");
        last.leave(at(20), &endpoint);
        assert_eq!(last.change("a", at(21), ttl), None, "the same");
        last.leave(at(30), &endpoint);
        assert_eq!(last.change("b", at(33), ttl), Some(Duration::from_secs(3)));
        last.leave(at(40), &endpoint);
        assert_eq!(last.change("a", at(50), ttl), None, "all locks have ended");
    }

    #[test]
    fn a_server_is_held_back_until_all_has_ended_that_it_granted_before_its_start() {
        let seconds = Duration::from_secs;
        for (uptime, longest, rest) in
            [(0, 50, Some(52)), (4, 50, Some(48)), (51, 50, Some(1)), (52, 50, None), (0, 0, None)]
        {
            let rest = rest.map(seconds);
            assert_eq!(held_back(seconds(uptime), seconds(longest)), rest, "{uptime}");
        }
    }
}
