//! How each fault is played on real servers: those beyond the assumptions here, where servers
//! forget or set their clocks, the others in `disturb`. A fault that does not do what its name
//! says is an error of the campaign, not a fault.

use std::time::Duration;

use redis::cmd;
use tokio::time::sleep;

use crate::{
    Result,
    clock::{ms, now},
    fault::{Fault, Kind, Set},
    log::Note,
    mode::{GRACE, TTLS},
    server::Server,
    stage::Stage,
};

/// How often and at what distance a state of a server is waited for.
const TRIES: u32 = 3000;
pub const STEP: Duration = ms(20);
/// A lock of the shortest ttl has ended by that, its grace included.
const LEAP: Duration = ms(GRACE.as_millis() as u64 + *TTLS.start());

impl Stage {
    /// Plays it, and returns when the next one may come.
    pub async fn play(&mut self, fault: &Fault) -> Result<()> {
        let failed = |error| format!("{} at {:?}: {error}", fault.kind, fault.nodes);
        match fault.kind.set() {
            Set::Within => self.disturb(fault).await.map_err(failed)?,
            Set::Memory => self.forget(fault).await.map_err(failed)?,
            Set::Clock => self.set_clocks(fault, GRACE).await.map_err(failed)?,
            Set::Beyond => self.set_clocks(fault, LEAP).await.map_err(failed)?,
        }
        self.log.say(&Note::Undone { kind: fault.kind, at: now() });
        // How long a fault lasts, and the rest after it, are drawn: they are what is played.
        sleep(fault.rest).await;
        Ok(())
    }

    pub fn struck(&self, fault: &Fault, nodes: &[usize]) {
        self.log.say(&Note::Struck { kind: fault.kind, nodes: nodes.to_vec(), at: now() });
    }

    /// One node forgets. Nearly always each group of clients is out of reach of two of the other nodes for
    /// a while before and after: a minority for each, but what one group holds hangs by the node
    /// that forgets.
    async fn forget(&mut self, fault: &Fault) -> Result<()> {
        let (victim, others) = fault.nodes.split_first().ok_or("no node")?;
        let is_split = !fault.choice.is_multiple_of(8);
        if is_split {
            self.split(others, true);
        }
        if fault.kind == Kind::Stale {
            self.servers[*victim].ask::<()>(&cmd("SAVE")).await?;
        }
        sleep(fault.lasts).await;
        self.lose_memory(fault, *victim).await?;
        self.struck(fault, &[*victim]);
        sleep(fault.lasts).await;
        if is_split {
            self.split(others, false);
        }
        Ok(())
    }

    async fn lose_memory(&mut self, fault: &Fault, victim: usize) -> Result<()> {
        let another = fault.nodes[1 + fault.choice as usize / 4 % 4];
        match fault.kind {
            Kind::KillEmpty | Kind::Stale => {
                let server = &mut self.servers[victim];
                server.kill();
                if fault.kind == Kind::KillEmpty {
                    server.forget_files()?;
                }
                server.begin().await?;
                server.forget_files()
            }
            Kind::Flush => self.servers[victim].ask(&cmd("FLUSHALL")).await,
            Kind::ReplicaOf => {
                let spare = self.spare.as_ref().filter(|_| (fault.choice / 16).is_multiple_of(2));
                let master = spare.unwrap_or(&self.servers[another]);
                follow_for_a_moment(&self.servers[victim], master).await
            }
            Kind::Stop
            | Kind::KillKept
            | Kind::ClientKill
            | Kind::Busy
            | Kind::ScriptFlush
            | Kind::Revoked
            | Kind::Oom
            | Kind::Misconf
            | Kind::NoReplicas
            | Kind::Cut
            | Kind::Reset
            | Kind::Late
            | Kind::Close
            | Kind::Down
            | Kind::Trickle
            | Kind::ClientPause
            | Kind::LoggedOut
            | Kind::Rewrite
            | Kind::ProcessStopped
            | Kind::ProcessKilled
            | Kind::ClockStep
            | Kind::ClockLeap => unreachable!("played elsewhere"),
        }
    }

    /// Of these nodes, each group of clients can't reach its own share.
    fn split(&self, nodes: &[usize], is_down: bool) {
        for (place, node) in nodes.iter().enumerate() {
            let of_node = &self.proxies[*node];
            of_node[place % of_node.len()].set_down(is_down);
        }
    }

    /// All clocks are set forward: by as much as grace covers, that is all in any lock's life.
    async fn set_clocks(&mut self, fault: &Fault, by: Duration) -> Result<()> {
        let before = self.ahead;
        self.ahead += by;
        self.struck(fault, &fault.nodes);
        for node in &fault.nodes {
            self.servers[*node].set_clock(self.ahead)?;
        }
        for node in &fault.nodes {
            let server = &self.servers[*node];
            until("its clock is set", async || Ok(is_ahead(server, before + by / 2).await?))
                .await?;
        }
        Ok(())
    }
}

/// Whether its wall clock is ahead of the host's by that much.
async fn is_ahead(server: &Server, by: Duration) -> Result<bool> {
    let host = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let (seconds, micros): (u64, u64) = server.ask(&cmd("TIME")).await?;
    let host = Duration::try_from(host)?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros) > host + by)
}

async fn follow_for_a_moment(server: &Server, master: &Server) -> Result<()> {
    let (host, port) = (master.address().ip().to_string(), master.address().port());
    server.ask::<()>(cmd("REPLICAOF").arg(host).arg(port)).await?;
    until("it follows", async || {
        let link = server.info("replication", "master_link_status").await?;
        Ok(link.as_deref() == Some("up"))
    })
    .await?;
    server.ask(cmd("REPLICAOF").arg("NO").arg("ONE")).await
}

pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..TRIES {
        if is_so().await? {
            return Ok(());
        }
        sleep(STEP).await;
    }
    Err(format!("not within {:?}: {what}", STEP * TRIES).into())
}
