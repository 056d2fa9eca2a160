//! Nodes that are containers. No container is ever touched that was not created here,
//! and none is left behind, even if a start failed or was dropped.

mod engine;
mod server;

use std::future::Future;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

pub(super) use self::engine::{Image, image};
use self::engine::{STEP_LIMIT, engine_error, on_worker, within, worker};
use self::server::{Inner, State, remove, start_one};
use super::FixtureError;

/// One node: a container with a fixed port, which stays the same over its restarts.
#[derive(Debug)]
pub(super) struct ContainerNode {
    address: String,
    inner: Option<Arc<Inner>>,
    removal: Mutex<Option<Receiver<()>>>,
}

impl ContainerNode {
    pub(super) async fn start(image: Image, extra: Vec<String>) -> Result<Self, FixtureError> {
        let (answer, started) = oneshot::channel();
        let (done, end) = mpsc::channel();
        worker()?.handle.spawn(async move {
            let started = start_one(&image, &extra).await.map(Self::of);
            if let Err(Ok(mut unheard)) = answer.send(started)
                && let Some(inner) = unheard.inner.take()
            {
                remove(inner).await;
            }
            let _ = done.send(());
        });
        let starting = Starting { answer: Some(started), end };
        starting.finish().await
    }

    fn of(inner: Inner) -> Self {
        Self {
            address: inner.address.clone(),
            inner: Some(Arc::new(inner)),
            removal: Mutex::new(None),
        }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) async fn pause(&self) -> Result<(), FixtureError> {
        self.act("pause", |inner| async move {
            match inner.state().await? {
                State { running: false, .. } => Err(inner.not_running()),
                State { paused: true, .. } => Ok(()),
                _ => {
                    let paused = inner.container.pause().await;
                    paused.map_err(engine_error("pause a container"))
                }
            }
        })
        .await
    }

    pub(super) async fn resume(&self) -> Result<(), FixtureError> {
        self.act("unpause", |inner| async move {
            match inner.state().await? {
                State { running: false, .. } => Err(inner.not_running()),
                State { paused: false, .. } => Ok(()),
                _ => {
                    let resumed = inner.container.unpause().await;
                    resumed.map_err(engine_error("unpause a container"))
                }
            }
        })
        .await
    }

    pub(super) async fn kill(&self) -> Result<(), FixtureError> {
        self.act("kill", |inner| async move { inner.kill().await }).await
    }

    pub(super) async fn restart(&self) -> Result<(), FixtureError> {
        self.act("restart", |inner| async move {
            inner.kill().await?;
            let started = inner.container.start().await;
            started.map_err(engine_error("start a container again"))?;
            inner.answers().await
        })
        .await
    }

    async fn act<F>(
        &self,
        name: &str,
        step: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<(), FixtureError>
    where
        F: Future<Output = Result<(), FixtureError>> + Send + 'static,
    {
        let Some(inner) = self.inner.clone() else {
            return Err(FixtureError::NotRunning { address: self.address() });
        };
        let doing = format!("{name} the container of node {}", self.address);
        on_worker(within(doing, step(inner))).await?
    }

    /// Begins to remove the container; dropping the node waits for the end of that.
    pub(super) fn begin_removal(&mut self) {
        let (Some(inner), Ok(worker)) = (self.inner.take(), worker()) else {
            return;
        };
        let (done, removal) = mpsc::channel();
        worker.handle.spawn(async move {
            remove(inner).await;
            let _ = done.send(());
        });
        // The worker must not wait for itself.
        if thread::current().id() != worker.thread {
            let slot = self.removal.get_mut();
            *slot.unwrap_or_else(PoisonError::into_inner) = Some(removal);
        }
    }
}

impl Drop for ContainerNode {
    fn drop(&mut self) {
        self.begin_removal();
        let slot = self.removal.get_mut();
        if let Some(removal) = slot.unwrap_or_else(PoisonError::into_inner).take() {
            let _ = removal.recv_timeout(STEP_LIMIT);
        }
    }
}

/// A start on the worker. Dropping it waits until the worker has removed the node that
/// nobody will receive, since this process may end right after.
struct Starting {
    answer: Option<oneshot::Receiver<Result<ContainerNode, FixtureError>>>,
    end: Receiver<()>,
}

impl Starting {
    async fn finish(mut self) -> Result<ContainerNode, FixtureError> {
        let lost = || FixtureError::io("start a container")(std::io::ErrorKind::BrokenPipe.into());
        match &mut self.answer {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(lost())),
            None => Err(lost()),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        drop(self.answer.take());
        let _ = self.end.recv_timeout(STEP_LIMIT);
    }
}
