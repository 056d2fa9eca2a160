//! Finds the server program that is installed here. It never runs it for more than its
//! version.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::wait;

const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// A server program that can be run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: OsString,
    /// The name and the version, for people.
    pub(super) label: String,
}

/// The program, which is looked for once in each process. The error says why there is
/// none.
pub(super) fn program() -> Result<Program, String> {
    static FOUND: OnceLock<Result<Program, String>> = OnceLock::new();
    FOUND.get_or_init(look).clone()
}

/// The program that the environment names, whether or not it can be run.
pub(super) fn named() -> Option<OsString> {
    std::env::var_os("REDLOCK_TEST_SERVER").filter(|name| !name.is_empty())
}

fn look() -> Result<Program, String> {
    if let Some(named) = named() {
        let name = named.to_string_lossy().into_owned();
        return ask(named).map_err(|reason| format!("REDLOCK_TEST_SERVER={name}: {reason}"));
    }
    ask("redis-server".into())
        .or_else(|_| ask("valkey-server".into()))
        .map_err(|_| "no redis-server or valkey-server on PATH".to_owned())
}

/// A server program at `path`, if it says that it is one.
fn ask(path: OsString) -> Result<Program, String> {
    let (status, text) = version(&path)?;
    match text.split_whitespace().find_map(|word| word.strip_prefix("v=")) {
        Some(version) if status.success() => {
            Ok(Program { label: format!("{} {version}", file_name(&path)), path })
        }
        _ => {
            let line = text.lines().next().unwrap_or_default();
            Err(format!("no Redis or Valkey server: --version gave {line:?}"))
        }
    }
}

/// How a program ends when it is asked for its version, and what it prints.
fn version(path: &OsString) -> Result<(ExitStatus, String), String> {
    let mut child = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run it: {error}"))?;
    let status = wait::until(VERSION_LIMIT, || child.try_wait().transpose());
    let Some(Ok(status)) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Err("it did not answer to --version".to_owned());
    };
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        // A version is one line, which a pipe always holds whole.
        let _ = output.take(4096).read_to_string(&mut text);
    }
    Ok((status, text))
}

fn file_name(path: &OsString) -> String {
    std::path::Path::new(path).file_name().unwrap_or(path).to_string_lossy().into_owned()
}
