//! The lock's scripts, as an in-memory node carries them out: it knows what each does, and runs no
//! Lua. Like the store, it has no I/O and no clock.

use std::time::Duration;

use super::Store;
use crate::testing::{
    Reply,
    memory::{
        command::Refusal,
        epochs::Epochs,
        fences::Fences,
        script::{Call, Script},
    },
};

impl Store {
    pub(super) fn run(
        &mut self,
        now: Duration,
        script: Script,
        call: &Call<'_>,
    ) -> Result<Reply, Refusal> {
        if let Some(guard) = &call.guard {
            self.epochs(now).check(guard)?;
        }
        let code = match script {
            Script::StrictSet => {
                return self.set(now, call.key, call.token, true, Some(call.lifetime_to_set()?));
            }
            Script::EpochLook => return Ok(self.epochs(now).tell(call)),
            Script::SetFenced | Script::StrictSetFenced => self.fences(now).acquire(call),
            Script::ExtendFenced => self.fences(now).extend(call),
            Script::Bury => self.bury(now, call),
            Script::Bootstrap => self.epochs(now).bootstrap(call),
            Script::Release | Script::Extend | Script::StrictHeal => {
                self.release_or_extend(now, script, call)
            }
        };
        code.map(Reply::Int)
    }

    /// `release.lua` and `extend.lua`.
    fn release_or_extend(
        &mut self,
        now: Duration,
        script: Script,
        call: &Call<'_>,
    ) -> Result<i64, Refusal> {
        match (self.keys.get(now, call.key), script) {
            (Some(value), _) if value != call.token => Ok(-1),
            (_, Script::Release) => Ok(self.release(now, call)),
            (Some(_), _) => self.extend(now, call),
            (None, _) => self.heal(now, call),
        }
    }

    /// `bury.lua`: a release, and then the tombstone.
    fn bury(&mut self, now: Duration, call: &Call<'_>) -> Result<i64, Refusal> {
        let value = self.keys.get(now, call.key);
        let is_anothers = value.is_some_and(|value| value != call.token);
        let code = if is_anothers { -1 } else { self.release(now, call) };
        self.fences(now).bury(call)?;
        Ok(code)
    }

    /// The scripts of strict nodes, at the time `now`.
    fn epochs(&mut self, now: Duration) -> Epochs<'_> {
        let wall = self.wall.saturating_add(now);
        Epochs { keys: &mut self.keys, now, wall, run_id: &self.run_id }
    }

    /// The scripts of fencing numbers, at the time `now`.
    fn fences(&mut self, now: Duration) -> Fences<'_> {
        Fences { keys: &mut self.keys, now, wall: self.wall.saturating_add(now) }
    }

    fn release(&mut self, now: Duration, call: &Call<'_>) -> i64 {
        let is_there = self.keys.remove(now, call.key);
        let channel = [b"redlock:", call.key].concat();
        let is_published = match call.payload() {
            Some(b"") => true,
            Some(payload) => self.publish(&channel, payload).is_ok(),
            // An argument is missing, which the script takes for a refusal.
            None => false,
        };
        match (is_there, is_published) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        }
    }

    fn extend(&mut self, now: Duration, call: &Call<'_>) -> Result<i64, Refusal> {
        let lifetime = call.lifetime()?;
        if self.keys.pttl(now, call.key) < lifetime.millis() {
            self.keys.pexpire(now, call.key, lifetime);
        }
        Ok(1)
    }

    fn heal(&mut self, now: Duration, call: &Call<'_>) -> Result<i64, Refusal> {
        let Some(lifetime) = call.healed() else {
            return Ok(0);
        };
        self.keys.set(now, call.key, call.token, Some(lifetime?))?;
        Ok(2)
    }
}
