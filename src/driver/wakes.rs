//! Which nodes to look at: each has a waker of its own, so that one answer does
//! not cost a look at all sockets. It polls nothing itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::AcqRel},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;

use crate::protocol::{NodeId, NodeSet};

/// The wakers of all nodes.
pub(super) struct Wakes {
    bell: Arc<Bell>,
    wakers: Vec<Waker>,
}

/// The nodes that were woken since the driver last looked, and how to wake it.
#[derive(Default)]
struct Bell {
    woken: AtomicU64,
    driver: AtomicWaker,
}

/// One node's waker: it notes the node and wakes the driver.
struct Cord {
    bell: Arc<Bell>,
    node: NodeId,
}

impl Wake for Cord {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let node = NodeSet::EMPTY.with(self.node).bits();
        let before = self.bell.woken.fetch_or(node, AcqRel);
        // An earlier wake is still pending, so the driver will look anyway.
        if before == 0 {
            self.bell.driver.wake();
        }
    }
}

impl Wakes {
    pub(super) fn new(nodes: usize) -> Self {
        let bell = Arc::<Bell>::default();
        let cord = |node| Waker::from(Arc::new(Cord { bell: Arc::clone(&bell), node }));
        Self { wakers: NodeId::all(nodes).map(cord).collect(), bell }
    }

    /// The next wake goes to the task that polls with `cx`. To be called before
    /// [`Self::take`] in every poll.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.bell.driver.register(cx.waker());
    }

    /// The nodes that were woken since the last time.
    pub(super) fn take(&self) -> NodeSet {
        NodeSet::from_bits(self.bell.woken.swap(0, AcqRel))
    }

    /// The context to poll `node` with.
    pub(super) fn of(&self, node: NodeId) -> Context<'_> {
        Context::from_waker(self.wakers.get(node.index()).unwrap_or(Waker::noop()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn the_driver_is_woken_once_and_told_of_all() {
        let wakes = Wakes::new(3);
        let nodes: Vec<_> = NodeId::all(3).collect();
        let count = Arc::new(Count::default());
        wakes.register(&Context::from_waker(&Waker::from(Arc::clone(&count))));
        for node in [nodes[2], nodes[0], nodes[2]] {
            wakes.of(node).waker().wake_by_ref();
        }
        assert_eq!(count.0.load(Relaxed), 1);
        assert_eq!(wakes.take(), NodeSet::EMPTY.with(nodes[0]).with(nodes[2]));
        assert!(wakes.take().is_empty());
        wakes.register(&Context::from_waker(&Waker::from(Arc::clone(&count))));
        wakes.of(nodes[1]).waker().wake_by_ref();
        assert_eq!(count.0.load(Relaxed), 2);
    }
}
