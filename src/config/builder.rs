//! The settings as a user gives them, their defaults, and the checks that make a
//! [`Config`] of them. Does no I/O of its own.

use std::{sync::Arc, time::Duration};

use super::{Config, check_ttl, invalid};
use crate::{
    client::Redlock,
    error::Error,
    key::MAX_KEY_BYTES,
    node::Endpoint,
    protocol::{Backoff, Drift, MAX_NODES, Quorum, Ttl},
    tls,
    world::{System, World},
};

/// The ttl that is used where none is asked for, as in the Redlock page's
/// examples and most libraries.
const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// The longest ttl unless the builder says otherwise. A crashed holder blocks
/// everyone for a ttl, so an hour is already a decision.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(3600);

/// The longest node timeout that may be set. A connection that answers nothing
/// for 10 s is given up, and no one should wait for it until then.
const MAX_NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// Default ceilings of the first and of later delays between attempts. The
/// first is a few round trips, so that split votes part quickly; the last is
/// the reference algorithm's.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// How many tasks of one client may stand in line for one lock, unless the
/// builder says otherwise: as many as may wait for anything at all.
const MAX_WAITERS: usize = 65_536;

/// How often in a row a lock is handed on within one client, unless the builder
/// says otherwise: often enough that the release and acquire after it hardly
/// count, and over in a moment where holds are short.
const HAND_OVERS: u32 = 16;

/// The most that may be asked for. Each claim knows the next one, so this is
/// how long such a chain can be.
const MOST_HAND_OVERS: u32 = 1024;

