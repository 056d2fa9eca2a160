//! The real program, `redlock serve`, on a port of its own: started, listened to,
//! told to end. It sees no environment but what a test gives it.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use redlock_quorum::testing::Cluster;

use crate::support::{LIMIT, eventually, within};

/// The program as it runs. Dropping it kills it.
pub struct Program {
    child: Child,
    url: String,
    address: SocketAddr,
    stderr: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it against these nodes, and returns when it listens.
    pub async fn start(cluster: &Cluster, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let nodes = cluster.urls().join(",");
        let environment = [environment, &[("REDLOCK_NODES", &nodes)]].concat();
        Self::start_alone(flags, &environment).await
    }

    /// The same, of nodes that are named by flags or environment, or by nothing.
    pub async fn start_alone(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(command(flags, environment)).await
    }

    /// The same by a `command` that becomes the program.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let listening = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line
        });
        let line = within(LIMIT, "it listens", listening).await.unwrap();
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let url = url.unwrap_or_else(|| panic!("it printed {line:?}; {}", stderr.lock().unwrap()));
        let address = url.split_once("://").unwrap().1.parse().unwrap();
        Self { child, url, address, stderr }
    }

    /// `http://address:port`, or https.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("it ends", async || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.stderr.lock().unwrap().clone()),
        })
        .await
    }

    /// Asks it to end as a supervisor does, and waits for that.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `redlock serve` with these flags, not started.
pub fn command(flags: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redlock-under-test"));
    command.arg("serve").args(["--listen", "127.0.0.1:0"]).args(flags).env_clear();
    // What --dev looks for a server in.
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    // Not what these tests are about, and too short on a machine that is busy.
    command.env("REDLOCK_NODE_TIMEOUT", "5s");
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// What comes out of there, as it comes.
fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::<Mutex<String>>::default();
    let into = Arc::clone(&all);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut all = into.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
        }
    });
    all
}
