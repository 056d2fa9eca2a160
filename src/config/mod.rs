//! The settings that a client runs by. The [`Builder`] checks them once, and they
//! can't be wrong later.

mod builder;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use builder::Builder;

use crate::{
    error::{Error, ErrorKind},
    exchange::Fence,
    node::{Endpoint, Peers},
    protocol::{Backoff, Drift, Lease, Moment, NodeId, Number, Quorum, Ttl},
    spelled::Exact,
    world::World,
};

/// The bounds of the default node timeout, which is a tenth of the ttl: under 5 ms a
/// healthy node in the next building fails, and over 200 ms no caller waits gladly.
const NODE_TIMEOUT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Valid settings.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) quorum: Quorum,
    pub(crate) retry: Backoff,
    pub(crate) prefix: Vec<u8>,
    pub(crate) ttl: Ttl,
    pub(crate) max_waiters: usize,
    pub(crate) hand_overs: u32,
    pub(crate) share_with_pollers: bool,
    max_ttl: Ttl,
    drift: Drift,
    node_timeout: Option<Duration>,
    pub(crate) world: Arc<dyn World>,
}

impl Config {
    /// `span` as a ttl with the default grace, if it is within bounds.
    pub(crate) fn ttl_from(&self, span: Duration) -> Result<Ttl, Error> {
        check_grace("the ttl", span, self.ttl.grace_duration(), self.max_ttl, self.drift)
    }

    /// `ttl` with as much of the default grace as the longest ttl has room for.
    pub(crate) fn with_default_grace(&self, ttl: Ttl) -> Ttl {
        let room = self.max_ttl.as_millis().saturating_sub(ttl.as_millis());
        ttl.with_grace(self.ttl.grace().min(room))
    }

    /// `span` as a ttl with this grace, if it is within bounds.
    pub(crate) fn ttl_with(&self, span: Duration, grace: Duration) -> Result<Ttl, Error> {
        check_grace("the ttl", span, grace, self.max_ttl, self.drift)
    }

    /// Whether the nodes are strict.
    pub(crate) fn is_strict(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.strict.is_some())
    }

    pub(crate) const fn max_ttl(&self) -> Ttl {
        self.max_ttl
    }

    /// The time by which no server holds a key that another process took, if it says
    /// that `left` is left. What it has taken off for drift is unknown, and is at most
    /// the drift of the longest ttl.
    pub(crate) fn gone_by(&self, now: Moment, left: Duration) -> Moment {
        let drift = self.drift.of(self.max_ttl.as_duration());
        let grace = self.ttl.grace_duration();
        now.after(left).after(grace).after(drift).after(self.node_timeout(self.max_ttl))
    }

    /// How long one node may take over one request for a lock of `ttl`.
    pub(crate) fn node_timeout(&self, ttl: Ttl) -> Duration {
        let (least, most) = NODE_TIMEOUT;
        let tenth = (ttl.as_duration() / 10).clamp(least, most);
        self.node_timeout.unwrap_or(tenth)
    }

    /// How long a release of a lock of `ttl` may take for its caller. At least as
    /// long as for the default ttl: a short lock may have been extended since.
    pub(crate) fn release_timeout(&self, ttl: Ttl) -> Duration {
        self.node_timeout(ttl.max(self.ttl))
    }

    /// Each node by the name that errors call it.
    pub(crate) fn node_names(&self) -> impl Iterator<Item = (NodeId, &Arc<str>)> {
        let names = self.endpoints.iter().map(|endpoint| endpoint.label());
        NodeId::all(self.endpoints.len()).zip(names)
    }

    /// The name of one node.
    pub(crate) fn node_name(&self, node: NodeId) -> Option<&Arc<str>> {
        self.endpoints.get(node.index()).map(|endpoint| endpoint.label())
    }

    /// A fencing number as nodes are told it. They remember it for a day longer than any lock
    /// lives: by then the wall clock has passed the last number, unless a clock was far ahead.
    pub(crate) fn fence(&self, number: Number) -> Fence {
        const DAY: u64 = 24 * 3_600 * 1_000;
        Fence { number, retention: DAY.saturating_add(self.max_ttl.as_millis().into()) }
    }

    /// The microseconds since 1970 that the wall clock says.
    pub(crate) fn wall_micros(&self) -> u64 {
        let since = self.world.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// The lease that a round from `start` gives if it is won.
    pub(crate) fn lease(&self, start: Moment, ttl: Ttl) -> Lease {
        Lease::new(start, ttl, self.drift, self.node_timeout(ttl))
    }
}

fn check_ttl(what: &str, span: Duration, max: Ttl) -> Result<Ttl, Error> {
    let ttl = Ttl::from_duration(span);
    if (Ttl::MIN..=max).contains(&ttl) {
        return Ok(ttl);
    }
    let (min, max) = (Ttl::MIN.as_duration(), max.as_duration());
    let (span, min, max) = (Exact(span), Exact(min), Exact(max));
    Err(invalid(format!("{what} is {span}: it must be from {min} to {max}")))
}

/// A ttl with a grace, which the longest ttl counts, too.
fn check_grace(
    what: &str,
    span: Duration,
    grace: Duration,
    max: Ttl,
    drift: Drift,
) -> Result<Ttl, Error> {
    let ttl = check_ttl(what, span, max)?;
    let refuse = |why: &str| {
        let (span, grace) = (Exact(span), Exact(grace));
        Err(invalid(format!("{what} is {span} and the grace {grace}: {why}")))
    };
    // It is rounded up, since it is a promise to others.
    let millis = grace.as_nanos().div_ceil(1_000_000);
    let room = max.as_millis().saturating_sub(ttl.as_millis());
    let Some(millis) = u32::try_from(millis).ok().filter(|millis| *millis <= room) else {
        let most = Exact(max.as_duration());
        return refuse(&format!("together they must be at most {most}, the longest ttl"));
    };
    let with_grace = ttl.with_grace(millis);
    let loss = drift.of(Duration::from_millis(with_grace.of_key().into()));
    if millis > 0 && loss >= ttl.as_duration() {
        let loss = Exact(loss);
        return refuse(&format!(
            "the drift of both together, {loss}, leaves nothing of the ttl: take a longer one, or a \
             shorter grace"
        ));
    }
    Ok(with_grace)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(builder: Builder) -> Result<Config, Error> {
        builder.check()
    }

    #[test]
    fn the_node_timeout_is_a_tenth_of_the_ttl_within_bounds() {
        let built = config(Builder::new().nodes(["redis://a"])).unwrap();
        for (ttl, timeout) in [(10, 5), (60, 6), (1_000, 100), (10_000, 200)] {
            let ttl = built.ttl_from(Duration::from_millis(ttl)).unwrap();
            assert_eq!(built.node_timeout(ttl), Duration::from_millis(timeout));
        }
        let built = Builder::new().nodes(["redis://a"]).node_timeout(Duration::from_millis(3));
        assert_eq!(config(built).unwrap().node_timeout(Ttl::MIN), Duration::from_millis(3));
    }
}
