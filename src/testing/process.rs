//! Nodes that are server processes of this machine, each in a directory and on
//! a port of its own. No process is ever signalled that was not started here.
//!
//! A node is two processes: the server, which first waits for a word from us,
//! and a watchdog that knows the server's id. When the pipe to the watchdog
//! closes, because this process has ended in some way, it kills the server and
//! removes the directory; SIGKILL also ends a server that is stopped. Both are
//! in process groups of their own, so that a Ctrl-C meant for the tests cannot
//! end the watchdog first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::locate::Program;
use super::port::Claim;
use super::{FixtureError, Reply, client, error, wait};

const READY_LIMIT: Duration = Duration::from_secs(10);
const SIGNAL_LIMIT: Duration = Duration::from_secs(5);
const MAX_PORTS_TRIED: usize = 4;

const SERVER: &str = r#"read -r go && exec "$@" </dev/null"#;
const WATCHDOG: &str = r#"
while read -r word; do
  [ "$word" = done ] && exit 0
done
kill -s KILL "$1"
rm -rf -- "$2"
"#;

/// One node: a port that stays, and a server that comes and goes.
#[derive(Debug)]
pub(super) struct ProcessNode {
    program: Program,
    extra: Vec<String>,
    claim: Claim,
    running: Mutex<Option<Running>>,
}

impl ProcessNode {
    pub(super) fn start(program: Program, extra: Vec<String>) -> Result<Self, FixtureError> {
        let mut tried = 1;
        loop {
            let claim = Claim::new().map_err(FixtureError::io("find a free port"))?;
            match Running::start(&program, &extra, &claim) {
                // A program that claims no ports may have been faster.
                Err(FixtureError::Start { reason, .. })
                    if reason.contains("already in use") && tried < MAX_PORTS_TRIED =>
                {
                    tried += 1;
                }
                started => {
                    return Ok(Self { running: Mutex::new(Some(started?)), program, extra, claim });
                }
            }
        }
    }

    pub(super) fn address(&self) -> String {
        self.claim.socket().to_string()
    }

    pub(super) fn pause(&self) -> Result<(), FixtureError> {
        self.with_running(|running| {
            running.signal("STOP")?;
            wait::until(SIGNAL_LIMIT, || running.is_stopped().then_some(())).ok_or_else(|| {
                FixtureError::Timeout {
                    doing: format!("stop process {}", running.server.id()),
                    limit: SIGNAL_LIMIT,
                }
            })
        })
    }

    pub(super) fn resume(&self) -> Result<(), FixtureError> {
        self.with_running(|running| running.signal("CONT"))
    }

    pub(super) fn kill(&self) {
        // Dropping the server ends it.
        self.running().take();
    }

    pub(super) fn restart(&self) -> Result<(), FixtureError> {
        let mut running = self.running();
        running.take();
        *running = Some(Running::start(&self.program, &self.extra, &self.claim)?);
        Ok(())
    }

    fn with_running(
        &self,
        act: impl FnOnce(&Running) -> Result<(), FixtureError>,
    ) -> Result<(), FixtureError> {
        match &*self.running() {
            Some(running) => act(running),
            None => Err(FixtureError::NotRunning { address: self.address() }),
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server and its watchdog. Dropping it ends both and removes the directory.
#[derive(Debug)]
struct Running {
    server: Child,
    watchdog: Child,
    home: Home,
}

impl Running {
    fn start(program: &Program, extra: &[String], claim: &Claim) -> Result<Self, FixtureError> {
        let address = claim.socket().to_string();
        let spawned = Self::spawn(program, extra, claim);
        let mut running = spawned.map_err(FixtureError::io(format!(
            "run {} on {address} through `sh`",
            program.label
        )))?;
        match wait::until(READY_LIMIT, || running.is_ready(&address)) {
            Some(Ok(())) => Ok(running),
            Some(Err(reason)) => Err(FixtureError::Start { address, reason }),
            None => {
                let log = running.home.end_of_log();
                let reason = format!("no answer within {READY_LIMIT:?}; its log ends: {log}");
                Err(FixtureError::Start { address, reason })
            }
        }
    }

    fn spawn(program: &Program, extra: &[String], claim: &Claim) -> io::Result<Self> {
        let home = Home::new()?;
        let log = File::create(home.log())?;
        let mut server = shell(SERVER)
            .arg(&program.path)
            .args(["--port", &claim.port().to_string()])
            .args(["--bind", "127.0.0.1", "--protected-mode", "no"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&home.path)
            .args(extra)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let watchdog = shell(WATCHDOG)
            .arg(server.id().to_string())
            .arg(&home.path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let watchdog = watchdog.inspect_err(|_| {
            let _ = server.kill();
            let _ = server.wait();
        })?;
        let mut running = Self { server, watchdog, home };
        // From here on the watchdog answers for it: let the server begin.
        match running.server.stdin.take() {
            Some(mut stdin) => stdin.write_all(b"go\n")?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(running)
    }

    /// Whether the server at the address answers and is this one.
    fn is_ready(&mut self, address: &str) -> Option<Result<(), String>> {
        if let Some(ended) = self.server.try_wait().transpose() {
            return Some(Err(self.explain(ended)));
        }
        let reply = client::call(address, &["INFO", "server"], Duration::from_secs(1)).ok()?;
        match reply {
            Reply::Bulk(info) => {
                let info = String::from_utf8_lossy(&info).into_owned();
                let id = info.lines().find_map(|line| line.strip_prefix("process_id:"));
                if id == Some(&self.server.id().to_string()) {
                    return Some(Ok(()));
                }
                Some(Err("the port is already in use by another server".to_owned()))
            }
            // The server is still loading.
            Reply::Error(text) if text.starts_with("LOADING") => None,
            other => Some(Err(format!("it answered INFO with {other:?}"))),
        }
    }

    fn explain(&self, ended: io::Result<ExitStatus>) -> String {
        let log = self.home.end_of_log();
        match ended {
            Ok(status) => format!("it ended with {status}; its log ends: {log}"),
            Err(error) => format!("its state is unknown: {error}; its log ends: {log}"),
        }
    }

    fn signal(&self, name: &str) -> Result<(), FixtureError> {
        let id = self.server.id().to_string();
        let doing = format!("send SIG{name} to process {id} with sh's `kill`");
        // The server is our child and not yet waited for: the id is its own.
        let status = shell(r#"kill -s "$1" "$2""#)
            .args([name, &id])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(FixtureError::io(doing.clone()))?;
        if status.success() {
            return Ok(());
        }
        let refused = io::Error::other(status.to_string());
        Err(FixtureError::io(doing)(refused))
    }

    /// Whether the server has stopped: a signal is delivered a moment after it is
    /// sent. Where the system shows no process's state there is nothing to wait for.
    fn is_stopped(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.server.id())) else {
            return true;
        };
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        state.is_some_and(|state| state.starts_with(['T', 't']))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.server.kill();
        // This comes before the wait that frees the server's id for other processes:
        // from here on the watchdog must not kill.
        if let Some(mut stdin) = self.watchdog.stdin.take() {
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.watchdog.wait();
        let _ = self.server.wait();
    }
}

/// A directory that is removed with its owner.
#[derive(Debug)]
struct Home {
    path: PathBuf,
}

impl Home {
    fn new() -> io::Result<Self> {
        let name = format!("redlock-quorum-test-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self { path })
    }

    fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    fn end_of_log(&self) -> String {
        match fs::read(self.log()) {
            Ok(log) => error::end_of_log(&log),
            Err(error) => format!("(unreadable: {error})"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).stdin(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}
