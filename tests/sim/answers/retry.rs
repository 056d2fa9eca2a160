//! What a call may say about when to try again.

use redlock_quorum::Error;

use super::Call;
use crate::{profile::Profile, stage::Truth, violation::Check};

impl Truth {
    /// A call that was refused names a pause. Where no value was on a quorum of the
    /// nodes all the while, nobody had the lock: only votes were in the way, which
    /// are given back within a round trip or two, however long their keys could live.
    pub(super) fn check_retry_after(&mut self, call: &Call, error: &Error) {
        let Some(after) = error.retry_after() else { return };
        let was_held = call.ruled || self.was_ruled(&call.key, call.since);
        let most = self.plan.node_timeout(call.client, self.plan.habits.ttl);
        if self.plan.profile == Profile::Rush && !was_held && after > most {
            let what = format!("{}: retry after {after:?}, and nobody had the lock", call.what);
            self.violate(Check::RetryAfter, what);
        }
    }
}
