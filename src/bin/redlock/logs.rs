//! Logs, which go to standard error and never to standard output: that says only what
//! scripts read.

use std::{env, io, io::IsTerminal as _, str::FromStr as _};

use clap::ValueEnum;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

#[derive(Debug, clap::Args)]
pub(crate) struct LogOptions {
    /// What to log: error, warn, info, debug, trace or off
    ///
    /// Or levels for parts of the program, such as info,redlock_quorum=debug.
    /// Logs go to standard error.
    #[arg(
        long, value_name = "LEVEL", env = "REDLOCK_LOG", hide_env_values = true,
        default_value = "info", value_parser = filter
    )]
    log_level: Targets,

    /// How to log: for people, or as one JSON object per line
    #[arg(
        long,
        value_name = "FORMAT",
        env = "REDLOCK_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text"
    )]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Begins to log. Anything that was logged before is lost.
pub(crate) fn start(options: &LogOptions) {
    let registry = tracing_subscriber::registry().with(options.log_level.clone());
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match options.log_format {
        Format::Json => registry.with(layer.json().flatten_event(true)).init(),
        Format::Text => registry.with(layer.with_ansi(in_colour())).init(),
    }
}

/// Whether to write in colour, by the rules of <https://no-color.org>.
fn in_colour() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Reads a filter. It refuses a word that is no level: that would be taken for the name
/// of a part of the program, and mute all the others.
fn filter(text: &str) -> Result<Targets, String> {
    let unknown = |word: &str| {
        format!("`{word}` is no level: use error, warn, info, debug, trace, off, or part=level")
    };
    let mut words = text.split(',').map(|word| word.rsplit('=').next().unwrap_or(word));
    match words.find(|level| level.is_empty() || LevelFilter::from_str(level).is_err()) {
        Some(word) => Err(unknown(word)),
        None => Targets::from_str(text).map_err(|_| unknown(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_and_parts_with_levels() {
        for good in ["info", "WARN", "off", "info,redlock_quorum=debug", "hyper=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "warning", "info,", "redlock_quorum=loud", "redlock_quorum"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
