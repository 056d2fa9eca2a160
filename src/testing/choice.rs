//! Chooses the backend of a cluster, by what the test and the environment ask for and
//! what this machine has. It never replaces a backend that was asked for.

use std::fmt;
use std::sync::Once;
use std::time::Duration;

use super::container::{self, Image};
use super::locate::{self, Program};
use super::{Clock, FixtureError, wait};

const VARIABLE: &str = "REDLOCK_TEST_BACKEND";
const PULL_LIMIT_AUTO: Duration = Duration::from_secs(30);
const PULL_LIMIT_ASKED: Duration = Duration::from_secs(300);

/// What a cluster's nodes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Containers of one image, in the engine that `DOCKER_HOST` or the usual
    /// socket leads to. They need the feature `testing`.
    Docker,
    /// Local server processes.
    Process,
    /// Threads of this process that speak RESP2 on loopback ports: the lock's
    /// own commands and scripts, and nothing else.
    Memory,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Docker => "docker",
            Self::Process => "process",
            Self::Memory => "memory",
        })
    }
}

/// A backend, with all that is needed to start a node on it.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Docker(Image),
    Process(Program),
    Memory(Clock),
}

impl Choice {
    pub(super) fn backend(&self) -> Backend {
        match self {
            Self::Docker(_) => Backend::Docker,
            Self::Process(_) => Backend::Process,
            Self::Memory(_) => Backend::Memory,
        }
    }
}

/// Chooses a backend. `asked` comes from the test and outranks the environment;
/// `or_memory` allows memory nodes where `auto` finds nothing better.
pub(super) async fn choose(
    asked: Option<Backend>,
    or_memory: bool,
) -> Result<Choice, FixtureError> {
    if let Some(backend) = asked {
        return named(backend).await;
    }
    let (choice, why) = match from_environment()? {
        Some(backend) => (named(backend).await?, format!("{VARIABLE}={backend}")),
        None => auto(or_memory).await?,
    };
    announce(&choice, &why);
    Ok(choice)
}

fn from_environment() -> Result<Option<Backend>, FixtureError> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    match value.to_string_lossy().as_ref() {
        "" | "auto" => Ok(None),
        "docker" => Ok(Some(Backend::Docker)),
        "process" => Ok(Some(Backend::Process)),
        "memory" => Ok(Some(Backend::Memory)),
        other => Err(FixtureError::UnknownBackend { value: other.to_owned() }),
    }
}

async fn named(backend: Backend) -> Result<Choice, FixtureError> {
    let found = match backend {
        Backend::Docker => container::image(PULL_LIMIT_ASKED).await.map(Choice::Docker),
        Backend::Process => program().await?.map(Choice::Process),
        Backend::Memory => Ok(Choice::Memory(Clock::new())),
    };
    found.map_err(|reason| FixtureError::Unavailable { backend, reason })
}

async fn auto(or_memory: bool) -> Result<(Choice, String), FixtureError> {
    let no_container = match container::image(PULL_LIMIT_AUTO).await {
        Ok(image) => return Ok((Choice::Docker(image), "a container engine answered".into())),
        Err(reason) => reason,
    };
    let no_program = match program().await? {
        Ok(program) => return Ok((Choice::Process(program), no_container)),
        Err(reason) => reason,
    };
    let tried = format!("{no_container}; {no_program}");
    // A program that was named and does not run is a mistake to report, not
    // one to hide behind memory nodes.
    if or_memory && locate::named().is_none() {
        return Ok((Choice::Memory(Clock::new()), tried));
    }
    Err(FixtureError::NoBackend { tried })
}

async fn program() -> Result<Result<Program, String>, FixtureError> {
    wait::blocking(|| Ok(locate::program())).await
}

fn announce(choice: &Choice, why: &str) {
    static ANNOUNCED: Once = Once::new();
    let what = match choice {
        Choice::Docker(image) => image.label.as_str(),
        Choice::Process(program) => program.label.as_str(),
        Choice::Memory(_) => "in-memory nodes, demo only",
    };
    let backend = choice.backend();
    ANNOUNCED.call_once(|| {
        eprintln!("redlock-quorum testing: backend {backend} ({what}), {why}");
    });
}
