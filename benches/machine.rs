//! What was measured, and on what, as far as it can be read.

use std::{fs, process::Command, thread};

use crate::common::Result;

/// What the benchmarks were built with.
const LOCK_FILE: &str = include_str!("../Cargo.lock");

/// Its processor, and how busy it is already.
pub fn machine() -> Result<String> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism()?;
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    Ok(match (model, load.split(' ').next()) {
        (Some((_, model)), Some(load)) => format!("{cores} cores ({model}, load {load} before)"),
        _ => format!("{cores} cores"),
    })
}

/// Of the system, the compiler and this repository: each where it is known.
pub fn surroundings() -> Vec<(&'static str, String)> {
    let kernel = ["/proc/sys/kernel/ostype", "/proc/sys/kernel/osrelease"]
        .map(|path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned()));
    let kernel = kernel.into_iter().collect::<Option<Vec<_>>>().map(|words| words.join(" "));
    let git = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"];
    let found =
        [("kernel", kernel), ("rustc", said("rustc", &["-V"])), ("commit", said("git", &git))];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Which version of that crate is measured.
pub fn version_of(krate: &str) -> &'static str {
    let name = format!("name = \"{krate}\"");
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = "));
    version.map_or("unknown", |version| version.trim_matches('"'))
}
