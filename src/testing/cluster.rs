//! Several independent nodes, and the builder that starts them. It never hands out a
//! node that has not answered yet.

use futures_util::future::join_all;

use super::choice::{self, Backend, Choice};
use super::{Clock, FixtureError, TestNode};

/// Independent Redis nodes, all of the same kind. Dropping the cluster stops and
/// removes them, even when a test panics.
#[derive(Debug)]
#[must_use = "dropping the cluster stops its nodes"]
pub struct Cluster {
    nodes: Vec<TestNode>,
    backend: Backend,
}

impl Cluster {
    /// Starts `n` nodes on the backend that the environment asks for; see the
    /// [module](super). This must be called in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`FixtureError::NoBackend`] if this machine has nothing to run a server
    /// with, [`FixtureError::Unavailable`] if it lacks what was asked for,
    /// [`FixtureError::Start`] if a server does not come up.
    pub async fn start(n: usize) -> Result<Self, FixtureError> {
        Self::builder().nodes(n).start().await
    }

    /// A builder for a cluster with other settings than the defaults.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            nodes: 3,
            backend: None,
            or_memory: false,
            server_args: Vec::new(),
            clock: None,
        }
    }

    /// The nodes' URLs, `redis://host:port` each, in the order of
    /// [`nodes`](Self::nodes).
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(TestNode::url).collect()
    }

    /// What the nodes are made of.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[TestNode] {
        &self.nodes
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All removals begin at once, since an engine takes its time for each.
        for node in &mut self.nodes {
            node.begin_removal();
        }
    }
}

/// Settings of a [`Cluster`] to start.
///
/// # Examples
///
/// ```
/// use redlock_quorum::testing::{Backend, Cluster};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().nodes(5).backend(Backend::Memory).start().await?;
/// assert_eq!(cluster.urls().len(), 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct ClusterBuilder {
    nodes: usize,
    backend: Option<Backend>,
    or_memory: bool,
    server_args: Vec<String>,
    clock: Option<Clock>,
}

impl ClusterBuilder {
    /// Sets how many nodes there are: 3 by default.
    pub fn nodes(mut self, n: usize) -> Self {
        self.nodes = n;
        self
    }

    /// Sets the backend, whatever the environment says. By default the environment
    /// decides.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Allows memory nodes where `auto` finds neither an engine nor a server
    /// program. This is for demonstrations: a test suite that fell back to them
    /// unseen would prove little.
    pub fn or_memory(mut self) -> Self {
        self.or_memory = true;
        self
    }

    /// Gives the nodes a clock that the test moves. They are memory nodes then, whatever
    /// the environment says: no other server has a clock that can be moved.
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Adds arguments for every server, such as `["--maxmemory", "1mb"]`. They
    /// come after the fixture's own. Memory nodes take none, and refuse to start with
    /// any. A password cannot be set here, since the fixture would not know it: use
    /// `CONFIG SET requirepass` through [`TestNode::command`].
    pub fn server_args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.server_args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts the nodes, all at the same time, and waits until they answer.
    /// This must be called in a Tokio runtime.
    ///
    /// # Errors
    ///
    /// The same as those of [`Cluster::start`].
    ///
    /// # Cancel safety
    ///
    /// Nodes that were being started when the future is dropped are stopped.
    pub async fn start(self) -> Result<Cluster, FixtureError> {
        let choice = match self.clock {
            None => choice::choose(self.backend, self.or_memory).await?,
            Some(clock) => moved_by(clock, self.backend)?,
        };
        let backend = choice.backend();
        if backend == Backend::Memory && !self.server_args.is_empty() {
            return Err(FixtureError::Unavailable {
                backend,
                reason: format!("it takes no server arguments: {:?}", self.server_args),
            });
        }
        let starting =
            (0..self.nodes).map(|_| TestNode::start(choice.clone(), self.server_args.clone()));
        let nodes = join_all(starting).await.into_iter().collect::<Result<_, _>>()?;
        Ok(Cluster { nodes, backend })
    }
}

/// The nodes that have this clock, unless the test asked for others.
fn moved_by(clock: Clock, asked: Option<Backend>) -> Result<Choice, FixtureError> {
    match asked {
        None | Some(Backend::Memory) => Ok(Choice::Memory(clock)),
        Some(backend) => Err(FixtureError::Unavailable {
            backend,
            reason: "a server's clock can't be moved, only that of memory nodes".to_owned(),
        }),
    }
}
