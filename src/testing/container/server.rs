//! One server in a container, from its creation to its removal. All of it is run on
//! the thread for containers, and never in a test's runtime.

use std::sync::Arc;
use std::time::Duration;

use testcontainers::bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptionsBuilder,
};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::time::{sleep, timeout};

use super::engine::{self, Image, STEP_LIMIT, docker, engine_error, within};
use crate::testing::port::Claim;
use crate::testing::{FixtureError, Reply, client, error, wait};

const READY_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
const MAX_PORTS_TRIED: usize = 4;
const LABEL: (&str, &str) = ("redlock-quorum.test", "1");
const SERVER_PORT: u16 = 6379;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) container: ContainerAsync<GenericImage>,
    pub(super) address: String,
    _claim: Claim,
}

pub(super) struct State {
    pub(super) running: bool,
    pub(super) paused: bool,
}

impl Inner {
    pub(super) async fn state(&self) -> Result<State, FixtureError> {
        let inspected = docker()
            .await?
            .inspect_container(self.container.id(), None)
            .await
            .map_err(engine_error("inspect a container"))?;
        let state = inspected.state.unwrap_or_default();
        Ok(State { running: state.running == Some(true), paused: state.paused == Some(true) })
    }

    pub(super) fn not_running(&self) -> FixtureError {
        FixtureError::NotRunning { address: self.address.clone() }
    }

    /// Kills the server by SIGKILL: the engine's "stop" would let it say goodbye.
    pub(super) async fn kill(&self) -> Result<(), FixtureError> {
        if self.state().await?.running {
            docker()
                .await?
                .kill_container(self.container.id(), None::<KillContainerOptions>)
                .await
                .map_err(engine_error("kill a container"))?;
        }
        let address = self.address.clone();
        wait::blocking(move || {
            wait::until(READY_LIMIT, || client::refuses(&address).then_some(())).ok_or_else(|| {
                FixtureError::Timeout {
                    doing: format!("wait until {address} refuses"),
                    limit: READY_LIMIT,
                }
            })
        })
        .await
    }

    /// Waits until the server answers. The engine refuses a port that another program
    /// has, so the server that answers there is the container's.
    pub(super) async fn answers(&self) -> Result<(), FixtureError> {
        let polling = async {
            loop {
                if let Ok(Reply::Bulk(_)) = self.ask().await {
                    return Ok(());
                }
                if !self.state().await?.running {
                    return Err(self.no_start("it ended").await);
                }
                sleep(POLL).await;
            }
        };
        match timeout(READY_LIMIT, polling).await {
            Ok(answered) => answered,
            Err(_) => Err(self.no_start(&format!("no answer within {READY_LIMIT:?}")).await),
        }
    }

    async fn ask(&self) -> Result<Reply, FixtureError> {
        let address = self.address.clone();
        wait::blocking(move || {
            client::call(&address, &["INFO", "server"], Duration::from_secs(1))
                .map_err(FixtureError::io("ask a new container"))
        })
        .await
    }

    async fn no_start(&self, what: &str) -> FixtureError {
        let logs = async {
            let mut text = self.container.stdout_to_vec().await.unwrap_or_default();
            text.extend(self.container.stderr_to_vec().await.unwrap_or_default());
            text
        };
        let log = timeout(READY_LIMIT, logs).await.unwrap_or_default();
        FixtureError::Start {
            address: self.address.clone(),
            reason: format!("{what}; its log ends: {}", error::end_of_log(&log)),
        }
    }
}

pub(super) async fn start_one(image: &Image, extra: &[String]) -> Result<Inner, FixtureError> {
    let mut tried = 1;
    let inner = loop {
        match create(image, extra).await {
            Err(FixtureError::Engine { source, .. })
                if is_port_taken(&source.to_string()) && tried < MAX_PORTS_TRIED =>
            {
                tried += 1;
            }
            created => break created?,
        }
    };
    if let Err(error) = inner.answers().await {
        remove(Arc::new(inner)).await;
        return Err(error);
    }
    Ok(inner)
}

async fn create(image: &Image, extra: &[String]) -> Result<Inner, FixtureError> {
    let claim = Claim::new().map_err(FixtureError::io("find a free port"))?;
    let name = format!("redlock-quorum-test-{:016x}", rand::random::<u64>());
    let doing = format!("start container {name}");
    let started = within(doing.clone(), async {
        let request = request(image, extra, &name, claim.port());
        request.start().await.map_err(engine_error(doing))
    });
    let container = match started.await {
        Ok(container) => container,
        Err(error) => {
            // The engine keeps a container that was created and could not start.
            remove_by_name(&name).await;
            return Err(error);
        }
    };
    let host = match container.get_host().await {
        Ok(host) => host.to_string(),
        Err(error) => return Err(engine_error("ask where containers can be reached")(error)),
    };
    let host = if host == "localhost" { "127.0.0.1" } else { &host };
    Ok(Inner { address: format!("{host}:{}", claim.port()), container, _claim: claim })
}

fn request(
    image: &Image,
    extra: &[String],
    name: &str,
    port: u16,
) -> ContainerRequest<GenericImage> {
    let command = ["redis-server", "--save", "", "--appendonly", "no"]
        .into_iter()
        .chain(["--protected-mode", "no"])
        .map(str::to_owned)
        .chain(extra.iter().cloned());
    let is_local = engine::is_local();
    image
        .request()
        .with_cmd(command)
        .with_container_name(name)
        .with_label(LABEL.0, LABEL.1)
        .with_mapped_port(port, SERVER_PORT.tcp())
        .with_startup_timeout(STEP_LIMIT)
        .with_host_config_modifier(move |host| {
            let bindings = host.port_bindings.iter_mut();
            for binding in bindings.flat_map(|map| map.values_mut()).flatten().flatten() {
                // The server has no password, so it stays off the network if possible.
                binding.host_ip = is_local.then(|| "127.0.0.1".to_owned());
            }
        })
}

/// Removes the container. If a step is still going on, the end of that removes it.
pub(super) async fn remove(inner: Arc<Inner>) {
    if let Some(inner) = Arc::into_inner(inner) {
        let _ = timeout(STEP_LIMIT, inner.container.rm()).await;
    }
}

async fn remove_by_name(name: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
    if let Ok(engine) = docker().await {
        let removing = engine.remove_container(name, Some(options.build()));
        let _ = timeout(STEP_LIMIT, removing).await;
    }
}

fn is_port_taken(text: &str) -> bool {
    text.contains("port is already allocated") || text.contains("address already in use")
}
