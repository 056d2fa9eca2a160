//! Where the nodes' names lead. Each server that is a node, or was one before a failover, has
//! an address of its own. Nothing here says what a server answers: `node.rs` does.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use crate::{plan::Plan, stage::Truth};

/// One server that is a node, or was it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub node: usize,
    /// How many servers were the node before it.
    pub term: u8,
}

impl Place {
    pub fn address(self) -> IpAddr {
        let node = u8::try_from(self.node).unwrap_or(u8::MAX);
        Ipv4Addr::new(10, 0, self.term, node).into()
    }

    /// The server that has such an address.
    pub fn of(address: IpAddr) -> Option<Self> {
        let IpAddr::V4(address) = address else { return None };
        let [10, 0, term, node] = address.octets() else { return None };
        Some(Self { node: node.into(), term })
    }
}

/// Who sends a command, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub client: usize,
    pub to: Place,
    /// The connection's number.
    pub conn: u64,
}

impl Truth {
    /// The addresses that a name has now.
    pub fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let node = Plan::node_at(host).ok_or(io::ErrorKind::NotFound)?;
        let term = self.nodes.get(node).ok_or(io::ErrorKind::NotFound)?.named();
        Ok(vec![Place { node, term }.address()])
    }
}
