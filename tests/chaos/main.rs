//! A campaign of faults on real servers: client processes take a few locks in turn and
//! count up under them, while servers, networks and processes are disturbed by a plan that
//! is drawn from a seed. What they believed is checked afterwards, from logs.
//! `docs/testing.md` says what must hold and how to read a failure.
//!
//! All of it runs on this host and speaks to its loopback addresses only.

#[cfg(unix)]
mod campaign;
#[cfg(unix)]
mod check;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod clock;
#[cfg(unix)]
mod counter;
#[cfg(unix)]
mod disturb;
#[cfg(unix)]
mod fault;
#[cfg(unix)]
mod host;
#[cfg(unix)]
mod log;
#[cfg(unix)]
mod mode;
#[cfg(unix)]
mod play;
#[cfg(unix)]
mod program;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod steps;
#[cfg(unix)]
mod table;
#[cfg(unix)]
mod verdict;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(unix)]
fn run() -> Result<bool> {
    use tokio::{runtime::Builder, task::LocalSet};

    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (None, _) => {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            // What plays the faults stays on this thread; networks and the counter have their own.
            let settings = settings::Settings::read()?;
            runtime.block_on(LocalSet::new().run_until(campaign::run(&settings)))
        }
        (Some("client"), Some(orders)) => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let ended = runtime.block_on(client::run(serde_json::from_str(&orders)?));
            // A thread may still read the input.
            runtime.shutdown_background();
            ended.map(|()| true)
        }
        (Some("check"), Some(dir)) => {
            let history = check::History::read(dir.as_ref())?;
            println!("{}", table::of(&campaign::rows(&history, &dir, &history.modes())));
            Ok(true)
        }
        _ => Err("usage: chaos [check DIR]; what to play is in the environment".into()),
    }
}

#[cfg(not(unix))]
fn run() -> Result<bool> {
    Err("it needs signals, which only Unix has".into())
}
