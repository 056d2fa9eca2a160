//! `redlock`: the lock for programs in any language.
//!
//! A thin layer over the library's public API: it reads the operator's settings, and
//! the library does the rest. It never prints a password, a token or a URL, and never
//! takes a secret from the command line.

mod access;
mod args;
mod dev;
mod exit;
mod files;
mod health;
mod listen;
mod logs;
mod nodes;
mod serve;
mod signals;

use std::{env, process::ExitCode};

use args::{Cli, Command};
use clap::Parser as _;
use exit::Exit;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn run() -> Result<(), Exit> {
    // This comes before clap, which repeats the arguments that it does not understand.
    nodes::refuse_passwords(env::args_os().skip(1))?;
    match Cli::try_parse()?.command {
        Command::Serve(options) => serve::serve(*options),
    }
}
