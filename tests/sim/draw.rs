//! From a seed to a plan. The same seed is always the same plan, as long as
//! nothing here changes.

use std::time::Duration;

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::Flavor;

use crate::plan::{ClientPlan, Fault, Habits, MS, Memory, Plan, Planned, Profile, Refusal, SECOND};

/// Clocks stay this close: two of them, apart by twice this, differ by less
/// than the default drift of 1 % allows.
const RATE_PPM: i64 = 4_900;

impl Profile {
    /// Which of them a seed is about, unless one is asked for.
    pub fn of(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15);
        match rng.random_range(0..32u32) {
            0..2 => Self::Calm,
            2 => Self::Crowd,
            3 => Self::Line,
            4 => Self::Burst,
            5..9 => Self::Links,
            9..12 => Self::Cuts,
            12..16 => Self::Nodes,
            16..19 => Self::Errors,
            19..21 => Self::Clocks,
            21..23 => Self::Pauses,
            23..26 => Self::Drops,
            26..30 => Self::Storm,
            30 => Self::Amnesia,
            _ => Self::Steps,
        }
    }
}

impl Plan {
    pub fn draw(seed: u64, profile: Profile) -> Self {
        use Profile as P;
        let mut rng = SmallRng::seed_from_u64(seed);
        let nodes = *pick(&mut rng, &[1, 2, 3, 3, 3, 4, 5, 5]);
        let drifts = profile.is(&[P::Clocks, P::Pauses, P::Storm]);
        let ppm = |rng: &mut SmallRng| match drifts {
            true => *pick(rng, &[-RATE_PPM, RATE_PPM, 0, RATE_PPM / 2]),
            false => 0,
        };
        let ttl = draw_ttl(&mut rng, profile);
        let crowd = profile.is(&[P::Crowd, P::Line]);
        let clients = match profile {
            P::Burst => 1,
            P::Line => rng.random_range(1..=3),
            P::Crowd => rng.random_range(3..=5),
            _ => rng.random_range(2..=4),
        };
        let clients: Vec<_> = (0..clients)
            .map(|_| ClientPlan {
                rate_ppm: ppm(&mut rng),
                clock_start: SECOND + rng.random_range(0..1000 * SECOND),
                node_timeout: pick(&mut rng, &[None, None, Some(30), Some(250)])
                    .map(Duration::from_millis),
                users: match profile {
                    P::Burst => rng.random_range(36..=48),
                    P::Line => rng.random_range(3..=9),
                    _ => rng.random_range(1..=2),
                },
            })
            .collect();
        let latency = match profile {
            P::Pauses => *pick(&mut rng, &[(MS / 10, MS / 2), (4 * MS / 5, 3 * MS / 2)]),
            P::Links | P::Storm => *pick(&mut rng, &[(MS / 10, MS / 2), (MS / 2, 5 * MS)]),
            _ => *pick(&mut rng, &[(MS / 50, MS / 10), (MS / 10, MS / 2)]),
        };
        let mut plan = Self {
            seed,
            profile,
            keys: if crowd || rng.random_range(0..2) == 0 { 1 } else { 2 },
            nodes: (0..nodes).map(|_| ppm(&mut rng)).collect(),
            flavors: Vec::new(),
            clients,
            habits: draw_habits(&mut rng, profile, ttl),
            latency,
            faults: Vec::new(),
            slow_anyway: false,
        };
        // To connect, to log in and to ask takes three round trips.
        let hurried = |client| {
            let least = plan.node_timeout(client, plan.habits.ttl / 2);
            6 * u128::from(plan.latency.1) >= least.as_nanos()
        };
        plan.slow_anyway = profile == P::Burst || (0..plan.clients.len()).any(hurried);
        plan.faults = draw_faults(&mut rng, &plan);
        let flavor = |rng: &mut SmallRng| {
            use Flavor as F;
            *pick(rng, &[F::Old, F::Old, F::Old, F::Valkey, F::Valkey, F::Redis, F::Forbidding])
        };
        plan.flavors = plan.nodes.iter().map(|_| [flavor(&mut rng), flavor(&mut rng)]).collect();
        plan
    }
}

pub fn pick<'a, T>(rng: &mut SmallRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

/// Whether something with this chance out of 1000 happens.
pub fn chance(rng: &mut SmallRng, per_mille: u32) -> bool {
    rng.next_u32() % 1000 < per_mille
}

/// Long ones show what is left behind, short ones what is held too long.
fn draw_ttl(rng: &mut SmallRng, profile: Profile) -> Duration {
    let millis: &[u64] = match profile {
        Profile::Clocks | Profile::Pauses => &[60, 200, 500, 1_000, 3_000],
        Profile::Drops | Profile::Links => &[500, 3_000, 30_000, 30_000],
        _ => &[60, 300, 1_000, 5_000, 30_000],
    };
    Duration::from_millis(*pick(rng, millis))
}

