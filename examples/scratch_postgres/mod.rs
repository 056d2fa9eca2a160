//! A PostgreSQL that is there for as long as a value lives, for the example and for a test. It is
//! started from the programs that are installed, and ended also where this process is killed,
//! since a shell waits for that (`start.sh`). It never talks to the server itself.

use std::{
    io::{BufRead as _, BufReader, Error, ErrorKind, Read as _},
    process::{Child, Command, Stdio},
};

/// The server, through the shell that started it. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct ScratchPostgres {
    shell: Child,
    config: String,
}

impl ScratchPostgres {
    /// Starts one, which takes a second or two. The error is [`ErrorKind::NotFound`] where
    /// PostgreSQL is not installed.
    pub(crate) fn start() -> Result<Self, Error> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("start.sh")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (mut said, mut why) = (String::new(), String::new());
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let folder = said.trim_end();
        if folder.starts_with('/') {
            let config = format!("host='{folder}' user=postgres dbname=postgres");
            return Ok(Self { shell, config });
        }
        // The shell has ended, or is about to.
        if let Some(mut stderr) = shell.stderr.take() {
            stderr.read_to_string(&mut why)?;
        }
        shell.wait()?;
        match folder {
            "missing" => Err(Error::new(ErrorKind::NotFound, "PostgreSQL is not installed")),
            _ => Err(Error::other(format!("PostgreSQL does not start: {why}"))),
        }
    }

    /// What a client connects by.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }
}

impl Drop for ScratchPostgres {
    fn drop(&mut self) {
        // The shell's input ends here, and by that the server and its folder.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
