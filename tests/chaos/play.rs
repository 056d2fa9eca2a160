//! How each fault is played on real servers, and undone. A fault that does not do what
//! its name says is an error of the campaign, not a fault.

use std::time::Duration;

use redis::cmd;
use tokio::time::sleep;

use crate::{
    Result,
    clock::{ms, now},
    fault::{Fault, Kind, Set},
    log::Note,
    mode::GRACE,
    proxy::Way,
    server::{self, Server, USER},
    stage::Stage,
};

/// How often and at what distance a state of a server is waited for.
const TRIES: u32 = 750;
const STEP: Duration = ms(20);
/// It would run for minutes. Servers notice a script's end and its killer in between.
const ENDLESS: &str = "for turn = 1, 1e11 do end";

impl Stage {
    /// Plays it, and returns when the next one may come.
    pub async fn play(&mut self, fault: &Fault) -> Result<()> {
        let failed = |error| format!("{} at {:?}: {error}", fault.kind, fault.nodes);
        match fault.kind.set() {
            Set::Within => self.disturb(fault).await.map_err(failed)?,
            Set::Memory => self.forget(fault).await.map_err(failed)?,
            Set::Clock => self.set_clocks(fault).await.map_err(failed)?,
        }
        self.log.say(&Note::Undone { kind: fault.kind, at: now() });
        // How long a fault lasts, and the rest after it, are drawn: they are what is played.
        sleep(fault.rest).await;
        Ok(())
    }

    fn struck(&self, fault: &Fault, nodes: &[usize]) {
        self.log.say(&Note::Struck { kind: fault.kind, nodes: nodes.to_vec(), at: now() });
    }

    async fn disturb(&mut self, fault: &Fault) -> Result<()> {
        self.struck(fault, &fault.nodes);
        if matches!(fault.kind, Kind::ProcessStopped | Kind::ProcessKilled) {
            return self.disturb_a_process(fault).await;
        }
        for node in &fault.nodes {
            self.begin(fault, *node).await?;
        }
        sleep(fault.lasts).await;
        for node in &fault.nodes {
            self.undo(fault.kind, *node).await?;
        }
        Ok(())
    }

    async fn disturb_a_process(&mut self, fault: &Fault) -> Result<()> {
        let place = fault.choice as usize % self.clients.len();
        if fault.kind == Kind::ProcessKilled {
            let orders = self.clients[place].orders.clone();
            let process = orders.process;
            let client = self.start_client(orders)?;
            std::mem::replace(&mut self.clients[place], client).process.kill();
            self.log.say(&Note::Killed { process, at: now() });
            return Ok(());
        }
        let client = &mut self.clients[place];
        let process = client.orders.process;
        self.log.say(&Note::Stopped { process, at: now() });
        client.process.stop()?;
        sleep(fault.lasts).await;
        client.process.go_on()?;
        self.log.say(&Note::Continued { process, at: now() });
        Ok(())
    }

