//! The scripts of fencing numbers, as a server carries them out. It has no clock: the time comes
//! with each call.

use std::time::Duration;

use super::{command::Refusal, keys::Keys, script::Call};
use crate::protocol::Number;

/// A number so many microseconds above a fence is looked at by the clock, and refused if it is as
/// far ahead of that.
const HOUR: u64 = 3_600_000_000;

/// One node's keys at one moment.
pub(super) struct Fences<'a> {
    pub(super) keys: &'a mut Keys,
    pub(super) now: Duration,
    /// What the node's wall clock says, since 1970.
    pub(super) wall: Duration,
}

impl Fences<'_> {
    /// `fenced_acquire.lua`.
    pub(super) fn acquire(self, call: &Call<'_>) -> Result<i64, Refusal> {
        let (lifetime, number, retention) = call.fenced()?;
        let Self { now, wall, keys } = self;
        let key = call.fence.unwrap_or_default();
        let highest = fence(keys.get(now, key))?;
        let value = keys.get(now, call.key);
        let is_ours = value == Some(call.token);
        if value.is_some() && !is_ours {
            return Ok(-code(highest) - 1);
        }
        if number <= highest {
            return Ok(code(highest));
        }
        refuse_the_future(number, highest, wall)?;
        keys.set(now, key, number.to_string().as_bytes(), Some(retention))?;
        if !is_ours {
            keys.set(now, call.key, call.token, Some(lifetime))?;
        }
        Ok(0)
    }

    /// The tombstone of `bury.lua`.
    pub(super) fn bury(self, call: &Call<'_>) -> Result<(), Refusal> {
        let (number, retention) = call.buried()?;
        let key = call.fence.unwrap_or_default();
        let highest = fence(self.keys.get(self.now, key))?;
        if number > highest && refuse_the_future(number, highest, self.wall).is_ok() {
            self.keys.set(self.now, key, number.to_string().as_bytes(), Some(retention))?;
        }
        Ok(())
    }

    /// `fenced_extend.lua`.
    pub(super) fn extend(self, call: &Call<'_>) -> Result<i64, Refusal> {
        let (lifetime, number, retention) = call.fenced()?;
        let Self { now, wall, keys } = self;
        match keys.get(now, call.key) {
            None => return Ok(0),
            Some(value) if value != call.token => return Ok(-1),
            Some(_) => {}
        }
        let key = call.fence.unwrap_or_default();
        let (hands_on, has_fence) = (call.hands_on(), keys.has(now, key));
        let mut highest = fence(keys.get(now, key));
        if hands_on
            && let Ok(highest) = highest
            && number <= highest
        {
            return Ok(code(highest));
        }
        if let Ok(fence) = highest
            && let Err(refusal) = refuse_the_future(number, fence, wall)
        {
            highest = Err(refusal);
        }
        if hands_on {
            highest = Ok(highest?);
        }
        match highest {
            Ok(highest) if number > highest => {
                let raised = keys.set(now, key, number.to_string().as_bytes(), Some(retention));
                if hands_on {
                    raised?;
                }
            }
            Ok(_) if has_fence => drop(keys.pexpire(now, key, retention)),
            _ => {}
        }
        if keys.pttl(now, call.key) < lifetime.millis() {
            keys.pexpire(now, call.key, lifetime);
        }
        Ok(1)
    }
}

/// The number at a fence; zero where there is none.
fn fence(value: Option<&[u8]>) -> Result<u64, Refusal> {
    let Some(value) = value else { return Ok(0) };
    let number = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let number = number.filter(|_| value.len() == 16 && value.iter().all(u8::is_ascii_digit));
    let number = number.filter(|number| Number::new(*number).is_some());
    let refusal = || Refusal("FENCE no number is at the key of the fence".to_owned());
    number.ok_or_else(refusal)
}

fn refuse_the_future(number: u64, highest: u64, wall: Duration) -> Result<(), Refusal> {
    let clock = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    if number.saturating_sub(highest) > HOUR && number > clock.saturating_add(HOUR) {
        let text = "FUTURE the number is over an hour ahead of the clock here";
        return Err(Refusal(text.to_owned()));
    }
    Ok(())
}