/// Builds a [`Redlock`]. Nothing is checked and nothing connects before
/// [`Self::build`].
///
/// | setting | default |
/// |---|---|
/// | `tls` | the system's trust, no certificate of ours |
/// | [`ttl`](Self::ttl) | 10 s |
/// | [`max_ttl`](Self::max_ttl) | 1 h |
/// | [`quorum`](Self::quorum) | more than half of the nodes |
/// | [`node_timeout`](Self::node_timeout) | a tenth of the lock's ttl, from 5 to 200 ms |
/// | [`drift_per_mille`](Self::drift_per_mille) | 10 (1 %), and always 2 ms more |
/// | [`retry_delay`](Self::retry_delay) | random up to 10 ms, doubling to 200 ms |
/// | [`max_waiters`](Self::max_waiters) | 65 536 for one lock |
/// | [`hand_overs`](Self::hand_overs) | 16 in a row |
/// | [`key_prefix`](Self::key_prefix) | none |
/// | [`driver_thread`](Self::driver_thread) | no |
#[must_use = "nothing is built before `build`"]
#[derive(Debug)]
pub struct Builder {
    endpoints: Vec<Result<Endpoint, Error>>,
    tls: Option<tls::Tls>,
    ttl: Duration,
    max_ttl: Duration,
    quorum: Option<usize>,
    node_timeout: Option<Duration>,
    drift_per_mille: u32,
    retry_delay: (Duration, Duration),
    max_waiters: usize,
    hand_overs: u32,
    key_prefix: Vec<u8>,
    driver_thread: bool,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            tls: None,
            ttl: DEFAULT_TTL,
            max_ttl: DEFAULT_MAX_TTL,
            quorum: None,
            node_timeout: None,
            drift_per_mille: Drift::DEFAULT_PER_MILLE,
            retry_delay: RETRY_DELAY,
            max_waiters: MAX_WAITERS,
            hand_overs: HAND_OVERS,
            key_prefix: Vec::new(),
            driver_thread: false,
        }
    }

    /// Adds nodes by URL: `redis://[user:password@]host[:port][/db]`, `rediss://`
    /// for TLS (feature `tls`), or `unix:///path[?db=1&user=bob&pass=secret]`. Each must be a master of its own, with no replication
    /// between them. URLs are not kept.
    pub fn nodes<I>(mut self, urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for url in urls {
            let place = self.endpoints.len().saturating_add(1);
            self.endpoints.push(Endpoint::from_url(url.as_ref(), place));
        }
        self
    }

    pub(crate) fn clients(mut self, clients: impl IntoIterator<Item = redis::Client>) -> Self {
        for client in clients {
            let place = self.endpoints.len().saturating_add(1);
            self.endpoints.push(Endpoint::from_info(client.get_connection_info(), place));
        }
        self
    }

    /// How to speak TLS with the nodes whose URLs begin with `rediss://`. Not
    /// needed where the system trusts their certificates and they want none of
    /// ours.
    ///
    /// [`Self::build`] refuses it where no node wants TLS.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: tls::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long a lock is held where its acquire does not say: whole
    /// milliseconds, at least 10 ms.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The longest ttl that an acquire or an extend may ask for; itself at most
    /// thirty days.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = ttl;
        self
    }

    /// How many nodes must grant. More than the default survives nodes that
    /// lose their memory; fewer is refused, since two clients could hold.
    pub fn quorum(mut self, votes: usize) -> Self {
        self.quorum = Some(votes);
        self
    }

    /// How long one node may take over one request, all included: connecting,
    /// queueing, writing, answering. From 1 ms to 5 s.
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = Some(timeout);
        self
    }

    /// By how many thousandths the clocks of client and servers may differ in
    /// rate. That share of the ttl, and 2 ms, is never counted as held.
    pub fn drift_per_mille(mut self, per_mille: u32) -> Self {
        self.drift_per_mille = per_mille;
        self
    }

    /// How long to wait between attempts: at random up to `first`, then up to
    /// twice that, and so on up to `most`. Who is told of releases tries when
    /// one is told of, and at the latest after `most`.
    pub fn retry_delay(mut self, first: Duration, most: Duration) -> Self {
        self.retry_delay = (first, most);
        self
    }

    /// How many tasks of this client may stand in line for one lock, besides
    /// those that have it or ask the nodes for it. More are refused with [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn max_waiters(mut self, most: usize) -> Self {
        self.max_waiters = most;
        self
    }

    /// How many times in a row a lock that is released goes straight to the
    /// next task of this client that waits for it, in one round trip instead
    /// of two. Then it is released to all, so that other clients are not kept
    /// out. Zero: it is always released to all. At most 1024.
    ///
    /// The key and its token stay as they are: they are the next holder's, and
    /// the one before has nothing any more. Not handed on is an adopted lock,
    /// one whose time is nearly over, and one whose key would outlive what the
    /// next task asked for.
    pub fn hand_overs(mut self, most: u32) -> Self {
        self.hand_overs = most;
        self
    }

    /// What to put before every key on the servers. Clients meet on the same
    /// key only if prefix and key together are the same bytes.
    pub fn key_prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Runs the driver on a thread of its own instead of on the runtime the
    /// client is built in. It then works on while that runtime is blocked or
    /// ends, and is faster under load and slower for a single task. A client
    /// that is built outside any tokio runtime always gets one.
    pub fn driver_thread(mut self) -> Self {
        self.driver_thread = true;
        self
    }

    /// Checks the settings and starts the client. Does no I/O, but that it reads
    /// whom the system trusts where a node wants TLS: the nodes are connected
    /// to at the first lock, so a minority may be down.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) says which setting can't work and what to
    /// change; [`ErrorKind::Closed`](crate::ErrorKind::Closed) if the driver's thread can't be started.
    pub fn build(self) -> Result<Redlock, Error> {
        let driver_thread = self.driver_thread;
        Redlock::start(self.check_in(Arc::new(System))?, driver_thread)
    }

    pub(crate) fn check_in(self, world: Arc<dyn World>) -> Result<Config, Error> {
        let mut endpoints = self.endpoints.into_iter().collect::<Result<Vec<_>, _>>()?;
        tls::secure(self.tls, &mut endpoints)?;
        let endpoints: Vec<_> = endpoints.into_iter().map(Arc::new).collect();
        let quorum = check_nodes(&endpoints, self.quorum)?;

        let max_ttl = check_ttl("max_ttl", self.max_ttl, LONGEST_TTL)?;
        let ttl = check_ttl("the ttl", self.ttl, max_ttl)?;
        let drift = Drift::per_mille(self.drift_per_mille).ok_or_else(|| {
            invalid(format!(
                "drift_per_mille is {}: it must be under {}",
                self.drift_per_mille,
                Drift::LIMIT_PER_MILLE
            ))
        })?;
        let least = Duration::from_millis(1);
        if let Some(timeout) = self.node_timeout
            && !(least..=MAX_NODE_TIMEOUT).contains(&timeout)
        {
            return Err(invalid(format!(
                "node_timeout is {timeout:?}: it must be from {least:?} to {MAX_NODE_TIMEOUT:?}"
            )));
        }
        let (first, most) = self.retry_delay;
        if first < least || most < first {
            return Err(invalid(format!(
                "retry_delay is {first:?} to {most:?}: the first must be at least {least:?} and \
                 not above the second"
            )));
        }
        if self.hand_overs > MOST_HAND_OVERS {
            return Err(invalid(format!(
                "hand_overs is {}: it must be at most {MOST_HAND_OVERS}",
                self.hand_overs
            )));
        }
        if self.key_prefix.len() >= MAX_KEY_BYTES {
            return Err(invalid(format!("key_prefix must be under {MAX_KEY_BYTES} bytes")));
        }
        Ok(Config {
            endpoints,
            quorum,
            retry: Backoff::new(first, most),
            prefix: self.key_prefix,
            ttl,
            max_waiters: self.max_waiters,
            hand_overs: self.hand_overs,
            max_ttl,
            drift,
            node_timeout: self.node_timeout,
            world,
        })
    }
}

