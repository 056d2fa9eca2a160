//! Deterministic campaigns over the real client: thousands of runs in virtual
//! time, each drawn from a seed, all checked by one oracle. `docs/testing.md`
//! says what is checked and how to read a failure.
//!
//! It is built only with `--cfg redlock_sim`, by `make sim` and `make mutants`.

#[cfg(redlock_sim)]
mod answers;
#[cfg(redlock_sim)]
mod campaign;
#[cfg(redlock_sim)]
mod cli;
#[cfg(redlock_sim)]
mod cut_short;
#[cfg(redlock_sim)]
mod draw;
#[cfg(redlock_sim)]
mod fast;
#[cfg(redlock_sim)]
mod fault;
#[cfg(redlock_sim)]
mod faults;
#[cfg(redlock_sim)]
mod forget;
#[cfg(redlock_sim)]
mod holding;
#[cfg(redlock_sim)]
mod names;
#[cfg(redlock_sim)]
mod net;
#[cfg(redlock_sim)]
mod node;
#[cfg(redlock_sim)]
mod numbers;
#[cfg(redlock_sim)]
mod oracle;
#[cfg(redlock_sim)]
mod plan;
#[cfg(redlock_sim)]
mod profile;
#[cfg(redlock_sim)]
mod quarantine;
#[cfg(redlock_sim)]
mod scene;
#[cfg(redlock_sim)]
mod script;
#[cfg(redlock_sim)]
mod stage;
#[cfg(redlock_sim)]
mod table;
#[cfg(all(redlock_sim, test))]
mod tests;
#[cfg(redlock_sim)]
mod timeline;
#[cfg(redlock_sim)]
mod trace;
#[cfg(redlock_sim)]
mod users;
#[cfg(redlock_sim)]
mod violation;
#[cfg(redlock_sim)]
mod walls;

#[cfg(redlock_sim)]
pub use cli::Level;

#[cfg(redlock_sim)]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(not(redlock_sim))]
fn main() {
    eprintln!("the simulator is built with --cfg redlock_sim: run `make sim`");
    std::process::exit(2);
}
