//! What an acquire with a fencing number, or at a strict node, costs a server beside a plain one: its
//! script's CPU time to that of `SET key token NX PX ttl`, both pipelined to one server in turn.
//!
//! `make bench-fencing`; with `ROUNDS=` an odd number of rounds, and with `SCRIPT=`
//! the path of another script with the same keys and arguments, which is measured in
//! the same rounds. Half a minute.

mod load;

use std::fs;

use load::{Load, Server};
use redlock_quorum_benches::{
    arguments::{self, Arguments},
    common::{Result, runtime},
    machine::machine,
    report::{self, Target, figure, ratios, spread},
    table::{self, median},
};

const OURS: &str = include_str!("../../src/node/fenced_acquire.lua");

/// What strict nodes compare first, and the plain acquire behind it.
const EPOCH: &str = include_str!("../../src/node/epoch.lua");
const STRICT: &str = include_str!("../../src/node/strict_acquire.lua");

/// Odd numbers of rounds have a median.
const ROUNDS: usize = 21;

/// Acquires in a turn: enough for a server's clock, which counts microseconds.
const ACQUIRES: usize = 20_000;

/// A trial only shows that it runs, and that every acquire is granted.
const TRIAL: (usize, usize) = (1, 500);

fn main() -> Result<()> {
    let mut args: Vec<_> = std::env::args().skip(1).collect();
    let other = arguments::take(&mut args, "--script")?;
    let asked = Arguments::parse(args, &[])?;
    let (rounds, acquires) = if asked.full { (ROUNDS, ACQUIRES) } else { TRIAL };
    let rounds = asked.rounds.unwrap_or(rounds);
    let loads = loads(other)?;
    runtime()?.block_on(run(&loads, rounds, acquires))
}

/// The plain acquire first, since all others are told as multiples of it.
fn loads(other: Option<String>) -> Result<Vec<Load>> {
    let mut loads = vec![Load::plain()];
    loads.extend(Load::fenced("fenced", OURS));
    loads.push(Load::strict("strict", &[EPOCH, STRICT].concat()));
    loads.extend(Load::strict_fenced("strict and fenced", &[EPOCH, OURS].concat()));
    if let Some(path) = other {
        let script = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        loads.extend(Load::fenced("the other", &script));
    }
    Ok(loads)
}

async fn run(loads: &[Load], rounds: usize, acquires: usize) -> Result<()> {
    let mut server = Server::start().await?;
    let version = server.observer.version().await?;
    println!("{version}, and the client, on the same {}", machine()?);
    println!("CPU of the server for an acquire, {acquires} of them pipelined in each turn,");
    println!("medians of {rounds} rounds; ×: to the plain one in the same round (least–most)\n");
    let mut taken = vec![Vec::with_capacity(rounds); loads.len()];
    for round in 0..rounds {
        for turn in 0..loads.len() {
            let place = (turn + round) % loads.len();
            taken[place].push(server.micros_each(&loads[place], acquires).await?);
        }
    }
    let mut rows = vec![["", "µs", "× plain"].map(str::to_owned).to_vec()];
    for (load, micros) in loads.iter().zip(&taken) {
        let times = spread(&ratios(micros, &taken[0]));
        rows.push(vec![load.name.clone(), figure(median(micros)), times]);
    }
    table::print(&rows);
    println!("\n## Targets\n");
    report::print_targets(&targets(&version, loads, &taken));
    Ok(())
}

/// Of our own scripts: no more than the first ones that were tried cost on each server.
fn targets(version: &str, loads: &[Load], taken: &[Vec<f64>]) -> Vec<Target> {
    let [fenced, strict, both] = match version.split(['.', ' ']).collect::<Vec<_>>()[..] {
        ["Valkey", ..] => [5.3, 4.6, 5.8],
        ["Redis", "7", ..] => [7.1, 6.6, 8.1],
        _ => [6.6, 6.2, 7.7],
    };
    let own = loads.iter().zip(taken).skip(1).zip([fenced, fenced, strict, both, both]);
    own.map(|((load, micros), limit)| {
        Target::at_most(&load.name, limit, median(&ratios(micros, &taken[0])))
    })
    .collect()
}
