//! What users of the library do in a run. The same code runs at both levels; it
//! uses the public API, and reports each call and each lock to the oracle.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt as _, rngs::SmallRng};
use redlock_quorum::{
    Acquire, ErrorKind, LockGuard, LockParts, Redlock,
    sim::{Peek, World},
};

use crate::{
    cut_short::{Polled, within},
    draw::{chance, pick},
    holding::Holding,
    stage::Shared,
};

/// The library's default, which no plan changes.
const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// One user of one client.
pub struct User {
    pub client: usize,
    pub redlock: Redlock,
    pub world: Arc<dyn World>,
    pub stage: Shared,
    pub rng: SmallRng,
}

mod strict;

/// How an acquire waits.
#[derive(Clone, Copy)]
enum Way {
    Try,
    Wait(Duration),
    /// Without a limit, until this user drops the call.
    Lock,
}

impl User {
    /// Acquires locks, one after the other, and lets go of them, or plays a part.
    pub async fn live(mut self) {
        let scene = self.stage.truth().plan.scene.clone();
        if let Some(scene) = scene {
            return self.play(scene).await;
        }
        let habits = self.stage.truth().plan.habits;
        for _ in 0..habits.locks {
            self.think(habits.think).await;
            if chance(&mut self.rng, habits.hand_over) && self.take_over().await {
                continue;
            }
            let key = self.key();
            if chance(&mut self.rng, 100) {
                self.run(&key).await;
            } else if let Some(guard) = self.acquire(&key).await {
                let guard = Holding::new(&self.stage, self.client, guard, &key);
                self.hold(guard).await;
            }
            if chance(&mut self.rng, habits.shutdown) {
                self.shut_down().await;
            }
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let truth = self.stage.truth();
        let (keys, burst) = (truth.plan.keys, truth.plan.clients[self.client].users > 10);
        drop(truth);
        // The locks of a burst are not in each other's way.
        let place = self.rng.random_range(0..if burst { 1000 } else { keys });
        format!("k{place}").into_bytes()
    }

    async fn think(&mut self, most: Duration) {
        if self.lies_in_wait().await {
            return;
        }
        let span = most.mul_f64(self.rng.random_range(0.0..1.0));
        if !span.is_zero() {
            self.world.sleep(span).await;
        }
    }

    async fn acquire(&mut self, key: &[u8]) -> Option<LockGuard> {
        let (ttl, node_timeout) = self.ttl();
        let way = match self.rng.random_range(0..4) {
            0 => Way::Lock,
            1 => Way::Try,
            _ => Way::Wait(*pick(
                &mut self.rng,
                &[Duration::from_millis(20), Duration::from_millis(200), Duration::from_secs(1)],
            )),
        };
        let lock = self.with_grace(self.redlock.lock(key).ttl(ttl));
        let (what, lock, limit) = match way {
            Way::Try => ("try", lock.wait(Duration::ZERO), node_timeout),
            Way::Wait(wait) => ("wait", lock.wait(wait), wait.max(node_timeout)),
            Way::Lock => ("lock", lock, Duration::MAX),
        };
        let lock = if self.likes(|habits| habits.renew) { lock.renew() } else { lock };
        let fenced = self.wants_a_number();
        let lock = if fenced { lock.fenced() } else { lock };
        let call = self.stage.truth().begin_call(self.client, what, key);
        let outcome = match way {
            Way::Lock => {
                let most = Duration::from_secs(*pick(&mut self.rng, &[1, 2]));
                let patience = ttl.min(most).mul_f64(1.5) + Duration::from_secs(2);
                let outcome = within(self.world.sleep(patience), lock.into_future()).await;
                if outcome.is_none() {
                    let mut truth = self.stage.truth();
                    truth.check_gave_up(&call, ttl);
                    truth.check_not_forgotten(&call);
                }
                outcome
            }
            Way::Try | Way::Wait(_) => self.perhaps_dropped(lock.into_future()).await,
        };
        let mut truth = self.stage.truth();
        let Some(outcome) = outcome else {
            truth.drop_call(&call);
            return None;
        };
        truth.end_call(&call, limit, outcome.as_ref().err());
        if let (Way::Wait(wait), Err(error)) = (way, &outcome)
            && error.kind() == ErrorKind::Timeout
        {
            truth.check_patience(&call, wait);
        }
        if let Ok(guard) = &outcome {
            truth.check_number(&call, fenced, guard.fencing_number());
        }
        outcome.ok()
    }

    fn with_grace(&self, lock: Acquire) -> Acquire {
        match self.stage.truth().plan.grace_by_call() {
            Some(grace) => lock.grace(grace),
            None => lock,
        }
    }

    /// Draws nothing where nobody asks for a number.
    fn wants_a_number(&mut self) -> bool {
        let per_mille = self.stage.truth().plan.habits.fenced;
        per_mille > 0 && chance(&mut self.rng, per_mille)
    }

    pub fn ttl(&self) -> (Duration, Duration) {
        let truth = self.stage.truth();
        let ttl = truth.plan.habits.ttl;
        (ttl, truth.plan.node_timeout(self.client, ttl))
    }

    fn likes(&mut self, habit: impl FnOnce(&crate::plan::Habits) -> u32) -> bool {
        let per_mille = habit(&self.stage.truth().plan.habits);
        chance(&mut self.rng, per_mille)
    }

    /// Waits for a call, or drops its future at any poll or moment, now and then.
    async fn perhaps_dropped<F: Future>(&mut self, call: F) -> Option<F::Output> {
        if !self.likes(|habits| habits.drop_call) {
            return Some(call.await);
        }
        if chance(&mut self.rng, 500) {
            let polls = self.rng.random_range(0..6);
            Polled { left: polls, inner: pin!(call) }.await
        } else {
            let micros = self.rng.random_range(0..5_000);
            within(self.world.sleep(Duration::from_micros(micros)), call).await
        }
    }

    /// Holds a lock for a while, may extend it, and lets go of it.
    async fn hold(&mut self, mut holding: Holding) {
        let (ttl, _) = self.ttl();
        // With the last of these, a user holds a lock for longer than it lasts.
        let share = *pick(&mut self.rng, &[0.0, 0.01, 0.1, 0.5, 0.97, 1.2]);
        for _ in 0..self.rng.random_range(1..=3) {
            let span = ttl.min(Duration::from_millis(400)).mul_f64(share);
            self.world.sleep(span).await;
            if self.likes(|habits| habits.extend) {
                self.extend(&holding, ttl).await;
                self.sees_all_flushed(&holding).await;
            }
        }
        let habits = self.stage.truth().plan.habits;
        if chance(&mut self.rng, habits.forget) {
            self.stage.truth().oracle.excuse(holding.peek.token());
            holding.end().forget();
        } else if chance(&mut self.rng, habits.hand_over) {
            let parts = holding.end().into_parts();
            let mut truth = self.stage.truth();
            // Nobody releases it until another user takes it over.
            truth.oracle.excuse(parts.token.as_bytes());
            truth.handed_over.push(parts);
        } else if chance(&mut self.rng, habits.drop_guard) {
            drop(holding.end());
        } else {
            self.release(holding).await;
        }
    }

    async fn extend(&mut self, holding: &Holding, ttl: Duration) {
        let key = &holding.key;
        let Some(guard) = &holding.guard else { return };
        let longest = self.stage.truth().plan.longest_extension();
        let ttl = ttl.mul_f64(*pick(&mut self.rng, &[0.5, 1.0, 1.5, longest]));
        let limit = self.stage.truth().plan.node_timeout(self.client, ttl);
        let was_until = holding.peek.until();
        let call = self.stage.truth().begin_call(self.client, "extend", key);
        let outcome = self.perhaps_dropped(guard.extend(ttl)).await;
        let Some(outcome) = outcome else { return };
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        match outcome {
            Ok(()) => truth.check_extended(self.client, key, &holding.peek),
            Err(error) if error.kind() == ErrorKind::Lost => {
                truth.check_lost(self.client, key, &holding.peek, was_until);
            }
            Err(_) => {}
        }
        truth.check_beliefs();
    }

    pub async fn release(&mut self, mut holding: Holding) {
        let (ttl, _) = self.ttl();
        // An extension may have asked for a longer ttl.
        let longest = ttl.mul_f64(1.5).max(DEFAULT_TTL);
        let (key, peek) = (holding.key.clone(), holding.peek.clone());
        let until = peek.until();
        let (call, limit, had, was_over) = {
            let mut truth = self.stage.truth();
            let was_over = truth.clock(self.client) >= until;
            let had = truth.votes(&key, peek.token());
            let limit = truth.plan.node_timeout(self.client, longest);
            (truth.begin_call(self.client, "release", &key), limit, had, was_over)
        };
        let guard = holding.end();
        let Some(outcome) = self.perhaps_dropped(guard.release()).await else { return };
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        if let Ok(released) = outcome {
            // A lock may run out while its release is on its way.
            let was_held = truth.clock(self.client) < until;
            truth.check_released(&call, peek.token(), released, (was_held, was_over), had);
        }
    }

    async fn run(&mut self, key: &[u8]) {
        let (ttl, _) = self.ttl();
        let span = ttl.min(Duration::from_secs(1)).mul_f64(*pick(&mut self.rng, &[0.1, 0.7, 2.0]));
        let patience = ttl.min(Duration::from_secs(1)).mul_f64(3.0);
        let lock = self.with_grace(self.redlock.lock(key).ttl(ttl));
        let lock = lock.wait(Duration::from_millis(200)).renew();
        let fenced = self.wants_a_number();
        let lock = if fenced { lock.fenced() } else { lock };
        let call = Arc::new(self.stage.truth().begin_call(self.client, "run", key));
        let (world, begun) = (Arc::clone(&self.world), Arc::clone(&call));
        let (stage, client, owned) = (Arc::clone(&self.stage), self.client, key.to_vec());
        let work = lock.run(|held| async move {
            let peek = Peek::under(&held);
            stage.truth().check_turn(begun.number, client, &owned);
            stage.truth().check_number(&begun, fenced, held.fencing_number());
            let _working = Holding::of_work(stage, client, peek, &owned);
            world.sleep(span).await;
        });
        let outcome = within(self.world.sleep(patience), work).await;
        let mut truth = self.stage.truth();
        match outcome {
            Some(Err(error)) if error.kind() != ErrorKind::Lost => {
                truth.end_call(&call, Duration::MAX, Some(&error));
            }
            Some(Err(error)) => {
                truth.check_innocent_loss(&error);
                truth.drop_call(&call);
            }
            Some(Ok(())) | None => truth.drop_call(&call),
        }
    }

    /// Takes over a lock that another client has given away, or releases it: with
    /// all its parts, or by nothing but its key and token.
    async fn take_over(&mut self) -> bool {
        let Some(parts) = self.stage.truth().handed_over.pop() else { return false };
        let (key, token) = (parts.key.clone(), parts.token.clone());
        let agree = self.stage.truth().plan.walls_agree;
        let guard = match self.rng.random_range(0..4) {
            0 => {
                self.stage.truth().take_by_token(self.client, token.as_bytes());
                self.release_by_token(parts).await;
                return true;
            }
            way if way == 1 || !agree => {
                let guard = self.resume(parts).await;
                guard.inspect(|_| self.stage.truth().take_by_token(self.client, token.as_bytes()))
            }
            _ => {
                let guard = self.redlock.adopt(parts).ok();
                guard.inspect(|_| self.stage.truth().adopt(self.client, token.as_bytes()))
            }
        };
        let Some(guard) = guard else { return false };
        let holding = Holding::new(&self.stage, self.client, guard, &key);
        self.hold(holding).await;
        true
    }

    async fn release_by_token(&mut self, parts: LockParts) {
        let (key, token) = (parts.key.clone(), parts.token.clone());
        let (call, limit) = {
            let mut truth = self.stage.truth();
            let limit = truth.plan.node_timeout(self.client, DEFAULT_TTL);
            (truth.begin_call(self.client, "release", &parts.key), limit)
        };
        let (redlock, is_begun) = (self.redlock.clone(), AtomicBool::new(false));
        let releasing = pin!(async {
            is_begun.store(true, Relaxed);
            redlock.release(parts).await
        });
        let Some(outcome) = self.perhaps_dropped(releasing).await else {
            // A future that was never polled has asked for nothing.
            if !is_begun.load(Relaxed) {
                self.stage.truth().oracle.excuse(token.as_bytes());
            }
            return;
        };
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        if let Ok(released) = outcome {
            // Only the nodes know whether it had ended before. If a quorum still has it,
            // it had not been released either.
            let still = truth.votes(&key, token.as_bytes()) >= truth.plan.quorum();
            let (over, had) = ((still, false), truth.plan.nodes.len());
            truth.check_released(&call, token.as_bytes(), released, over, had);
        }
    }

    async fn resume(&mut self, parts: LockParts) -> Option<LockGuard> {
        let LockParts { key, token, .. } = parts;
        let (ttl, limit) = self.ttl();
        let call = self.stage.truth().begin_call(self.client, "resume", &key);
        let redlock = self.redlock.clone();
        let resuming = pin!(redlock.resume(&key, token.clone(), ttl));
        let outcome = self.perhaps_dropped(resuming).await?;
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost) {
            truth.check_not_there(&call, token.as_bytes());
        }
        let guard = outcome.ok()?;
        truth.check_extended(self.client, &key, &Peek::at(&guard));
        Some(guard)
    }

    async fn shut_down(&mut self) {
        let limit = Duration::from_millis(self.rng.random_range(0..500));
        self.stage.truth().clients[self.client].closed = true;
        let begun_at = self.stage.truth().clock(self.client);
        let call = self.stage.truth().begin_call(self.client, "shutdown", b"");
        let outcome = self.redlock.shutdown(limit).await;
        let mut truth = self.stage.truth();
        truth.end_call(&call, limit, outcome.as_ref().err());
        let took = truth.clock(self.client).saturating_sub(begun_at);
        let is_early = Duration::from_nanos(took) < limit;
        truth.check_shut(self.client, outcome.as_deref(), is_early);
    }
}
