//! Logs how the nodes stand when the service starts. The service never waits for them:
//! nodes may come later, and a minority need not come at all.

use redlock_quorum::{Redlock, inspect::NodeHealth};

/// Asks all nodes once, and logs what they said.
pub(crate) async fn log(redlock: &Redlock) {
    let health = match redlock.health().await {
        Ok(health) => health,
        Err(error) => return tracing::warn!(%error, "the nodes could not be asked"),
    };
    health.nodes().iter().for_each(log_node);
    let (able, nodes, needed) = (health.able(), health.nodes().len(), health.needed());
    if health.has_quorum() {
        tracing::info!(able, nodes, needed, "ready");
    } else {
        tracing::warn!(
            able,
            nodes,
            needed,
            "not ready: too few nodes can vote, and no lock is granted until more can"
        );
    }
}

fn log_node(node: &NodeHealth) {
    let (address, server) = (node.address(), node.server().unwrap_or("unknown"));
    if let Some(error) = node.error() {
        tracing::warn!(node = address, %error, "a node does not answer as it should");
    } else if node.is_able() {
        let latency_us = node.latency().unwrap_or_default().as_micros();
        tracing::info!(node = address, server, latency_us, "a node answers");
    } else {
        tracing::warn!(
            node = address,
            server,
            "a node is a replica and can't vote: list masters only"
        );
    }
}
