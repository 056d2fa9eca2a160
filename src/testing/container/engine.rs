//! The container engine: where it is, whether it has the image, and the thread
//! that talks to it. No wait for the engine is ever without a limit.
//!
//! Everything that concerns containers runs on one thread with a runtime of its own, so
//! that they are removed even if the test's runtime is gone, stands still in virtual
//! time, or drops a future halfway.

use std::env;
use std::error::Error;
use std::future::{self, Future};
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerRequest, GenericImage};
use tokio::runtime::{Builder, Handle};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::testing::FixtureError;

/// The limit for one request to the engine, however slow it is today.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(60);
const PING_LIMIT: Duration = Duration::from_secs(2);
const WORKING: &str = "run the thread for containers";
const DEFAULT_IMAGE: &str = "redis:7.4-alpine";

/// An image that the engine has.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    name: String,
    tag: String,
    /// The image's name, for people.
    pub(crate) label: String,
}

/// The image, which the engine is asked for once in each process. The error says why
/// there is none.
pub(crate) async fn image(pull_limit: Duration) -> Result<Image, String> {
    static FOUND: OnceCell<Result<Image, String>> = OnceCell::const_new();
    FOUND
        .get_or_init(|| async move {
            on_worker(look(pull_limit)).await.unwrap_or_else(|error| Err(error.to_string()))
        })
        .await
        .clone()
}

async fn look(pull_limit: Duration) -> Result<Image, String> {
    let engine = match timeout(PING_LIMIT, ping()).await {
        Ok(Ok(engine)) => engine,
        Ok(Err(error)) => {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            return Err(format!("no container engine answered ({why})"));
        }
        Err(_) => {
            return Err(format!("no container engine answered within {PING_LIMIT:?}"));
        }
    };
    let image = named_image();
    if engine.inspect_image(&image.full_name()).await.is_ok() {
        return Ok(image);
    }
    match timeout(pull_limit, image.request().pull_image()).await {
        Ok(Ok(_)) => Ok(image),
        Ok(Err(error)) => Err(image.missing(&error.to_string())),
        Err(_) => Err(image.missing(&format!("no end within {pull_limit:?}"))),
    }
}

async fn ping() -> Result<Docker, FixtureError> {
    let engine = docker().await?;
    engine.ping().await.map_err(engine_error("ping"))?;
    Ok(engine)
}

fn named_image() -> Image {
    let full = env::var("REDLOCK_TEST_IMAGE")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| DEFAULT_IMAGE.to_owned());
    // A colon before a slash belongs to a registry's port.
    let (name, tag) =
        full.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((&full, "latest"));
    Image { name: name.to_owned(), tag: tag.to_owned(), label: format!("image {full}") }
}

impl Image {
    fn full_name(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    pub(super) fn request(&self) -> ContainerRequest<GenericImage> {
        GenericImage::new(&self.name, &self.tag).into()
    }

    fn missing(&self, why: &str) -> String {
        let name = self.full_name();
        format!(
            "the container engine has no image {name} (REDLOCK_TEST_IMAGE may name another) and \
             cannot pull it: {why}"
        )
    }
}

pub(super) async fn docker() -> Result<Docker, FixtureError> {
    docker_client_instance().await.map_err(engine_error("find the container engine"))
}

/// Whether the engine's loopback is ours: it is not if the engine is on another machine,
/// or outside of a container that we are in.
pub(super) fn is_local() -> bool {
    let remote = env::var("DOCKER_HOST").is_ok_and(|host| !host.starts_with("unix:"));
    !remote && !Path::new("/.dockerenv").exists()
}

pub(super) fn engine_error<E>(doing: impl Into<String>) -> impl FnOnce(E) -> FixtureError
where
    E: Error + Send + Sync + 'static,
{
    let doing = doing.into();
    move |error| FixtureError::Engine { doing, source: Box::new(error) }
}

pub(super) async fn within<T>(
    doing: String,
    step: impl Future<Output = Result<T, FixtureError>>,
) -> Result<T, FixtureError> {
    timeout(STEP_LIMIT, step)
        .await
        .unwrap_or(Err(FixtureError::Timeout { doing, limit: STEP_LIMIT }))
}

/// The thread for containers.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) handle: Handle,
    pub(super) thread: ThreadId,
}

/// Runs a step on the worker, to its end even if nobody waits for it.
pub(super) async fn on_worker<T: Send + 'static>(
    step: impl Future<Output = T> + Send + 'static,
) -> Result<T, FixtureError> {
    let step = worker()?.handle.spawn(step);
    step.await.map_err(|failure| FixtureError::io(WORKING)(failure.into()))
}

pub(super) fn worker() -> Result<&'static Worker, FixtureError> {
    static WORKER: OnceLock<Result<Worker, String>> = OnceLock::new();
    WORKER
        .get_or_init(|| start_worker().map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|reason| FixtureError::io(WORKING)(io::Error::other(reason.clone())))
}

fn start_worker() -> io::Result<Worker> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let running = thread::Builder::new()
        .name("redlock-quorum-containers".to_owned())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    Ok(Worker { handle, thread: running.thread().id() })
}
