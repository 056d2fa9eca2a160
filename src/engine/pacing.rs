//! Every rule about when to try again, in one place. It holds numbers and
//! decides nothing.
//!
//! | what waits | for how long | why so long |
//! |---|---|---|
//! | a waiter, after a refusal that it is not notified of | `retry_delay`, doubling, full jitter | breaks up contenders |
//! | a waiter that is subscribed on a quorum, behind a value that may be anybody's | between half of the largest `retry_delay` and all of it | others publish nothing |
//! | the same, behind a holder of this library | between half of [`TRUSTED`] and all of it | a message may be lost |
//! | a waiter that knows the key's remaining life | until then and [`EXPIRY_GRANULARITY`] more | servers expire by the millisecond |
//! | a waiter that was notified | [`SLOT`] for each release that the likely next holder has waited longer, at most [`MOST_SLOTS`], and half a slot less where nodes are near | near-fair order without a queue |
//! | a waiter after `hand_overs` hand-overs in a row, or [`LONGEST_ROW`] of them | the longest of [`OTHERS_FIRST`], two round trips and [`OTHERS_SHARE`] percent of the row ([`POLLERS_SHARE`] if it shares), at most [`MOST_FOR_OTHERS`] | other clients get a chance |
//! | a waiter with less than [`LAST_ATTEMPT`] left | no more attempts | no answer would come in time |
//! | an attempt that keeps its votes after a split, before it looks and insists | [`KEEP_PAUSES`] quarters of a round trip, within [`ROUND_TRIP`] | the others give their votes back |
//! | a home node, or one that could still decide a split, that is silent | two round trips, or one | it may be hung |
//! | a single attempt after a split that another may win, before it looks again | one round trip to two, and then two to four, until the node timeout | by then somebody has won |
//! | the same, where nobody has votes any more, before it asks | up to two round trips, or what is left | whoever is first wins |
//! | the same, where a value is on a quorum after a split, before it looks once more | a round trip, or what is left | whoever passed over a slow node may be giving its votes back |
//! | a client whose timer rings more than [`LATE`] too late, before it passes over a node | the shortest round trip, once | the answer may be there, unread |
//! | a release that a node did not confirm | [`RELEASE_PAUSE`], doubling, full jitter | until the key has ended |
//! | a release, at a node where an acquire may still arrive | once more when it can't arrive any more | it may come after the last pause |
//! | a release of another client's lock, at a node without the key | the longest node timeout, once | its acquire may be on its way |
//! | a renewal that failed | [`RENEW_SHARE`] of what is left, at least [`SHORTEST_RENEW_PAUSE`] | uses any chance, and is no tight loop |
//! | a channel that nobody waits for | [`LINGER`] | a waiter often comes back |
//!
//! How often a broken connection is made anew is the node's own business.

use std::{ops::RangeInclusive, time::Duration};

use crate::protocol::Backoff;

/// With less than this left of a wait, another attempt could not succeed.
pub(super) const LAST_ATTEMPT: Duration = Duration::from_millis(2);

/// A server expires keys by the millisecond: this long after the remaining life
/// that it told, the key is gone.
pub(super) const EXPIRY_GRANULARITY: Duration = Duration::from_millis(1);

/// How long at most, and half of it at least, a waiter does not ask whose holder is known
/// and whose release will be heard of: a message may be lost all the same. An operator who
/// deletes a key by hand waits gladly for so long, and so rare an attempt costs nothing.
pub(super) const TRUSTED: Duration = Duration::from_secs(10);

/// How much later each next waiter in the assumed order tries: what timers of a
/// millisecond surely tell apart. Half of it for each costs more commands and saves no
/// time.
pub(super) const SLOT: Duration = Duration::from_millis(2);
pub(super) const MOST_SLOTS: u32 = 4;

/// For so long after a release was heard of, a lock for which others have waited is
/// taken to have a crowd: several round trips between neighbours.
pub(super) const CROWDED: Duration = Duration::from_millis(50);

/// How long a channel is listened to after its last waiter has gone: whoever
/// waited for a lock will, as a rule, wait again.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// After the most hand-overs in a row, other clients get at least this long to
/// be first: one tick of the timer until they are notified, and one to try.
pub(super) const OTHERS_FIRST: Duration = Duration::from_millis(2);

/// However few they are, hand-overs in a row end after this long, half of the pause that
/// pollers of other libraries make.
pub(super) const LONGEST_ROW: Duration = Duration::from_millis(100);

/// Others get such a share of the time that a row took, in percent. A poller meets a free
/// lock that often: with 11 tries, as node-redlock makes by default, every second one
/// succeeds; with the share that `share_with_pollers` gives, nineteen of twenty.
pub(super) const OTHERS_SHARE: u32 = 6;
pub(super) const POLLERS_SHARE: u32 = 30;

/// And they get at most this long, twice a round trip around the world.
pub(super) const MOST_FOR_OTHERS: Duration = Duration::from_millis(500);

/// The bounds between which the time of the first answers is taken for a round
/// trip: at least what a timer can tell, and not so long that kept votes block a
/// lock for nobody.
pub(super) const ROUND_TRIP: (Duration, Duration) =
    (Duration::from_millis(4), Duration::from_millis(40));

/// A client whose timers ring so much later than they are due is starved itself: timers
/// of a millisecond ring one late, and one more is scheduling.
pub(super) const LATE: Duration = Duration::from_millis(2);

/// The pauses before an attempt that keeps its votes looks at the nodes that refused,
/// in quarters of a round trip. At first there is none: by the time the nodes have
/// answered, the others have given their votes back.
/// The longer the same values stay, the less likely they are votes.
pub(super) const KEEP_PAUSES: [u32; 3] = [0, 1, 3];

/// And it gives its votes back after so many tries, whatever it meets.
pub(super) const MOST_TRIES: usize = 8;

/// A single attempt after a split looks again after one round trip to two, and then after
/// twice as long: two to this power is four. A node timeout has several of them.
pub(super) const MOST_DOUBLINGS: u32 = 2;

/// The pauses before a node that could not release is asked again.
pub(super) const RELEASE_PAUSE: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// After a failed renewal the pause is this share of what is left: often enough
/// to use any chance.
pub(super) const RENEW_SHARE: u32 = 4;
pub(super) const SHORTEST_RENEW_PAUSE: Duration = Duration::from_millis(2);

/// Into how many steps the quarter is cut by which a renewal may come sooner.
pub(super) const RENEW_SPREAD: u32 = 1 << 10;

/// How many renewals are under way at once: at first, at least, and at most.
/// More of them would only wait in the servers' queues and be late for it; how
/// many a network holds shows by whether they are answered in time.
pub(super) const RENEW_WINDOW: usize = if cfg!(redlock_sim) { 2 } else { 256 };
pub(super) const RENEW_WINDOWS: RangeInclusive<usize> =
    if cfg!(redlock_sim) { 1..=4 } else { 64..=8192 };
