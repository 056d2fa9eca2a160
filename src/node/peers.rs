//! What the nodes of one client know of each other: which processes they are connected to, and
//! the longest ttl that they were asked for. It asks nobody, and refuses nothing itself.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
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
    /// has one to the same: then this one is not noted.
    pub(super) fn meet(&self, label: &Arc<str>, id: &str) -> Option<Arc<str>> {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.retain(|(node, _)| node != label);
        let same = connected.iter().find(|(_, process)| **process == *id);
        let same = same.map(|(node, _)| Arc::clone(node));
        if same.is_none() {
            connected.push((Arc::clone(label), id.into()));
        }
        same
    }

    /// The node's connection has ended.
    pub(super) fn leave(&self, label: &Arc<str>) {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.retain(|(node, _)| node != label);
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
    fn the_later_of_two_nodes_with_one_process_is_told_of_the_other() {
        let peers = Peers::default();
        let [a, b] = ["a:1", "b:1"].map(Arc::<str>::from);
        assert_eq!(peers.meet(&a, "one"), None);
        assert_eq!(peers.meet(&a, "one"), None, "it is itself");
        assert_eq!(peers.meet(&b, "one"), Some(Arc::clone(&a)));
        assert_eq!(peers.meet(&b, "two"), None);
        assert_eq!(peers.meet(&a, "two"), Some(b));
        assert_eq!(peers.meet(&a, "one"), None);
        peers.leave(&a);
        assert_eq!(peers.meet(&Arc::from("c:1"), "one"), None);
    }
}
