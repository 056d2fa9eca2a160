//! The program `redlock serve` under measurement, as a process of its own.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{common::Result, process};

pub struct Program {
    child: Child,
    pub address: SocketAddr,
}

impl Program {
    /// Starts what `REDLOCK_PROGRAM` names, and waits until it listens.
    pub async fn start(nodes: &[String]) -> Result<Self> {
        let program = env::var("REDLOCK_PROGRAM")
            .map_err(|_| "REDLOCK_PROGRAM names no program to measure: `make` does")?;
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--node", &nodes.join(",")])
            .env_clear()
            .env("REDLOCK_LOG", "warn")
            .envs(env::vars().filter(|(name, _)| name == "TOKIO_WORKER_THREADS"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut started = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let out = started.child.stdout.take().ok_or("no output")?;
        let listening = move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        };
        let line = tokio::task::spawn_blocking(listening).await??;
        let address = line.trim().strip_prefix("listening on http://").ok_or("it did not start")?;
        started.address = address.parse()?;
        Ok(started)
    }
}

impl Program {
    /// Whether there is one to start: where nothing is measured there may be none.
    pub fn is_named() -> bool {
        env::var_os("REDLOCK_PROGRAM").is_some()
    }

    /// How long it has been on a core; nothing where the system does not tell.
    pub fn cpu(&self) -> Duration {
        process::cpu_of(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
