//! How the program is asked to end.

use std::io;

/// A request to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    /// What a shell reports of a program that such a signal ended.
    pub(crate) code: i32,
}

const INTERRUPT: Asked = Asked { name: "SIGINT", code: 130 };

/// Listens from the moment it is there.
#[cfg(unix)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked { name: "SIGTERM", code: 143 },
            _ = self.interrupt.recv() => INTERRUPT,
        }
    }
}

/// Listens from the moment it is there.
#[cfg(windows)]
pub(crate) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Asked {
        self.0.recv().await;
        INTERRUPT
    }
}
