//! Whether a node's name goes on leading to the same server. It only says so: what a server
//! has forgotten is no client's to know.

use std::time::Duration;

use super::endpoint::Endpoint;
use crate::{protocol::Moment, spelled::Spelled};

/// The process that answered last behind a node's name.
#[derive(Debug, Default)]
pub(super) struct LastProcess {
    id: Option<Box<str>>,
    /// When the connection to it ended.
    left_at: Option<Moment>,
}

impl LastProcess {
    /// There is a connection to the process `id`. Says whether another answered before; the log
    /// has it if that is so short ago that locks may live which that one has granted.
    pub(super) fn meet(&mut self, id: &str, now: Moment, endpoint: &Endpoint) -> bool {
        let is_other = self.id.as_deref().is_some_and(|before| before != id);
        if let Some(ago) = self.change(id, now, endpoint.longest_ttl) {
            tracing::warn!(
                node = %endpoint.label(), ago = %Spelled(ago),
                "the node's name leads to another server than before, or to one that was \
                 started anew: unless that one has all keys, locks that were granted there \
                 are lost, and others may be granted them"
            );
        }
        is_other
    }

    /// How long ago another process answered, if that is less than a lock lives.
    fn change(&mut self, id: &str, now: Moment, longest_ttl: Duration) -> Option<Duration> {
        let is_other = self.id.as_deref().is_some_and(|before| before != id);
        let ago = now.since(self.left_at.unwrap_or(now));
        self.id = Some(id.into());
        (is_other && ago < longest_ttl).then_some(ago)
    }

    /// The connection has ended.
    pub(super) fn leave(&mut self, now: Moment) {
        self.left_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_told_while_locks_of_the_one_before_may_live() {
        let ttl = Duration::from_secs(10);
        let at = |seconds| Moment::from_nanos(1).after(Duration::from_secs(seconds));
        let mut last = LastProcess::default();
        assert_eq!(last.change("a", at(0), ttl), None, "the first");
        last.leave(at(20));
        assert_eq!(last.change("a", at(21), ttl), None, "the same");
        last.leave(at(30));
        assert_eq!(last.change("b", at(33), ttl), Some(Duration::from_secs(3)));
        last.leave(at(40));
        assert_eq!(last.change("a", at(50), ttl), None, "all locks have ended");
    }
}
