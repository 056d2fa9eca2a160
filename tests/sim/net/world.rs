//! The world as one client of the slower level sees it.

use std::{io, net::IpAddr, time::Duration};

use redlock_quorum::sim::{Io, Promise, World};
use turmoil::net::TcpStream;

use super::server;
use crate::{names::Place, stage::Shared};

pub struct NetWorld {
    pub stage: Shared,
    pub client: usize,
    pub seed: u64,
}

impl World for NetWorld {
    fn now(&self) -> u64 {
        self.stage.truth().clock(self.client)
    }

    fn wall(&self) -> i64 {
        self.stage.truth().wall(self.client)
    }

    fn sleep(&self, span: Duration) -> Promise<()> {
        let span = Duration::from_nanos(self.stage.truth().true_span(self.client, span));
        Box::pin(tokio::time::sleep(span))
    }

    fn look_up(&self, host: &str) -> Promise<io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(self.stage.truth().look_up(host)))
    }

    fn dial(&self, address: IpAddr) -> Promise<io::Result<Box<dyn Io>>> {
        let to = Place::of(address);
        Box::pin(async move {
            // A node's other names are for the clients alone.
            let to = to.ok_or(io::ErrorKind::NotFound)?;
            let host = super::name("n", to.node);
            let stream = TcpStream::connect((host.as_str(), server::port(to.term))).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}
