//! A program that a test starts, tells what to do and stops: one of the ignored tests, in a process
//! of its own. It signals no other process, and the process ends with this.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::support::{LIMIT, eventually, within};

/// Where the test is killed meanwhile, the input ends as well, and the program goes on to its end:
/// what is stopped would stay for ever.
const STOPPER: &str = r#"kill -s STOP "$1" && read -r _; kill -s CONT "$1""#;

pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stopper: Option<Child>,
}

impl Program {
    /// Starts the ignored test of that name.
    pub fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([name, "--exact", "--ignored", "--nocapture"])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, stopper: None }
    }

    /// Waits until it has said that.
    pub async fn says(&mut self, what: &str) {
        self.says_with(what, |line| line.ends_with(what).then_some(())).await;
    }

    /// Waits for the first of its lines that begin with `it`, and gives what is read of that.
    pub async fn says_with<T>(&mut self, what: &str, read: impl Fn(&str) -> Option<T>) -> T {
        let saying = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                // The first one comes behind the name of the test.
                if let Some(found) = read(&line) {
                    return found;
                }
                assert!(!line.starts_with("it"), "{line} instead of {what}");
            }
            panic!("it ended before it said {what}");
        };
        within(LIMIT, what, saying).await
    }

    pub async fn tell(&mut self, what: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{what}\n").as_bytes()).await.unwrap();
    }

    /// Returns when it has stopped: a signal is delivered a moment after it is sent.
    pub async fn stop(&mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let mut stopper = Command::new("sh");
        stopper.args(["-c", STOPPER, "sh", &id]).stdin(Stdio::piped());
        self.stopper = Some(stopper.spawn().unwrap());
        let path = format!("/proc/{id}/stat");
        eventually("it has stopped", async || {
            // Where the system shows no process's state there is nothing to wait for.
            let Ok(stat) = std::fs::read_to_string(&path) else { return Ok(()) };
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            if state.is_some_and(|state| state.starts_with('T')) { Ok(()) } else { Err(stat) }
        })
        .await;
    }

    /// Lets it go on, and read this before it does anything.
    pub async fn go_on(&mut self) {
        self.tell("go on").await;
        let mut stopper = self.stopper.take().expect("it was stopped");
        drop(stopper.stdin.take());
        assert!(stopper.wait().await.unwrap().success());
    }

    pub async fn ends(mut self) {
        let status = within(LIMIT, "it ends", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}
