//! Servers of a part's own, so that none suffers for what another did to them.

use std::time::Duration;

use redlock_quorum::testing::Cluster;
use redlock_quorum_benches::{
    common::{Result, five_servers},
    contenders::{Contender, Kind},
    measure::warm_up,
    observer::Observer,
};

use crate::figures::{Case, Figures};

pub struct Stand {
    pub servers: Cluster,
    pub observer: Observer,
}

impl Stand {
    pub async fn start() -> Result<Self> {
        let servers = five_servers().await?;
        let observer = Observer::connect(&servers.urls()).await?;
        Ok(Self { servers, observer })
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.urls()
    }

    /// How many stay when all was released; and they are removed.
    pub async fn count_keys_left(
        &self,
        figures: &mut Figures,
        case: Case,
        kind: Kind,
        name: &'static str,
    ) -> Result<()> {
        let left = self.observer.drained(0, kind.patience()).await?.left;
        figures.add(case, kind.name(), name, left as f64);
        self.clean(left).await
    }

    /// Removes what a client left, so that nobody suffers for another's.
    pub async fn clean(&self, left: u64) -> Result<()> {
        if left > 0 {
            self.observer.flush().await?;
        }
        Ok(())
    }
}

/// Connected and warm, in the order of `kinds`.
pub async fn connect_all(kinds: &[Kind], urls: &[String], ttl: Duration) -> Result<Vec<Contender>> {
    let mut contenders = Vec::with_capacity(kinds.len());
    for kind in kinds {
        contenders.push(connect(*kind, urls, ttl).await?);
    }
    Ok(contenders)
}

/// Connected and warm.
pub async fn connect(kind: Kind, urls: &[String], ttl: Duration) -> Result<Contender> {
    let contender = kind.connect(urls, ttl).await?;
    warm_up(&contender).await?;
    Ok(contender)
}
