//! What the nodes of one client know of each other: which processes they are connected to, and
//! the longest ttl that they were asked for. It asks nobody, and refuses nothing itself.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::protocol::Ttl;

/// All nodes of a client.
#[derive(Default)]
pub(crate) struct Peers {
    /// Of each node that has a connection: its name, and the process behind it.
    connected: Mutex<Vec<(Arc<str>, Box<str>)>>,
    /// In milliseconds, its grace included.
    longest: AtomicU32,
}

impl Peers {
    /// The node `label` has a connection to the process `id`. Returns the name of another node that
    /// has one to the same; where that `is_refused`, this one is not noted.
    pub(super) fn meet(&self, label: &Arc<str>, id: &str, is_refused: bool) -> Option<Arc<str>> {
        self.leave(label);
        let other = self.other(label, id);
        if other.is_none() || !is_refused {
            self.connected().push((Arc::clone(label), id.into()));
        }
        other
    }

    /// The name of another node that has a connection to the process `id`.
    pub(super) fn other(&self, label: &Arc<str>, id: &str) -> Option<Arc<str>> {
        let connected = self.connected();
        let mut same = connected.iter().filter(|(_, process)| **process == *id);
        same.find(|(node, _)| node != label).map(|(node, _)| Arc::clone(node))
    }

    /// The node's connection has ended.
    pub(super) fn leave(&self, label: &Arc<str>) {
        self.connected().retain(|(node, _)| node != label);
    }

    fn connected(&self) -> MutexGuard<'_, Vec<(Arc<str>, Box<str>)>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lock of this ttl is asked for.
    pub(crate) fn note_ttl(&self, ttl: Ttl) {
        self.longest.fetch_max(ttl.of_key(), Relaxed);
    }

    /// How long the locks live at most that this client has asked for.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Relaxed).into())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_nodes_with_one_process_each_is_told_of_the_other() {
        let peers = Peers::default();
        let [a, b, c] = ["a:1", "b:1", "c:1"].map(Arc::<str>::from);
        assert_eq!(peers.meet(&a, "one", true), None);
        assert_eq!(peers.meet(&a, "one", true), None, "it is itself");
        assert_eq!(peers.meet(&b, "one", true), Some(Arc::clone(&a)), "and is refused");
        assert_eq!(peers.other(&a, "one"), None);
        assert_eq!(peers.meet(&b, "one", false), Some(Arc::clone(&a)));
        assert_eq!(peers.other(&a, "one"), Some(Arc::clone(&b)));
        // The first is mended, and another goes astray.
        assert_eq!(peers.meet(&a, "two", false), None);
        assert_eq!(peers.other(&b, "one"), None);
        assert_eq!(peers.meet(&c, "one", false), Some(Arc::clone(&b)));
        peers.leave(&b);
        assert_eq!(peers.other(&c, "one"), None);
    }
}