/// A fence as the scripts answer it.
fn code(fence: u64) -> i64 {
    i64::try_from(fence.min(Number::LAST)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::memory::{script::Script, store::Store};

    const SECONDS: u64 = 1_800_000_000;
    /// What the node's wall clock says when all begins.
    const CLOCK: u64 = SECONDS * 1_000_000;

    fn store() -> Store {
        Store::new(Duration::ZERO, Duration::from_secs(SECONDS), "0".repeat(40))
    }

    /// Runs a script on the lock `k` at the beginning.
    fn run(store: &mut Store, script: Script, words: &[&str]) -> String {
        let args = [&["EVAL", script.text(), "2", "k", "k:fence"], words].concat();
        format!("{:?}", store.execute(0, Duration::ZERO, &args).replies[0])
    }

    fn acquire(store: &mut Store, token: &str, number: u64) -> String {
        run(store, Script::SetFenced, &[token, "1000", &number.to_string(), "9000"])
    }

    fn set(store: &mut Store, value: &str) {
        store.execute(0, Duration::ZERO, &["SET", "k:fence", value]);
    }

    #[test]
    fn a_number_must_be_above_the_fence_and_be_one() {
        let mut it = store();
        assert_eq!(acquire(&mut it, "a", CLOCK), "Int(0)");
        assert_eq!(acquire(&mut it, "a", CLOCK), format!("Int({CLOCK})"));
        assert_eq!(acquire(&mut it, "a", CLOCK + 1), "Int(0)", "its own key, and a higher fence");
        assert_eq!(acquire(&mut it, "b", CLOCK + 9), format!("Int(-{})", CLOCK + 2));
        set(&mut it, "12345");
        assert!(acquire(&mut it, "a", CLOCK + 9).contains("FENCE"));
        assert!(acquire(&mut store(), "a", CLOCK + HOUR).contains("Int(0)"));
        assert!(acquire(&mut store(), "a", CLOCK + HOUR + 1).contains("FUTURE"));
        set(&mut it, &(CLOCK + HOUR).to_string());
        assert_eq!(acquire(&mut it, "a", CLOCK + HOUR + 9), "Int(0)", "a small step is no jump");
    }

    #[test]
    fn an_extension_goes_by_what_a_hand_over_must_not() {
        let extend = |it: &mut Store, number: u64, hands_on| {
            let words = ["a", "1000", &number.to_string(), "9000", hands_on];
            run(it, Script::ExtendFenced, &words)
        };
        let mut it = store();
        assert_eq!(extend(&mut it, CLOCK, "0"), "Int(0)");
        acquire(&mut it, "a", CLOCK);
        for (number, extended, handed) in [
            (CLOCK, "Int(1)".to_owned(), format!("Int({CLOCK})")),
            (CLOCK + 1, "Int(1)".to_owned(), "Int(1)".to_owned()),
        ] {
            assert_eq!(extend(&mut it.clone(), number, "0"), extended);
            assert_eq!(extend(&mut it.clone(), number, "1"), handed);
        }
        for (fence, number, says) in [("x", CLOCK, "FENCE"), ("1", CLOCK, "FENCE")] {
            set(&mut it, fence);
            assert_eq!(extend(&mut it, number, "0"), "Int(1)");
            assert!(extend(&mut it, number, "1").contains(says));
        }
    }

    #[test]
    fn what_comes_after_its_burial_is_refused() {
        let bury = |it: &mut Store, number: u64| {
            run(it, Script::Bury, &["a", "", &number.to_string(), "9000"])
        };
        let mut it = store();
        acquire(&mut it, "a", CLOCK);
        assert_eq!(bury(&mut it, CLOCK + 5), "Int(1)");
        assert_eq!(bury(&mut it, CLOCK + 4), "Int(0)");
        assert_eq!(acquire(&mut it, "a", CLOCK + 5), format!("Int({})", CLOCK + 5));
        assert_eq!(acquire(&mut it, "b", CLOCK + 6), "Int(0)");
        assert_eq!(bury(&mut it, CLOCK + 7), "Int(-1)");
        set(&mut it, "x");
        assert!(bury(&mut it, CLOCK + 8).contains("FENCE"));
        // What an acquire would refuse needs no tombstone.
        let mut it = store();
        assert_eq!(bury(&mut it, CLOCK + HOUR + 1), "Int(0)");
        assert_eq!(acquire(&mut it, "b", CLOCK), "Int(0)");
    }
}
