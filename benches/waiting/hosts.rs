//! Hosts that want the same lock: each a client of its own with connections of its
//! own, connected and warm.

use std::{sync::Arc, time::Duration};

use redlock_quorum_benches::{
    common::Result,
    contenders::{Contender, Kind, Locker as _, TTL},
    network::Network,
    program::Program,
};

/// What hosts are, and by which names they know the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// Of this library, and all by the same names.
    Alike,
    /// In turn by address, by name, and through a proxy of each host's own.
    Named,
    /// An instance of the lock service each.
    Served,
}

/// So many of them, and what has to be there for as long as they are.
pub struct Crowd {
    pub hosts: Vec<Arc<Contender>>,
    _networks: Vec<Network>,
    _programs: Vec<Program>,
}

impl Crowd {
    pub async fn gather(kind: Hosts, urls: &[String], count: usize) -> Result<Self> {
        let mut crowd =
            Self { hosts: Vec::with_capacity(count), _networks: vec![], _programs: vec![] };
        for number in 0..count {
            let host = match kind {
                Hosts::Alike => Kind::Quorum.connect(urls, TTL).await?,
                Hosts::Named => crowd.named(urls, number).await?,
                Hosts::Served => {
                    let program = Program::start(urls).await?;
                    let host = Contender::served(program.address);
                    crowd._programs.push(program);
                    host
                }
            };
            warm(&host, number).await?;
            crowd.hosts.push(Arc::new(host));
        }
        Ok(crowd)
    }

    async fn named(&mut self, urls: &[String], number: usize) -> Result<Contender> {
        let named: Vec<_> = match number % 3 {
            0 => urls.to_vec(),
            1 => urls.iter().map(|url| url.replace("127.0.0.1", "localhost")).collect(),
            _ => {
                let network = Network::to(urls, Duration::ZERO).await?;
                let urls = network.urls().to_vec();
                self._networks.push(network);
                urls
            }
        };
        Kind::Quorum.connect(&named, TTL).await
    }
}

/// On a key of its own: nobody is in its way.
async fn warm(host: &Contender, number: usize) -> Result<()> {
    for _ in 0..10 {
        let held = host.acquire(&format!("warm-up:{number}")).await?;
        host.release(held).await?;
    }
    Ok(())
}
