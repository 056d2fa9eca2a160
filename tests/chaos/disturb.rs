//! The faults within the assumptions, on real servers, networks and client processes: how each
//! is begun and undone. None of them makes a server forget.

use redis::cmd;
use tokio::time::sleep;

use crate::{
    Result,
    clock::{ms, now},
    fault::{Fault, Kind},
    log::Note,
    play::{STEP, until},
    proxy::Way,
    server::{self, PASSWORD, Server, USER},
    stage::Stage,
};

/// It would run for minutes. Servers notice a script's end and its killer in between.
const ENDLESS: &str = "for turn = 1, 1e11 do end";

impl Stage {
    pub async fn disturb(&mut self, fault: &Fault) -> Result<()> {
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
            Kind::ClientKill => hang_up(server).await?,
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
            Kind::Close => proxies.iter().for_each(|proxy| proxy.close()),
            Kind::Down => proxies.iter().for_each(|proxy| proxy.set_down(true)),
            Kind::Trickle => proxies.iter().for_each(|proxy| proxy.set(Way::Trickle, Way::Trickle)),
            Kind::ClientPause => {
                // Nobody can end it sooner: who asks for that is held back, too.
                let time = u64::try_from(fault.lasts.as_millis())?;
                server.ask::<()>(cmd("CLIENT").arg("PAUSE").arg(time).arg("ALL")).await?;
            }
            Kind::LoggedOut => log_out(server).await?,
            Kind::Rewrite => rewrite(server).await?,
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
            | Kind::ClockStep
            | Kind::ClockLeap => unreachable!("played elsewhere"),
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
            Kind::Down => proxies.iter().for_each(|proxy| proxy.set_down(false)),
            Kind::LoggedOut => {
                let password = format!(">{PASSWORD}");
                server.ask::<()>(cmd("ACL").arg("SETUSER").arg(USER).arg(password)).await?;
            }
            Kind::Cut | Kind::Late | Kind::Trickle => {
                proxies.iter().for_each(|proxy| proxy.set(Way::Open, Way::Open));
            }
            // These are over at once.
            Kind::ClientKill
            | Kind::ScriptFlush
            | Kind::Reset
            | Kind::Close
            | Kind::ClientPause
            | Kind::Rewrite => {}
            Kind::ProcessStopped
            | Kind::ProcessKilled
            | Kind::KillEmpty
            | Kind::Stale
            | Kind::Flush
            | Kind::ReplicaOf
            | Kind::ClockStep
            | Kind::ClockLeap => unreachable!("played elsewhere"),
        }
        Ok(())
    }
}

async fn hang_up(server: &Server) -> Result<()> {
    for kind in ["normal", "pubsub"] {
        server.ask::<()>(cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind)).await?;
    }
    Ok(())
}

/// One that is under way already is one as well.
async fn rewrite(server: &Server) -> Result<()> {
    match server.ask::<()>(&cmd("BGREWRITEAOF")).await {
        Err(error) if error.to_string().contains("in progress") => Ok(()),
        ended => ended,
    }
}

async fn log_out(server: &Server) -> Result<()> {
    let set = ["SETUSER", USER, "resetpass", ">another"];
    server.ask::<()>(cmd("ACL").arg(&set)).await?;
    hang_up(server).await
}

async fn begin_script(server: &Server) -> Result<()> {
    // From then on others are told that it is busy.
    server.configure("lua-time-limit", "5").await?;
    let address = server.address();
    tokio::spawn(async move {
        // It is killed, and says so.
        server::ask::<()>(address, cmd("EVAL").arg(ENDLESS).arg(0)).await.ok()
    });
    // One that begins after it was to be killed would never end.
    until("its script runs", async || {
        let refused = server.ask::<()>(&cmd("PING")).await;
        Ok(refused.is_err_and(|error| error.to_string().contains("BUSY")))
    })
    .await
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