    async fn begin(&mut self, fault: &Fault, node: usize) -> Result<()> {
        let (server, proxies) = (&mut self.servers[node], &self.proxies[node]);
        match fault.kind {
            Kind::Stop => server.stop()?,
            Kind::KillKept => server.kill(),
            Kind::ClientKill => {
                for kind in ["normal", "pubsub"] {
                    server.ask::<()>(cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind)).await?;
                }
            }
            Kind::Busy => begin_script(server).await?,
            Kind::ScriptFlush => server.ask(cmd("SCRIPT").arg("FLUSH")).await?,
            Kind::Revoked => server.ask(cmd("ACL").arg("SETUSER").arg(USER).arg("-@write")).await?,
            Kind::Oom => server.configure("maxmemory", "1").await?,
            Kind::Misconf => fail_to_save(server).await?,
            Kind::NoReplicas => server.configure("min-replicas-to-write", "1").await?,
            Kind::Cut => {
                let ways = [(Way::Cut, Way::Open), (Way::Open, Way::Cut)];
                let (to_server, to_client) = ways[fault.choice as usize % ways.len()];
                proxies.iter().for_each(|proxy| proxy.set(to_server, to_client));
            }
            Kind::Reset => proxies.iter().for_each(|proxy| proxy.reset()),
            Kind::Late => {
                let late = Way::Late(ms(u64::from(fault.choice >> 8) % 400));
                let ways = [(late, Way::Open), (Way::Open, late), (late, late)];
                let (to_server, to_client) = ways[fault.choice as usize % ways.len()];
                proxies.iter().for_each(|proxy| proxy.set(to_server, to_client));
            }
            Kind::ProcessStopped
            | Kind::ProcessKilled
            | Kind::KillEmpty
            | Kind::Stale
            | Kind::Flush
            | Kind::ReplicaOf
            | Kind::ClockStep => unreachable!("played elsewhere"),
        }
        Ok(())
    }

    async fn undo(&mut self, kind: Kind, node: usize) -> Result<()> {
        let (server, proxies) = (&mut self.servers[node], &self.proxies[node]);
        match kind {
            Kind::Stop => server.go_on()?,
            Kind::KillKept => server.begin().await?,
            Kind::Busy => end_script(server).await?,
            Kind::Revoked => server.ask(cmd("ACL").arg("SETUSER").arg(USER).arg("+@all")).await?,
            Kind::Oom => server.configure("maxmemory", "0").await?,
            Kind::Misconf => save_again(server).await?,
            Kind::NoReplicas => server.configure("min-replicas-to-write", "0").await?,
            Kind::Cut | Kind::Late => {
                proxies.iter().for_each(|proxy| proxy.set(Way::Open, Way::Open));
            }
            // These are over at once.
            Kind::ClientKill | Kind::ScriptFlush | Kind::Reset => {}
            Kind::ProcessStopped
            | Kind::ProcessKilled
            | Kind::KillEmpty
            | Kind::Stale
            | Kind::Flush
            | Kind::ReplicaOf
            | Kind::ClockStep => unreachable!("played elsewhere"),
        }
        Ok(())
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
            | Kind::ProcessStopped
            | Kind::ProcessKilled
            | Kind::ClockStep => unreachable!("played elsewhere"),
        }
    }

    /// Of these nodes, each group of clients can't reach its own share.
    fn split(&self, nodes: &[usize], is_down: bool) {
        for (place, node) in nodes.iter().enumerate() {
            let of_node = &self.proxies[*node];
            of_node[place % of_node.len()].set_down(is_down);
        }
    }

    /// All clocks are set forward by as much as grace covers, in sum during any lock's life.
    async fn set_clocks(&mut self, fault: &Fault) -> Result<()> {
        let before = self.ahead;
        self.ahead += GRACE;
        self.struck(fault, &fault.nodes);
        for node in &fault.nodes {
            self.servers[*node].set_clock(self.ahead)?;
        }
        for node in &fault.nodes {
            let server = &self.servers[*node];
            until("its clock is set", async || Ok(is_ahead(server, before + GRACE / 2).await?))
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

async fn begin_script(server: &Server) -> Result<()> {
    // From then on others are told that it is busy.
    server.configure("lua-time-limit", "5").await?;
    let address = server.address();
    tokio::spawn(async move {
        // It is killed, and says so.
        server::ask::<()>(address, cmd("EVAL").arg(ENDLESS).arg(0)).await.ok()
    });
    Ok(())
}

async fn end_script(server: &Server) -> Result<()> {
    until("its script has ended", async || {
        let killed = server.ask::<()>(cmd("SCRIPT").arg("KILL")).await;
        Ok(killed.is_err_and(|error| error.to_string().contains("NotBusy")))
    })
    .await
}

/// A file can't take the place of a folder.
async fn fail_to_save(server: &Server) -> Result<()> {
    server::remove(&server.path("dump.rdb"))?;
    std::fs::create_dir_all(server.path("dump.rdb").join("in-the-way"))?;
    server.configure("save", "3600 1").await?;
    save_in_background(server, "err").await
}

async fn save_again(server: &Server) -> Result<()> {
    server::remove(&server.path("dump.rdb"))?;
    save_in_background(server, "ok").await?;
    server.configure("save", "").await?;
    server::remove(&server.path("dump.rdb"))
}

/// Saves until that is what came of it. Another fork may be in the way of one that is begun.
async fn save_in_background(server: &Server, end: &str) -> Result<()> {
    until("it has tried to save", async || {
        let _ = server.ask::<()>(&cmd("BGSAVE")).await;
        sleep(STEP).await;
        let status = server.info("persistence", "rdb_last_bgsave_status").await?;
        Ok(status.as_deref() == Some(end))
    })
    .await
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

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..TRIES {
        if is_so().await? {
            return Ok(());
        }
        sleep(STEP).await;
    }
    Err(format!("not within {:?}: {what}", STEP * TRIES).into())
}
