//! Draws a plan from a seed. The same seed gives the same plan for as long as
//! neither this file nor the profiles' traits change.

use std::{ops::RangeInclusive, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::Flavor;

use crate::{
    plan::{ClientPlan, Deposed, Fault, Habits, MS, Memory, Plan, Planned, Refusal, SECOND},
    profile::{Family, Profile, Traits},
};

/// No clock is faster or slower than true time by more than this. So two clocks
/// differ by less than the default drift of 1 % allows.
const RATE_PPM: i64 = 4_900;

impl Plan {
    pub fn draw(seed: u64, profile: Profile) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let traits = profile.traits();
        let nodes = *pick(&mut rng, &[1, 2, 3, 3, 3, 4, 5, 5]);
        let ppm = |rng: &mut SmallRng| match traits.drifts {
            true => *pick(rng, &[-RATE_PPM, RATE_PPM, 0, RATE_PPM / 2]),
            false => 0,
        };
        let ttl = Duration::from_millis(*pick(&mut rng, traits.ttl));
        let clients: Vec<_> = (0..between(&mut rng, &traits.clients))
            .map(|_| ClientPlan {
                rate_ppm: ppm(&mut rng),
                clock_start: SECOND + rng.random_range(0..1000 * SECOND),
                wall_ahead: 0,
                node_timeout: pick(&mut rng, &[None, None, Some(30), Some(250)])
                    .map(Duration::from_millis),
                alias: None,
                users: between(&mut rng, &traits.users),
            })
            .collect();
        let latency = *pick(&mut rng, &traits.latency);
        let mut plan = Self {
            seed,
            profile,
            keys: if traits.one_key || rng.random_range(0..2) == 0 { 1 } else { 2 },
            nodes: (0..nodes).map(|_| ppm(&mut rng)).collect(),
            node_walls: vec![0; nodes],
            flavors: Vec::new(),
            clients,
            habits: draw_habits(&mut rng, &traits, ttl),
            latency,
            faults: Vec::new(),
            slow_anyway: false,
            walls_agree: true,
            walls_apart: false,
            strict: None,
            grace: None,
            scene: None,
        };
        // A first command takes three round trips: connect, log in, ask.
        let hurried = |client| {
            let least = plan.node_timeout(client, plan.habits.ttl / 2);
            6 * u128::from(plan.latency.1) >= least.as_nanos()
        };
        plan.slow_anyway = traits.slow_anyway || (0..plan.clients.len()).any(hurried);
        plan.faults = draw_faults(&mut rng, &plan, &traits);
        let flavor = |rng: &mut SmallRng| {
            use Flavor as F;
            *pick(rng, &[F::Old, F::Old, F::Old, F::Valkey, F::Valkey, F::Redis, F::Forbidding])
        };
        plan.flavors = plan.nodes.iter().map(|_| [flavor(&mut rng), flavor(&mut rng)]).collect();
        plan.direct();
        plan.fence(&traits);
        plan.forget();
        plan
    }
}

/// One of `from`. Draws nothing where there is no choice.
pub fn pick<'a, T>(rng: &mut SmallRng, from: &'a [T]) -> &'a T {
    &from[if from.len() == 1 { 0 } else { rng.random_range(0..from.len()) }]
}

/// A number in `range`. Draws nothing where there is no choice.
fn between(rng: &mut SmallRng, range: &RangeInclusive<usize>) -> usize {
    let least = *range.start();
    if least == *range.end() { least } else { rng.random_range(range.clone()) }
}

/// Whether something happens whose chance is `per_mille` out of 1000.
pub fn chance(rng: &mut SmallRng, per_mille: u32) -> bool {
    rng.next_u32() % 1000 < per_mille
}

fn draw_habits(rng: &mut SmallRng, traits: &Traits, ttl: Duration) -> Habits {
    Habits {
        locks: between(rng, &traits.locks),
        ttl,
        think: Duration::from_millis(*pick(rng, traits.think)),
        drop_call: *pick(rng, traits.drop_call),
        drop_guard: traits.drop_guard,
        forget: traits.forget,
        hand_over: *pick(rng, traits.hand_over),
        renew: *pick(rng, &[0, 300, 600]),
        fenced: 0,
        extend: *pick(rng, &[0, 500, 900]),
        shutdown: traits.shutdown,
    }
}