fn draw_habits(rng: &mut SmallRng, profile: Profile, ttl: Duration) -> Habits {
    use Profile as P;
    let drops = profile.is(&[P::Drops, P::Storm]);
    Habits {
        locks: match profile {
            P::Burst => 1,
            _ => rng.random_range(1..=4),
        },
        ttl,
        think: match profile {
            P::Burst => Duration::ZERO,
            _ => Duration::from_millis(*pick(rng, &[0, 3, 30])),
        },
        drop_call: match profile {
            P::Drops | P::Storm => *pick(rng, &[100, 400, 800]),
            P::Line => *pick(rng, &[0, 100, 400]),
            _ => 0,
        },
        drop_guard: if drops { 500 } else { 200 },
        forget: if drops { 50 } else { 0 },
        hand_over: match profile {
            P::Drops | P::Storm => 100,
            P::Calm => *pick(rng, &[0, 100]),
            _ => 0,
        },
        renew: *pick(rng, &[0, 300, 600]),
        extend: *pick(rng, &[0, 500, 900]),
        shutdown: if drops || profile == P::Calm { 60 } else { 0 },
    }
}

fn draw_faults(rng: &mut SmallRng, plan: &Plan) -> Vec<Planned> {
    use Profile as P;
    let most = match plan.profile {
        P::Calm | P::Crowd | P::Burst | P::Clocks => return Vec::new(),
        P::Storm | P::Pauses => 8,
        P::Line => 2,
        _ => 5,
    };
    // Within the time that users need at least.
    let horizon = (plan.habits.ttl.as_nanos() as u64).clamp(200 * MS, 3 * SECOND);
    let mut faults: Vec<_> = (0..rng.random_range(1..=most))
        .map(|_| {
            let at = rng.random_range(0..horizon);
            let lasts = *pick(rng, &[5 * MS, 50 * MS, 300 * MS, SECOND, 4 * SECOND]);
            let lasts = lasts / 2 + rng.random_range(0..lasts);
            Planned { at, lasts, fault: draw_fault(rng, plan) }
        })
        .collect();
    faults.iter_mut().for_each(|planned| plan.stay_away(planned));
    faults.sort_by_key(|planned| planned.at);
    // One of each kind that ends a client is enough.
    let mut ended = Vec::new();
    faults.retain(|planned| match planned.fault {
        Fault::Kill { client } | Fault::EndRuntime { client } => {
            let first = !ended.contains(&client);
            ended.push(client);
            first
        }
        _ => true,
    });
    faults
}

fn draw_fault(rng: &mut SmallRng, plan: &Plan) -> Fault {
    use Profile as P;
    let client = rng.random_range(0..plan.clients.len());
    let node = rng.random_range(0..plan.nodes.len());
    let kind = match plan.profile {
        P::Storm => *pick(rng, &[P::Links, P::Cuts, P::Nodes, P::Errors, P::Pauses, P::Drops]),
        P::Line => *pick(rng, &[P::Links, P::Nodes, P::Errors]),
        kind => kind,
    };
    match kind {
        P::Links => match rng.random_range(0..3) {
            0 => Fault::Loss { node, per_mille: *pick(rng, &[20, 200]) },
            _ => Fault::Break {
                client,
                node,
                late: *pick(rng, &[20 * MS, 500 * MS, 3 * SECOND, 3 * SECOND]),
            },
        },
        P::Cuts => {
            let (up, down) = *pick(rng, &[(true, true), (true, false), (false, true)]);
            Fault::Cut { client, node, up, down }
        }
        P::Nodes => match rng.random_range(0..4) {
            0 => Fault::Hang { node },
            1 => Fault::Slow { node, by: *pick(rng, &[3 * MS, 30 * MS, 400 * MS]) },
            _ => {
                // What forgets stays away until all it knew has ended.
                let memory = *pick(rng, &[Memory::Kept, Memory::Kept, Memory::Gone]);
                Fault::Crash { node, memory, silent: chance(rng, 300) }
            }
        },
        P::Errors => {
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
                _ => Fault::Refuse {
                    node,
                    how: *pick(rng, &all),
                    per_mille: *pick(rng, &[100, 500, 1000]),
                },
            }
        }
        P::Pauses => Fault::Pause { client },
        P::Drops => match rng.random_range(0..3) {
            0 => Fault::Kill { client },
            1 => Fault::EndRuntime { client },
            _ => Fault::Break { client, node, late: 20 * MS },
        },
        P::Amnesia => {
            let memory = *pick(rng, &[Memory::Gone, Memory::Stale]);
            Fault::Crash { node, memory, silent: false }
        }
        P::Steps => Fault::Step { node, millis: *pick(rng, &[-40_000, -500, 100, 2_000, 40_000]) },
        _ => Fault::ForgetScripts { node },
    }
}
