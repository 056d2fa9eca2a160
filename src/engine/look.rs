//! Looking at a key or at the nodes, which changes nothing.

use std::sync::Arc;

use super::{
    Engine, LookRequest, Time,
    op::{Head, Kind, Looking},
};
use crate::{
    claim::Claim,
    config::Config,
    key::Key,
    protocol::{Moment, NodeSet, Ttl},
    token::Token,
};

impl Engine {
    pub(super) fn begin_look(&mut self, request: LookRequest, now: Moment) {
        let LookRequest { ask, key, reply } = request;
        let (ttl, nodes) = (self.config.ttl, self.config.quorum.nodes());
        let claim = carrier(key, ttl, &self.config, now);
        let head = Head::new(claim, ttl, now, now.after(self.config.node_timeout(ttl)));
        let looking = Looking::new(ask, nodes, reply);
        let time = Time { clock: now, now };
        self.start(head, Kind::Looking(looking), NodeSet::first(nodes), time);
    }
}

/// Not a real claim: it only carries the key.
pub(super) fn carrier(key: Key, ttl: Ttl, config: &Config, now: Moment) -> Arc<Claim> {
    let nodes = config.quorum.nodes();
    Arc::new(Claim::new(key, Token::NONE, ttl, config.lease(now, ttl), nodes))
}