/// Thirty days: above it lies no lock, only a mistaken unit.
const LONGEST_TTL: Ttl = Ttl::from_millis(30 * 24 * 3600 * 1000);

fn check_nodes(endpoints: &[Arc<Endpoint>], votes: Option<usize>) -> Result<Quorum, Error> {
    let nodes = endpoints.len();
    if nodes == 0 {
        return Err(invalid("there are no nodes: name one, or better three or five"));
    }
    if nodes > MAX_NODES {
        return Err(invalid(format!("there are {nodes} nodes: at most {MAX_NODES} are possible")));
    }
    for (place, endpoint) in endpoints.iter().enumerate() {
        if endpoints.iter().take(place).any(|other| other.label() == endpoint.label()) {
            return Err(invalid(format!(
                "{} is listed twice: one server has one vote, list each once",
                endpoint.label()
            )));
        }
    }
    if nodes.is_multiple_of(2) {
        tracing::warn!(
            nodes,
            "an even number of lock nodes survives no more failures than one node fewer"
        );
    }
    let majority = Quorum::majority(nodes);
    let votes = votes.unwrap_or(majority);
    Quorum::new(nodes, votes).ok_or_else(|| {
        invalid(format!(
            "a quorum of {votes} of {nodes} nodes: it must be from {majority} to {nodes}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn config(builder: Builder) -> Result<Config, Error> {
        builder.check_in(Arc::new(System))
    }

    #[test]
    fn every_setting_that_cannot_work_is_refused_with_what_to_change() {
        let ms = Duration::from_millis;
        let one = || Builder::new().nodes(["redis://a"]);
        let five = || Builder::new().nodes((1..=5).map(|n| format!("redis://n{n}")));
        for (builder, word) in [
            (Builder::new(), "no nodes"),
            (one().nodes(["redis://A:6379"]), "listed twice"),
            (one().nodes(["redis://a:6379/1"]), "listed twice"),
            (one().nodes(["nonsense"]), "node 2"),
            (five().quorum(2), "from 3 to 5"),
            (five().quorum(6), "from 3 to 5"),
            (one().ttl(ms(0)), "from 10ms"),
            (one().ttl(Duration::from_micros(9_999)), "from 10ms"),
            (one().ttl(Duration::from_secs(3601)), "to 3600s"),
            (one().max_ttl(Duration::MAX), "max_ttl"),
            (one().drift_per_mille(1000), "under 1000"),
            (one().node_timeout(ms(0)), "node_timeout"),
            (one().node_timeout(ms(5001)), "node_timeout"),
            (one().retry_delay(ms(0), ms(9)), "retry_delay"),
            (one().retry_delay(ms(9), ms(8)), "retry_delay"),
            (one().hand_overs(1025), "at most 1024"),
            (one().key_prefix([b'p'; 1024]), "key_prefix"),
            (Builder::new().nodes((0..65).map(|n| format!("redis://n{n}"))), "at most 64"),
        ] {
            let error = config(builder).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(word), "{error}");
        }
        assert_eq!(config(five()).unwrap().quorum.votes(), 3);
        assert!(config(five().quorum(5)).is_ok());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_the_feature_tls_is_refused_by_its_name() {
        let error = config(Builder::new().nodes(["redis://a", "rediss://b"])).unwrap_err();
        assert!(error.to_string().contains("node 2"), "{error}");
        assert!(error.to_string().contains("feature `tls`"), "{error}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn settings_for_tls_without_a_node_that_wants_it_are_refused() {
        let builder = || Builder::new().nodes(["redis://a"]).tls(crate::Tls::new());
        let error = config(builder()).unwrap_err();
        assert!(error.to_string().contains("in the clear"), "{error}");
        let mixed = config(builder().nodes(["rediss://b"])).unwrap();
        let secured = mixed.endpoints.iter().map(|endpoint| endpoint.session.is_some());
        assert_eq!(secured.collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_builder_shows_no_secret() {
        let builder = Builder::new().nodes(["redis://:s3cret@a", "redis//:s3cret@"]);
        assert!(!format!("{builder:?}").contains("s3cret"));
    }
}
