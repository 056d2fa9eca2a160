//! The signals that ask the program to end. Once listened for, none of
//! them ends it by itself.

use std::io;

/// A request to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    /// The status that a shell reports of a program that this signal ended.
    pub(crate) code: i32,
}

const INTERRUPT: Asked = Asked { name: "SIGINT", code: 130 };

/// The signals, which are listened for from the moment this is made.
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

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked { name: "SIGTERM", code: 143 },
            _ = self.interrupt.recv() => INTERRUPT,
        }
    }
}

/// The signals, which are listened for from the moment this is made.
#[cfg(windows)]
pub(crate) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        self.0.recv().await;
        INTERRUPT
    }
}
