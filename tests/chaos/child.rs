//! A process that this one starts and ends. None outlives it: beside each is a watchdog
//! that kills the process when the pipe from here closes, whatever closed it, and a
//! process that is stopped is ended as well. No other process is ever signalled.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Result, clock::ms};

/// The process begins only when its watchdog is there.
const STARTS: &str = r#"read -r go && exec "$@""#;
const WATCHDOG: &str = r#"
while read -r word; do
  [ "$word" = done ] && exit 0
done
kill -s KILL "$1"
"#;

#[derive(Debug)]
pub struct Guarded {
    child: Child,
    watchdog: Child,
}

impl Guarded {
    /// Starts `command`, by `set` for what the shell is to hand on: variables and outputs.
    pub fn start(command: &[&str], set: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut shell = shell(STARTS);
        shell.args(command);
        set(&mut shell);
        let mut child = shell.spawn()?;
        let watchdog =
            self::shell(WATCHDOG).arg(child.id().to_string()).stdout(Stdio::null()).spawn();
        let watchdog = watchdog.inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let mut guarded = Self { child, watchdog };
        guarded.child.stdin.as_mut().ok_or("it has no input")?.write_all(b"go\n")?;
        Ok(guarded)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// It was never waited for while this lives, unless it had ended, so the id is its own.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.has_ended()? {
            return Err("a process has ended by itself".into());
        }
        let id = i32::try_from(self.child.id())?;
        Ok(kill_process(Pid::from_raw(id).ok_or("no id")?, signal)?)
    }

    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn go_on(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub fn kill(mut self) {
        self.end();
    }

    /// Closes its input, and tells whether it ended well within the limit.
    pub async fn ends_within(mut self, limit: Duration) -> Result<bool> {
        drop(self.child.stdin.take());
        let step = ms(20);
        for _ in 0..limit.as_millis() / step.as_millis() {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(true);
                }
                return Err(format!("a client failed: {status}").into());
            }
            sleep(step).await;
        }
        Ok(false)
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        // Before the wait that frees the id for other processes.
        if let Some(mut input) = self.watchdog.stdin.take() {
            let _ = input.write_all(b"done\n");
        }
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// In a group of its own, which a Ctrl-C meant for this process does not reach.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).stdin(Stdio::piped()).process_group(0);
    command
}
