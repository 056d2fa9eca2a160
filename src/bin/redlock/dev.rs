//! Nodes for trying the service out. They are started here and end with this program,
//! and are never containers.

use redlock_quorum::testing::{Backend, Cluster, FixtureError};

use crate::exit::Exit;

/// Three nodes survive the loss of one, which is the point of trying them.
const NODES: usize = 3;

/// Starts local server processes or, without a server program, nodes in memory. It
/// uses no containers: trying something out should not wait for a download.
pub(crate) async fn start() -> Result<Cluster, Exit> {
    let start = |backend| Cluster::builder().nodes(NODES).backend(backend).start();
    let cluster = match start(Backend::Process).await {
        Err(FixtureError::Unavailable { reason, .. }) => {
            tracing::info!(reason, "no server program: the nodes are threads of this process");
            start(Backend::Memory).await
        }
        started => started,
    };
    let cluster = cluster.map_err(|error| Exit::unavailable(format!("--dev: {error}")))?;
    let nodes: Vec<_> = cluster.nodes().iter().map(|node| node.address()).collect();
    tracing::warn!(
        nodes = nodes.join(", "),
        "--dev is for trying out: these nodes are on this host alone, and end with this program"
    );
    Ok(cluster)
}
