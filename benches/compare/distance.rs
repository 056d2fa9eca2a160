//! The same with a network between client and servers, which adds to each round
//! trip. As it is made by timers and threads, what it really adds is measured
//! with plain PINGs.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use redlock_quorum_benches::{
    common::{Result, micros, quantile},
    contenders::{Kind, TTL},
    measure::{Until, burst, latencies},
    network::{Network, address},
    report::spread,
};

use crate::{
    figures::{ACQUIRE, ADDED, Case, FAILED, Figures, KEYS_LEFT, PAIRS_A_SECOND, Part},
    plan::{Plan, turns},
    stand::{Stand, connect_all},
    tables,
};

const CONTENDERS: [Kind; 4] = [Kind::FloorA, Kind::Rslock, Kind::Quorum, Kind::QuorumThread];

const TASKS: usize = 64;

/// Who is asked for what the network adds.
const NETWORK: &str = "the network";

const PINGS: usize = 200;

pub async fn run(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let stand = Stand::start().await?;
    for (added, pairs) in plan.distances.iter().copied() {
        let case = Case::new(Part::Distance, stand.servers.len(), added);
        one_distance(&stand, plan, case, pairs, figures).await?;
        print(figures, case);
    }
    Ok(())
}

async fn one_distance(
    stand: &Stand,
    plan: &Plan,
    case: Case,
    pairs: usize,
    figures: &mut Figures,
) -> Result<()> {
    let added = Duration::from_micros(case.at as u64);
    let network = Network::to(&stand.urls(), added / 2).await?;
    let contenders = connect_all(&CONTENDERS, network.urls(), TTL).await?;
    for round in 0..plan.rounds {
        figures.add(case, NETWORK, ADDED, really_added(stand, &network).await?);
        for kind in turns(&CONTENDERS, round) {
            let place = CONTENDERS.iter().position(|other| *other == kind);
            let contender = &contenders[place.unwrap_or_default()];
            figures.add_latencies(case, kind, latencies(contender, pairs).await?);
            let until = Until::Elapsed(plan.span);
            let done = burst(contender, &stand.observer, TASKS, until).await?;
            figures.add_burst(case, kind, &done);
            stand.clean(done.keys_left).await?;
        }
    }
    Ok(())
}

/// In microseconds: the median PING through the network less the median of those
/// without.
async fn really_added(stand: &Stand, network: &Network) -> Result<f64> {
    let direct = pings(address(&stand.urls()[0]).await?)?;
    let through = pings(address(&network.urls()[0]).await?)?;
    Ok(through - direct)
}

fn pings(server: SocketAddr) -> Result<f64> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let mut spans = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begun = Instant::now();
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; b"+PONG\r\n".len()];
        stream.read_exact(&mut reply)?;
        spans.push(begun.elapsed());
    }
    Ok(micros(quantile(&mut spans, 0.5)))
}

fn print(figures: &Figures, case: Case) {
    let really = figures.rounds(case, NETWORK, ADDED).map_or_else(String::new, spread);
    println!("\n## N = 5, {} ms added to a round trip (PING: {really} µs)\n", case.at as f64 / 1e3);
    let columns = [
        figures.versus("acquire p50, µs", case, ACQUIRE.p50),
        figures.versus("p99", case, ACQUIRE.p99),
        figures.versus("pairs a second, 64 tasks", case, PAIRS_A_SECOND),
        figures.total("failed", case, FAILED),
        figures.total("keys left", case, KEYS_LEFT),
    ];
    tables::print(&CONTENDERS, &columns);
}
