//! The channels, and the connections that listen to them. A connection is just a number
//! here, and a message is never carried to one.

use std::collections::{BTreeMap, BTreeSet};

use crate::testing::Reply;

/// A connection, by the number that its owner gave it.
pub(crate) type ConnId = u64;

/// The channels of each connection, in order, so that the same calls always give the
/// same messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels(BTreeMap<ConnId, BTreeSet<Vec<u8>>>);

impl Channels {
    pub(super) fn subscribe(&mut self, conn: ConnId, channels: &[&[u8]]) -> Vec<Reply> {
        let listening = self.0.entry(conn).or_default();
        let subscribe = |channel: &&[u8]| {
            listening.insert(channel.to_vec());
            confirm("subscribe", Reply::bulk(channel), listening.len())
        };
        channels.iter().map(subscribe).collect()
    }

    /// Unsubscribes from the channels named, or from all if none is.
    pub(super) fn unsubscribe(&mut self, conn: ConnId, channels: &[&[u8]]) -> Vec<Reply> {
        let mut listening = self.0.remove(&conn).unwrap_or_default();
        if channels.is_empty() && listening.is_empty() {
            return vec![confirm("unsubscribe", Reply::Nil, 0)];
        }
        let named = match channels {
            [] => listening.iter().cloned().collect(),
            named => named.iter().map(|channel| channel.to_vec()).collect::<Vec<_>>(),
        };
        let unsubscribe = |channel: Vec<u8>| {
            listening.remove(&channel);
            confirm("unsubscribe", Reply::Bulk(channel), listening.len())
        };
        let replies = named.into_iter().map(unsubscribe).collect();
        if !listening.is_empty() {
            self.0.insert(conn, listening);
        }
        replies
    }

    pub(super) fn is_subscribed(&self, conn: ConnId) -> bool {
        self.0.contains_key(&conn)
    }

    /// The message for each connection that listens.
    pub(super) fn publish(&self, channel: &[u8], payload: &[u8]) -> Vec<(ConnId, Reply)> {
        let message =
            Reply::Array(vec![Reply::bulk(b"message"), Reply::bulk(channel), Reply::bulk(payload)]);
        let listening = self.0.iter().filter(|(_, channels)| channels.contains(channel));
        listening.map(|(conn, _)| (*conn, message.clone())).collect()
    }

    pub(super) fn hang_up(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }
}

fn confirm(kind: &str, channel: Reply, left: usize) -> Reply {
    Reply::Array(vec![Reply::bulk(kind), channel, Reply::count(left)])
}
