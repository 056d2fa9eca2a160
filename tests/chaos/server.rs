//! A real server with a directory and a port of its own, which stay while it comes and
//! goes. Every start makes sure that it is this process that answers there. No server
//! that runs already is touched.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, InfoDict};
use tokio::time::{sleep, timeout};

use crate::{Result, child::Guarded, clock::ms, program::Program};

/// The user that clients log in as. Grants are revoked from it alone.
pub const USER: &str = "locks";
pub const PASSWORD: &str = "campaign";

/// A host that is busy, or whose disk is, has been seen to keep processes waiting for five seconds.
const READY: Duration = ms(60_000);
const ANSWERS: Duration = ms(60_000);
/// Below what systems hand to outgoing connections: nobody connects to itself there.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

#[derive(Debug)]
pub struct Server {
    program: Program,
    dir: PathBuf,
    port: u16,
    /// Keeps this port from other fixtures that look for one; see the library's `testing`.
    _mark: UdpSocket,
    extra: Vec<String>,
    running: Option<Guarded>,
}

impl Server {
    pub async fn start(program: &Program, dir: PathBuf, extra: &[&str]) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        let (port, mark) = free_port()?;
        let extra = extra.iter().map(|arg| (*arg).to_owned()).collect();
        let program = program.clone();
        let mut server = Self { program, dir, port, _mark: mark, extra, running: None };
        server.set_clock(Duration::ZERO)?;
        server.begin().await?;
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts the process with what is in its directory, and waits until it serves.
    pub async fn begin(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let user = format!("{USER} on >{PASSWORD} ~* &* +@all");
        let path = self.program.path.to_string_lossy().into_owned();
        let mut command = vec![path.as_str(), "--port", &port, "--bind", "127.0.0.1", "--dir", "."];
        command.extend(["--protected-mode", "no", "--save", "", "--daemonize", "no"]);
        command.extend(["--repl-diskless-sync-delay", "0", "--user"]);
        command.extend(user.split(' '));
        command.extend(self.extra.iter().map(String::as_str));
        let log = File::options().create(true).append(true).open(self.path("server.log"))?;
        let errors = log.try_clone()?;
        let (dir, variables) = (&self.dir, self.program.variables(&self.path("clock")));
        self.running = Some(Guarded::start(&command, |shell| {
            shell.current_dir(dir).stdout(log).stderr(errors).envs(variables);
        })?);
        let step = ms(20);
        for _ in 0..READY.as_millis() / step.as_millis() {
            if self.is_ready().await? {
                return Ok(());
            }
            sleep(step).await;
        }
        Err(format!("{} does not serve at {}", self.program, self.address()).into())
    }

    async fn is_ready(&mut self) -> Result<bool> {
        let running = self.running.as_mut().ok_or("it was not started")?;
        let (id, ended) = (u64::from(running.id()), running.has_ended()?);
        if ended {
            let log = self.path("server.log");
            return Err(
                format!("{} ended at its start: see {}", self.program, log.display()).into()
            );
        }
        // It does not listen yet, or loads.
        let Ok(info) = self.ask::<InfoDict>(redis::cmd("INFO").arg("server")).await else {
            return Ok(false);
        };
        if info.get::<u64>("process_id") == Some(id) {
            // While it loads it tells of itself, and serves nothing.
            return Ok(self.ask::<()>(redis::cmd("GET").arg("none")).await.is_ok());
        }
        Err(format!("another server answers at {}", self.address()).into())
    }

    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Whether it was started, and not killed since.
    pub fn is_there(&self) -> bool {
        self.running.is_some()
    }

    pub fn stop(&mut self) -> Result<()> {
        self.running.as_mut().ok_or("it does not run")?.stop()
    }

    pub fn go_on(&mut self) -> Result<()> {
        self.running.as_mut().ok_or("it does not run")?.go_on()
    }

    /// Asks as the one who may do everything, on a connection of its own past all proxies.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        ask(self.address(), command).await
    }

    pub async fn configure(&self, name: &str, value: &str) -> Result<()> {
        self.ask(redis::cmd("CONFIG").arg("SET").arg(name).arg(value)).await
    }

    /// One line of its INFO.
    pub async fn info(&self, section: &str, name: &str) -> Result<Option<String>> {
        let info: InfoDict = self.ask(redis::cmd("INFO").arg(section)).await?;
        Ok(info.get(name))
    }

    /// Sets its wall clock ahead of the host's by that much; where its program can have one.
    pub fn set_clock(&self, ahead: Duration) -> Result<()> {
        // In one step: the server reads it at any time.
        let new = self.path("clock.new");
        fs::write(&new, format!("+{:.3}\n", ahead.as_secs_f64()))?;
        Ok(fs::rename(new, self.path("clock"))?)
    }

    pub fn forget_files(&self) -> Result<()> {
        for name in ["dump.rdb", "appendonlydir"] {
            remove(&self.path(name))?;
        }
        Ok(())
    }
}

pub async fn ask<T: FromRedisValue>(address: SocketAddr, command: &Cmd) -> Result<T> {
    let asking = async {
        let client = Client::open(format!("redis://{address}"))?;
        // The limit is the one below: on a busy host the client's own are too short.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None);
        let config = config.set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        command.query_async(&mut connection).await
    };
    let answer = timeout(ANSWERS, asking).await.map_err(|_| format!("{address} is silent"))?;
    Ok(answer?)
}

pub fn remove(path: &Path) -> Result<()> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn free_port() -> Result<(u16, UdpSocket)> {
    for _ in 0..256 {
        let port = rand::random_range(PORTS);
        if let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return Ok((port, mark));
        }
    }
    Err("no free port".into())
}
