//! In-memory nodes: a small Redis inside this process, on a real loopback
//! port, so that every client and every fault goes the usual way. They are enough for
//! the lock and nothing else, and never replace a test against a server.

mod channels;
mod command;
mod flavor;
mod keys;
mod server;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(redlock_sim)]
pub use self::flavor::Flavor;
use self::server::Server;
#[cfg(redlock_sim)]
pub(crate) use self::store::Store;
use super::FixtureError;
use super::port::Claim;

/// One node: a port that stays, and a server that comes and goes.
#[derive(Debug)]
pub(crate) struct MemoryNode {
    claim: Claim,
    server: Mutex<Option<Server>>,
}

impl MemoryNode {
    pub(crate) fn start() -> Result<Self, FixtureError> {
        let claim = Claim::new().map_err(FixtureError::io("find a free port"))?;
        let server = Mutex::new(Some(serve(&claim)?));
        Ok(Self { claim, server })
    }

    pub(crate) fn address(&self) -> String {
        self.claim.socket().to_string()
    }

    pub(crate) fn set_paused(&self, paused: bool) -> Result<(), FixtureError> {
        match &*self.server() {
            Some(server) => {
                server.set_paused(paused);
                Ok(())
            }
            None => Err(FixtureError::NotRunning { address: self.address() }),
        }
    }

    pub(crate) fn kill(&self) {
        // Dropping the server stops it.
        self.server().take();
    }

    pub(crate) fn restart(&self) -> Result<(), FixtureError> {
        let mut server = self.server();
        server.take();
        *server = Some(serve(&self.claim)?);
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(claim: &Claim) -> Result<Server, FixtureError> {
    let socket = claim.socket();
    Server::start(socket).map_err(|error| FixtureError::Start {
        address: socket.to_string(),
        reason: error.to_string(),
    })
}