fn draw_faults(rng: &mut SmallRng, plan: &Plan, traits: &Traits) -> Vec<Planned> {
    if traits.most_faults == 0 {
        return Vec::new();
    }
    // Faults begin within the time that users need at least.
    let horizon = (plan.habits.ttl.as_nanos() as u64).clamp(200 * MS, 3 * SECOND);
    let mut faults: Vec<_> = (0..rng.random_range(1..=traits.most_faults))
        .map(|_| {
            let at = rng.random_range(0..horizon);
            let lasts = *pick(rng, &[5 * MS, 50 * MS, 300 * MS, SECOND, 4 * SECOND]);
            let lasts = lasts / 2 + rng.random_range(0..lasts);
            Planned { at, lasts, fault: draw_fault(rng, plan, traits.faults) }
        })
        .collect();
    faults.iter_mut().for_each(|planned| plan.stay_away(planned));
    faults.sort_by_key(|planned| planned.at);
    // A client ends once.
    let mut ended = Vec::new();
    faults.retain(|planned| {
        let Some(client) = planned.fault.ends() else { return true };
        let first = !ended.contains(&client);
        ended.push(client);
        first
    });
    faults
}

fn draw_fault(rng: &mut SmallRng, plan: &Plan, families: &[Family]) -> Fault {
    let client = rng.random_range(0..plan.clients.len());
    let node = rng.random_range(0..plan.nodes.len());
    match pick(rng, families) {
        Family::Links => match rng.random_range(0..3) {
            0 => Fault::Loss { node, per_mille: *pick(rng, &[20, 200]) },
            _ => Fault::Break {
                client,
                node,
                late: *pick(rng, &[20 * MS, 500 * MS, 3 * SECOND, 3 * SECOND]),
            },
        },
        Family::Cuts => {
            let (up, down) = *pick(rng, &[(true, true), (true, false), (false, true)]);
            Fault::Cut { client, node, up, down }
        }
        Family::Nodes => match rng.random_range(0..4) {
            0 => Fault::Hang { node },
            1 => Fault::Slow { node, by: *pick(rng, &[3 * MS, 30 * MS, 400 * MS]) },
            _ => {
                // `stay_away` keeps a node that forgets down until its keys have ended.
                let memory = *pick(rng, &[Memory::Kept, Memory::Kept, Memory::Gone]);
                Fault::Crash { node, memory, silent: chance(rng, 300) }
            }
        },
        Family::Errors => draw_error(rng, node),
        Family::Pauses => Fault::Pause { client },
        Family::Drops => match rng.random_range(0..3) {
            0 => Fault::Kill { client },
            1 => Fault::EndRuntime { client },
            _ => Fault::Break { client, node, late: 20 * MS },
        },
        Family::Amnesia => {
            let memory = *pick(rng, &[Memory::Gone, Memory::Stale]);
            Fault::Crash { node, memory, silent: false }
        }
        Family::Moves => draw_move(rng, node),
        Family::Steps => {
            Fault::Step { node, millis: *pick(rng, &[-40_000, -500, 100, 2_000, 40_000]) }
        }
    }
}

fn draw_move(rng: &mut SmallRng, node: usize) -> Fault {
    match rng.random_range(0..5) {
        0 => Fault::CutLogin { node, per_mille: *pick(rng, &[300, 1000]) },
        1 => Fault::Refuse { node, how: Refusal::Greeting, per_mille: 1000 },
        // One that goes on writing may be met by a login that does not greet, where other
        // faults have cut the one before. So it is for a scene, where nothing else is wrong.
        _ => {
            let deposed = *pick(rng, &[Deposed::Stays, Deposed::HangsUp]);
            Fault::Failover { node, deposed, lags: false }
        }
    }
}

fn draw_error(rng: &mut SmallRng, node: usize) -> Fault {
    use Refusal as R;
    let all = [
        R::Loading,
        R::ReadOnly,
        R::OutOfMemory,
        R::NoPubSub,
        R::Busy,
        R::Unclear,
        R::Garbage,
        R::HangUp,
        R::HangUp,
    ];
    match rng.random_range(0..6) {
        0 => Fault::ForgetScripts { node },
        1 => Fault::Hang { node },
        _ => {
            Fault::Refuse { node, how: *pick(rng, &all), per_mille: *pick(rng, &[100, 500, 1000]) }
        }
    }
}
