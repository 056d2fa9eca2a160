//! The bodies of `/v1/locks/{key}`: what a request may say, and what is answered. Nothing here
//! takes a lock.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::{answers::NodeSaid, fields::body};

body! {
    /// How to take a lock.
    struct TakeBody, IS_FORM: false,
    /// How long the lock is held, in milliseconds; 30 s by default.
    #[schema(minimum = 10, example = 30_000)]
    ttl_ms: u64 = u64::into,
    /// How long to wait while another holds the lock, in milliseconds; by default
    /// not at all.
    #[schema(example = 2_000)]
    wait_ms: u64 = u64::into,
    /// What the caller calls itself: up to 232 bytes of printable ASCII, without a blank at
    /// either end. Whoever is refused or looks is told it; it is shown on the page, and logged
    /// at debug. An empty one is none.
    #[schema(max_length = 232, example = "worker-7")]
    owner: String = String::into,
    /// Whether the lock is to have a fencing number, which the resource compares: `fence` in
    /// the answer.
    #[schema(example = false)]
    fenced: bool = bool::into,
}

body! {
    /// How to extend a lock.
    struct ExtendBody, IS_FORM: false,
    /// How long the lock is held from now on, in milliseconds; 30 s by default. An
    /// extension never makes it end sooner.
    #[schema(minimum = 10, example = 30_000)]
    ttl_ms: u64 = u64::into,
    /// The lock's fencing number, if it has one: so the nodes remember it for as long as the lock is
    /// held. It may be sent as the header `Lock-Fence` instead.
    #[schema(example = 1_796_031_812_345_678_u64)]
    fence: u64 = u64::into,
}

/// A lock that was taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken<'a> {
    /// The key. Bytes that are not UTF-8 are shown as U+FFFD.
    #[schema(value_type = String, example = "orders:42")]
    pub(super) key: Cow<'a, str>,
    /// The token that extends and releases the lock. It is a secret.
    #[schema(value_type = String, example = "u3Vd0bq1sS5~dXa2yT7GkQw")]
    pub(super) token: Cow<'a, str>,
    /// How long the lock is held, from this answer on.
    #[schema(example = 29_688)]
    pub(super) validity_ms: u64,
    /// How many nodes had granted it by then.
    #[schema(example = 2)]
    pub(super) votes: usize,
    /// Its fencing number, if it has one: larger than that of every holder before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_796_031_812_345_678_u64)]
    pub(super) fence: Option<u64>,
    pub(super) nodes: Vec<NodeSaid<'a>>,
}

/// A lock that was extended.
#[derive(Serialize, ToSchema)]
pub(super) struct Extended<'a> {
    /// The key. Bytes that are not UTF-8 are shown as U+FFFD.
    #[schema(value_type = String, example = "orders:42")]
    pub(super) key: Cow<'a, str>,
    /// How long the lock is held, from this answer on.
    #[schema(example = 29_688)]
    pub(super) validity_ms: u64,
    /// How many nodes had granted it by then.
    #[schema(example = 2)]
    pub(super) votes: usize,
    /// Its fencing number, if that is known: as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1_796_031_812_345_678_u64)]
    pub(super) fence: Option<u64>,
    pub(super) nodes: Vec<NodeSaid<'a>>,
}

/// How a lock stood when it was looked at.
#[derive(Serialize, ToSchema)]
pub(super) struct Seen<'a> {
    /// The key. Bytes that are not UTF-8 are shown as U+FFFD.
    #[schema(value_type = String, example = "orders:42")]
    pub(super) key: Cow<'a, str>,
    /// Whether someone held it.
    pub(super) held: bool,
    /// What a request for the lock would have met. `free`: nothing in the way. `held`: a
    /// quorum of nodes has the same value. `blocked`: what is no lock of this kind is at
    /// its key, so that nobody can have it until that is deleted or expires. `contested`:
    /// nobody has a quorum, and too many nodes are taken for anybody to have one.
    #[schema(example = "held")]
    pub(super) state: &'static str,
    /// On how many nodes the most frequent holder was found.
    #[schema(example = 3)]
    pub(super) votes: usize,
    /// How many nodes a holder needs.
    #[schema(example = 2)]
    pub(super) needed: usize,
    /// How long the lock is held unless it is released or extended; 0 if it is not held.
    /// It is left out if the key of a lock that is held never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12_031)]
    pub(super) remaining_ms: Option<u64>,
    /// What the holder calls itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "worker-7")]
    pub(super) owner: Option<&'a str>,
    pub(super) nodes: Vec<NodeSaid<'a>>,
}
