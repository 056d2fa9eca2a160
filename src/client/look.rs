//! Looking at a key and at the nodes. Nothing here changes anything anywhere.

use super::Redlock;
use crate::{
    config::Config,
    engine::{LookRequest, Request},
    error::{Error, ErrorKind},
    exchange::{Answer, Ask, Seen},
    inspect::{Health, Inspection},
    key::Key,
    node,
};

impl Redlock {
    /// Looks at the lock named `key` on all nodes, and changes nothing. It takes as
    /// long as the slowest node, and at most one node timeout.
    ///
    /// It says what an acquire would meet at the key: a holder, or whatever else is there, which
    /// may be another library's lock or never expire. Whether the nodes would vote at all,
    /// [`Self::health`] says. The user in the node's URL needs no
    /// more rights than for a lock.
    ///
    /// This is for people and for monitoring: what it found may have changed
    /// before it returns. To decide who may act, acquire the lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`] if too few nodes answered
    /// to tell whether it is held, with what each node said.
    /// [`ErrorKind::InvalidConfig`] if `key` is
    /// empty or too long. Also [`Busy`](crate::ErrorKind::Busy) and
    /// [`Closed`](crate::ErrorKind::Closed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe: nothing is changed anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("orders:42").await?;
    /// let found = redlock.inspect("orders:42").await?;
    /// assert!(found.is_held());
    /// # drop(guard); Ok(()) }
    /// ```
    #[doc(alias("isLocked", "locked"))]
    pub async fn inspect(&self, key: impl AsRef<[u8]>) -> Result<Inspection, Error> {
        let config = &self.shared.config;
        let key = Key::new(&config.prefix, key.as_ref())?;
        Inspection::of(self.look(Ask::Look, key).await?, config)
    }

    /// Asks every node whether it serves: which answer, in what role, how quickly,
    /// and what is wrong with the others. It takes at most one node timeout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] and
    /// [`ErrorKind::Closed`]. A node that does not answer
    /// is no error, but part of the result.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is safe: nothing is changed anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let health = redlock.health().await?;
    /// for node in health.nodes() {
    ///     println!("{}: {:?}, {:?}", node.address(), node.latency(), node.error());
    /// }
    /// assert!(health.has_quorum());
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<Health, Error> {
        let probe = Key::new(&self.shared.config.prefix, node::PROBE)?;
        Ok(Health::of(self.look(Ask::Greet, probe).await?, &self.shared.config))
    }

    /// Says of new strict nodes that none has ever granted a lock, so that they grant at once, and
    /// not only after a [`max_ttl`](crate::Builder::strict) in quarantine. Nobody but a person can
    /// know that: nodes that have all lost their memory look the same. Say it once, before the
    /// first client comes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if the client is not strict, or if a node has an epoch already:
    /// it was used before, or a client has asked it first. [`ErrorKind::NoQuorum`] if a node does
    /// not answer, or can't note it. Nodes that have noted it by then grant locks at once, and the
    /// others `max_ttl` after they are first asked for one: calling it again is no cure.
    /// [`ErrorKind::Busy`] and [`ErrorKind::Closed`] as for [`Self::health`].
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, some nodes may have noted it and others not, which is as safe.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # use std::time::Duration;
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let urls = cluster.urls();
    /// let redlock = Redlock::builder().nodes(urls).strict(Duration::from_secs(60)).build()?;
    /// redlock.bootstrap().await?;
    /// let guard = redlock.try_lock("report").await?;
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    pub async fn bootstrap(&self) -> Result<(), Error> {
        let config = &self.shared.config;
        if !config.is_strict() {
            let message = "only strict nodes have an epoch: set `Builder::strict`";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        // Where one has an epoch, others may have forgotten theirs.
        let found = self.look(Ask::Value, Key::epoch()).await?;
        bootstrapped(&found, config, |answer| matches!(answer, Answer::Free))?;
        let noted = self.look(Ask::Bootstrap, Key::epoch()).await?;
        bootstrapped(&noted, config, |answer| matches!(answer, Answer::Granted))
    }

    async fn look(&self, ask: Ask, key: Key) -> Result<Seen, Error> {
        let look = |reply, queued| Request::Look(LookRequest { ask, key, reply }, queued);
        self.shared.call_if_room(look).await
    }
}

/// Whether all nodes have answered as `is_right` says; names one that has not.
fn bootstrapped(
    seen: &Seen,
    config: &Config,
    is_right: impl Fn(&Answer) -> bool,
) -> Result<(), Error> {
    for ((_, node), seen) in config.node_names().zip(seen) {
        let (kind, why) = match seen {
            Ok((answer, _)) if is_right(answer) => continue,
            Ok(_) => {
                let why = "it has an epoch already: it was used before, or a client has asked it \
                           for a lock. If none was ever granted, stop all clients, DEL \
                           redlock:epoch at all nodes, and call it again. If not, nodes that have \
                           forgotten theirs grant locks a max_ttl after they are first asked";
                (ErrorKind::InvalidConfig, why.to_owned())
            }
            Err(error) => (ErrorKind::NoQuorum, error.to_string()),
        };
        let message = format!("the nodes are not bootstrapped, for {node}: {why}");
        return Err(Error::new(kind, message));
    }
    Ok(())
}
