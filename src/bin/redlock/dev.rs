//! Nodes for trying out, started here and gone with this program.

use redlock_quorum::testing::{Backend, Cluster, FixtureError};

use crate::exit::Exit;

/// Three survive the loss of one, which is what there is to see.
const NODES: usize = 3;

/// Local server processes, else nodes in memory. No containers: who tries
/// something out does not want to wait for a download.
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
