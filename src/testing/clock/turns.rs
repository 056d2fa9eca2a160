//! Whether drivers have anything to do: each is watched from when it is woken until it waits
//! again. It never polls one by itself.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::world::Pending;

/// The turns of all drivers of one clock.
#[derive(Default)]
pub(super) struct Turns {
    drivers: Mutex<Drivers>,
    all_wait: Notify,
}

/// The drivers that there are, by number, and what is known of each.
#[derive(Default)]
struct Drivers {
    states: HashMap<u64, State>,
    attended: u64,
    /// How many times any of them was woken.
    woken: u64,
    /// How many times it turned out that all of them wait.
    rests: u64,
}

#[derive(Default)]
struct State {
    /// Whether it was woken since it was last polled.
    is_woken: bool,
    is_polled: bool,
}

impl Turns {
    /// The `driver`, watched. Its first turn has begun.
    pub(super) fn attend(self: &Arc<Self>, driver: Pending<()>) -> Attended {
        let mut drivers = self.drivers();
        drivers.attended += 1;
        let number = drivers.attended;
        drivers.states.insert(number, State { is_woken: true, is_polled: false });
        drop(drivers);
        let bell = Bell { turns: Arc::clone(self), number, waker: AtomicWaker::new() };
        Attended { driver, bell: Arc::new(bell) }
    }

    /// Waits until all drivers wait, or have all waited meanwhile, and says how many times
    /// any was woken: tasks that keep them busy may wake one before this has its turn.
    pub(super) async fn all_wait(&self) -> u64 {
        let rests = self.drivers().rests;
        loop {
            let told = self.all_wait.notified();
            if let Some(woken) = self.drivers().woken_if_rested(rests) {
                return woken;
            }
            told.await;
        }
    }

    /// Whether all drivers wait, and none was woken since any was so many times.
    pub(super) fn still_wait(&self, woken: u64) -> bool {
        let drivers = self.drivers();
        drivers.all_wait() && drivers.woken == woken
    }

    /// Changes what is known of a driver, unless it is gone.
    fn change(&self, number: u64, change: impl FnOnce(&mut State)) {
        let mut drivers = self.drivers();
        let Some(state) = drivers.states.get_mut(&number) else { return };
        let was_woken = state.is_woken;
        change(state);
        let is_woken = state.is_woken && !was_woken;
        drivers.woken += u64::from(is_woken);
        self.tell(&mut drivers);
    }

    fn tell(&self, drivers: &mut Drivers) {
        if drivers.all_wait() {
            drivers.rests += 1;
            self.all_wait.notify_waiters();
        }
    }

    fn drivers(&self) -> MutexGuard<'_, Drivers> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drivers {
    /// How many times any was woken, if all wait or have all waited since `rests` rests.
    fn woken_if_rested(&self, rests: u64) -> Option<u64> {
        (self.rests != rests || self.all_wait()).then_some(self.woken)
    }

    fn all_wait(&self) -> bool {
        self.states.values().all(|state| !state.is_woken && !state.is_polled)
    }
}

/// What wakes a driver.
struct Bell {
    turns: Arc<Turns>,
    number: u64,
    waker: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.turns.change(self.number, |state| state.is_woken = true);
        self.waker.wake();
    }
}

/// A driver that is watched.
pub(super) struct Attended {
    driver: Pending<()>,
    bell: Arc<Bell>,
}

impl Future for Attended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let bell = Arc::clone(&self.bell);
        bell.waker.register(cx.waker());
        let begun = State { is_woken: false, is_polled: true };
        bell.turns.change(bell.number, |state| *state = begun);
        let waker = Waker::from(Arc::clone(&bell));
        let polled = self.driver.as_mut().poll(&mut Context::from_waker(&waker));
        bell.turns.change(bell.number, |state| state.is_polled = false);
        polled
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let mut drivers = self.bell.turns.drivers();
        drivers.states.remove(&self.bell.number);
        self.bell.turns.tell(&mut drivers);
    }
}
