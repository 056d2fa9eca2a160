//! The checks that make a [`Config`] of a builder's settings. Nothing is connected
//! to here.

use std::{sync::Arc, time::Duration};

use super::Builder;
use crate::{
    config::{Config, check_grace, check_ttl, invalid},
    error::Error,
    key::MAX_KEY_BYTES,
    mutant::{self, Mutant},
    node::{self, Endpoint, Peers},
    protocol::{Backoff, Drift, MAX_NODES, Quorum, Ttl},
    spelled::Exact,
    tls,
};

/// The longest node timeout that may be set. The client gives up a connection that
/// answers nothing for 10 s, and no caller should wait that long.
const MAX_NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most hand-overs in a row. Each claim holds the next one, so this is the length
/// of the longest chain of claims.
const MOST_HAND_OVERS: u32 = 1024;

/// Thirty days: anything longer is a mistaken unit.
const LONGEST_TTL: Ttl = Ttl::from_millis(30 * 24 * 3600 * 1000);

impl Builder {
    pub(crate) fn check(self) -> Result<Config, Error> {
        let mut endpoints = self.endpoints.into_iter().collect::<Result<Vec<_>, _>>()?;
        tls::secure(self.tls, &mut endpoints)?;
        let max_ttl = check_ttl("max_ttl", self.max_ttl, LONGEST_TTL)?;
        let peers = Arc::new(Peers::default());
        for endpoint in &mut endpoints {
            endpoint.probe = node::probe_key(&self.key_prefix);
            endpoint.longest_ttl = max_ttl.as_duration();
            // Strict nodes have their quarantine.
            endpoint.delays_restarts = self.delayed_restarts && !self.strict;
            endpoint.peers = Arc::clone(&peers);
        }
        let quorum = check_nodes(&endpoints, self.quorum)?;
        if self.strict {
            let (votes, nodes) = (quorum.votes(), quorum.nodes());
            let longest = quarantine(max_ttl, self.grace);
            endpoints.iter_mut().for_each(|endpoint| endpoint.be_strict(longest, votes, nodes));
        }
        let endpoints: Vec<_> = endpoints.into_iter().map(Arc::new).collect();

        let drift = Drift::per_mille(self.drift_per_mille).ok_or_else(|| {
            invalid(format!(
                "drift_per_mille is {}: it must be under {}",
                self.drift_per_mille,
                Drift::LIMIT_PER_MILLE
            ))
        })?;
        let ttl = check_grace("the default ttl", self.ttl, self.grace, max_ttl, drift)?;
        let (least, shortest) = (Duration::from_millis(1), "1ms");
        if let Some(timeout) = self.node_timeout
            && !(least..=MAX_NODE_TIMEOUT).contains(&timeout)
        {
            return Err(invalid(format!(
                "node_timeout is {}: it must be from {shortest} to {}",
                Exact(timeout),
                Exact(MAX_NODE_TIMEOUT)
            )));
        }
        let (first, most) = self.retry_delay;
        if first < least || most < first {
            return Err(invalid(format!(
                "retry_delay is {} to {}: the first must be at least {shortest} and not above the \
                 second",
                Exact(first),
                Exact(most)
            )));
        }
        if self.hand_overs > MOST_HAND_OVERS {
            return Err(invalid(format!(
                "hand_overs is {}: it must be at most {MOST_HAND_OVERS}",
                self.hand_overs
            )));
        }
        // A reserved key comes behind it, and the names of locks.
        let longest = MAX_KEY_BYTES - node::PROBE.len();
        if self.key_prefix.len() > longest {
            return Err(invalid(format!("key_prefix must be at most {longest} bytes")));
        }
        Ok(Config {
            endpoints,
            peers,
            quorum,
            retry: Backoff::new(first, most),
            prefix: self.key_prefix,
            ttl,
            max_waiters: self.max_waiters,
            hand_overs: self.hand_overs,
            share_with_pollers: self.share_with_pollers,
            max_ttl,
            drift,
            node_timeout: self.node_timeout,
            world: self.world,
        })
    }
}

/// How long a node that has forgotten grants nothing.
fn quarantine(max_ttl: Ttl, grace: Duration) -> Ttl {
    if mutant::is(Mutant::QuarantineWithoutGrace) {
        return Ttl::from_duration(max_ttl.as_duration().saturating_sub(grace));
    }
    max_ttl
}

fn check_nodes(endpoints: &[Endpoint], votes: Option<usize>) -> Result<Quorum, Error> {
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
        builder.check()
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
            (one().ttl(Duration::from_secs(3601)), "to 1h"),
            (one().strict(ms(4_000)), "the default ttl is 10s: it must be from 10ms to 4s"),
            (one().grace(Duration::from_secs(3591)), "together they must be at most 1h"),
            (one().ttl(ms(100)).grace(ms(20_000)), "leaves nothing of the ttl"),
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
