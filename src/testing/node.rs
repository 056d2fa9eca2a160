//! One node as a test sees it. It never decides what the node is made of.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::choice::Choice;
use super::container::ContainerNode;
use super::memory::MemoryNode;
use super::process::ProcessNode;
use super::{FixtureError, Reply, client, wait};

const COMMAND_LIMIT: Duration = Duration::from_secs(5);

/// One independent server of a [`Cluster`](super::Cluster).
///
/// The faults are those of the lock's world: a node that hangs, and one that
/// crashes and comes back having forgotten everything. Each method returns
/// when the fault is in effect. The address never changes.
///
/// # Cancel safety
///
/// A fault that was begun is carried out, even if its future is dropped.
///
/// # Examples
///
/// ```
/// use redlock_quorum::testing::{Backend, Cluster};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder().nodes(1).backend(Backend::Memory).start().await?;
/// let node = &cluster.nodes()[0];
/// assert!(node.command(&["SET", "k", "v"]).await?.is_ok());
///
/// node.kill().await?;
/// assert!(node.command(&["GET", "k"]).await.unwrap_err().is_disconnect());
///
/// node.restart().await?;
/// assert!(node.command(&["GET", "k"]).await?.is_nil(), "it has forgotten everything");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TestNode {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Process(Arc<ProcessNode>),
    Memory(Arc<MemoryNode>),
    Container(ContainerNode),
}

impl TestNode {
    pub(super) async fn start(choice: Choice, extra: Vec<String>) -> Result<Self, FixtureError> {
        let kind = match choice {
            Choice::Docker(image) => Kind::Container(ContainerNode::start(image, extra).await?),
            Choice::Process(program) => Kind::Process(Arc::new(
                wait::blocking(move || ProcessNode::start(program, extra)).await?,
            )),
            Choice::Memory(clock) => Kind::Memory(MemoryNode::start(clock)?),
        };
        Ok(Self { kind })
    }

    /// The node's URL, `redis://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The node's address, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.kind {
            Kind::Process(node) => node.address(),
            Kind::Memory(node) => node.address(),
            Kind::Container(node) => node.address(),
        }
    }

    /// Hangs the node: connections stay open and new ones are accepted, but
    /// nothing is answered. Anything that is sent to it meanwhile is executed when it
    /// resumes, even if the sender has hung up by then.
    ///
    /// # Errors
    ///
    /// [`FixtureError::NotRunning`] if the node was killed, or an error of the system
    /// or the engine.
    pub async fn pause(&self) -> Result<(), FixtureError> {
        match &self.kind {
            Kind::Process(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || node.pause()).await
            }
            Kind::Memory(node) => node.set_paused(true),
            Kind::Container(node) => node.pause().await,
        }
    }

    /// Lets a paused node go on. It does nothing to one that runs.
    ///
    /// # Errors
    ///
    /// [`FixtureError::NotRunning`] if the node was killed, or an error of the system
    /// or the engine.
    pub async fn resume(&self) -> Result<(), FixtureError> {
        match &self.kind {
            Kind::Process(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || node.resume()).await
            }
            Kind::Memory(node) => node.set_paused(false),
            Kind::Container(node) => node.resume().await,
        }
    }

    /// Crashes the node, paused or not: its connections close, its port
    /// refuses, its data is lost. It does nothing to one that was killed.
    ///
    /// # Errors
    ///
    /// An error of the engine; a process or a memory node always dies.
    pub async fn kill(&self) -> Result<(), FixtureError> {
        match &self.kind {
            Kind::Process(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || {
                    node.kill();
                    Ok(())
                })
                .await
            }
            Kind::Memory(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || {
                    node.kill();
                    Ok(())
                })
                .await
            }
            Kind::Container(node) => node.kill().await,
        }
    }

    /// Starts the node again on the same port, empty, and waits until it
    /// answers. One that still runs is killed first.
    ///
    /// # Errors
    ///
    /// [`FixtureError::Start`] if the server does not come up, or an error of the
    /// system or the engine.
    pub async fn restart(&self) -> Result<(), FixtureError> {
        match &self.kind {
            Kind::Process(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || node.restart()).await
            }
            Kind::Memory(node) => {
                let node = Arc::clone(node);
                wait::blocking(move || node.restart()).await
            }
            Kind::Container(node) => node.restart().await,
        }
    }

    /// Sends one command over a fresh connection and returns the answer, with bytes
    /// in and bytes out: it is a test's own look at the node, past the client under
    /// test.
    ///
    /// A server's refusal is an answer: `Ok(Reply::Error(text))`.
    ///
    /// # Errors
    ///
    /// [`FixtureError::Timeout`] after 5 s, as with a paused node;
    /// [`FixtureError::Io`] if it cannot be reached or hangs up, as with a
    /// killed one.
    ///
    /// # Cancel safety
    ///
    /// A command whose future is dropped may still be executed, as with any
    /// client.
    pub async fn command<S: AsRef<[u8]>>(&self, args: &[S]) -> Result<Reply, FixtureError> {
        let address = self.address();
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_ref().to_vec()).collect();
        wait::blocking(move || {
            client::call(&address, &args, COMMAND_LIMIT).map_err(|source| {
                let doing = format!("send a command to node {address}");
                match source.kind() {
                    io::ErrorKind::TimedOut => {
                        FixtureError::Timeout { doing, limit: COMMAND_LIMIT }
                    }
                    _ => FixtureError::Io { doing, source },
                }
            })
        })
        .await
    }

    /// Begins a removal that takes time; the node's drop waits for it.
    pub(super) fn begin_removal(&mut self) {
        if let Kind::Container(node) = &mut self.kind {
            node.begin_removal();
        }
    }
}
