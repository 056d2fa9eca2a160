//! In-memory nodes: a small Redis inside this process, on a real loopback
//! port, so that every client and every fault goes the usual way. They are enough for
//! the lock and nothing else, and never replace a test against a server.

mod channels;
mod command;
mod epochs;
mod fences;
mod flavor;
mod inside;
mod keys;
mod script;
mod server;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(redlock_sim)]
pub use self::flavor::Flavor;
use self::inside::Inside;
use self::server::Server;
#[cfg(redlock_sim)]
pub(crate) use self::store::Store;
use super::port::Claim;
use super::{Clock, FixtureError};

/// One node: a port that stays, and a server that comes and goes.
#[derive(Debug)]
pub(crate) struct MemoryNode {
    claim: Claim,
    clock: Clock,
    server: Mutex<Option<Server>>,
}

impl MemoryNode {
    /// Starts one that lives by `clock`, whose clients may connect from inside.
    pub(crate) fn start(clock: Clock) -> Result<Arc<Self>, FixtureError> {
        let claim = Claim::new().map_err(FixtureError::io("find a free port"))?;
        let server = Mutex::new(Some(serve(&claim, &clock)?));
        let (at, node) = (claim.socket(), Arc::new(Self { claim, clock, server }));
        node.clock.add_node(at, &node);
        Ok(node)
    }

    /// A connection that is no socket's.
    pub(crate) fn connect(&self) -> io::Result<Inside> {
        let server = self.server();
        let server = server.as_ref().ok_or(io::ErrorKind::ConnectionRefused)?;
        server.connect().ok_or_else(|| io::ErrorKind::ConnectionReset.into())
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
        *server = Some(serve(&self.claim, &self.clock)?);
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(claim: &Claim, clock: &Clock) -> Result<Server, FixtureError> {
    let socket = claim.socket();
    Server::start(socket, clock.clone()).map_err(|error| FixtureError::Start {
        address: socket.to_string(),
        reason: error.to_string(),
    })
}
