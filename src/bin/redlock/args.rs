//! The command line: its subcommands, and the help that they share. The doc comments
//! here and on the options are what `--help` prints.

use clap::{Parser, Subcommand};

use crate::{exit, serve};

/// A lock over N independent Redis or Valkey masters, for programs in any
/// language.
#[derive(Debug, Parser)]
#[command(name = "redlock", version, after_help = exit::CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve locks over HTTP.
    #[command(long_about = serve::ABOUT, after_help = exit::CODES, args_override_self = true)]
    Serve(Box<serve::Options>),
}
