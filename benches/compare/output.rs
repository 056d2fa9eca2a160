//! What was measured, on what and how, for people and as JSON.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use redlock_quorum_benches::{
    common::Result,
    contenders::{LONG_TTL, TTL},
    machine::{machine, surroundings, version_of},
    report::Target,
    table::median,
};
use serde_json::{Map, Value, json};

use crate::{
    figures::{Case, Figure, Figures},
    plan::Plan,
    stand::Stand,
};

/// Whose versions are told.
const CRATES: [&str; 4] = ["redlock-quorum", "rslock", "redis", "tokio"];

/// Machine, versions and settings.
pub struct About {
    machine: String,
    versions: Vec<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
}

pub async fn about(plan: &Plan) -> Result<About> {
    let server = Stand::start().await?.observer.version().await?;
    let mut versions = surroundings();
    versions.push(("server", server));
    versions.extend(CRATES.map(|krate| (krate, version_of(krate).to_owned())));
    let settings = vec![
        ("rounds", plan.rounds.to_string()),
        ("servers", "local processes, no persistence, on the client's cores".to_owned()),
        ("client", "one, tokio, 2 worker threads".to_owned()),
        ("ttl", format!("{TTL:?}; where very many locks are held {LONG_TTL:?}")),
        ("tokens", "22 bytes; rslock's 20".to_owned()),
        ("keys", "distinct, each locked once".to_owned()),
        ("connections", "one a node and contender, TCP_NODELAY, warm".to_owned()),
        ("pairs at one task, a round", plan.pairs.to_string()),
        ("span of many tasks, a round", format!("{:?}, and until no key is left", plan.span)),
    ];
    Ok(About { machine: machine()?, versions, settings })
}

impl About {
    pub fn print(&self) {
        println!("servers and client on the same {}", self.machine);
        for (name, value) in self.versions.iter().chain(&self.settings) {
            println!("{name}: {value}");
        }
        println!("medians of the rounds; ×: to floor A in the same round (least–most)");
    }

    /// In a line, for a plot.
    pub fn summary(&self) -> String {
        let of = |wanted: &str| {
            let found = self.versions.iter().find(|(name, _)| *name == wanted);
            found.map_or("", |(_, version)| version.as_str())
        };
        let machine = self.machine.split(", load").next().unwrap_or_default();
        format!(
            "{} on the client's {machine}); medians of {} rounds; redis-rs {}, rslock {}",
            of("server"),
            self.settings[0].1,
            of("redis"),
            of("rslock"),
        )
    }
}

/// A line for each contender in each case, so that changes are seen.
pub fn json(about: &About, figures: &Figures, targets: &[Target]) -> Result<String> {
    let object = |pairs: &[(&'static str, String)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let targets = targets.iter().map(|target| {
        json!({
            "figure": target.figure,
            "target": target.target,
            "measured": target.measured,
            "met": target.met,
        })
    });
    let about = json!({
        "machine": about.machine,
        "versions": object(&about.versions),
        "settings": object(&about.settings),
        "targets": targets.collect::<Vec<_>>(),
    });
    let about = serde_json::to_string_pretty(&about)?;
    let about = about.strip_suffix("\n}").ok_or("an object does not end as one")?;
    let lines: Vec<_> = lines(figures).iter().map(Value::to_string).collect();
    Ok(format!("{about},\n  \"measured\": [\n{}\n  ]\n}}\n", lines.join(",\n")))
}

fn lines(figures: &Figures) -> Vec<Value> {
    let mut lines: Vec<(Case, &str, Map<String, Value>)> = Vec::new();
    for Figure { case, who, name, rounds } in &figures.all {
        let mut figure =
            json!({"rounds": rounded(rounds), "median": rounded(&[median(rounds)])[0]});
        let is_known = |ratios: &Vec<f64>| ratios.iter().all(|ratio| ratio.is_finite());
        if let Some(ratios) = figures.ratios(*case, who, name).filter(is_known) {
            figure["to_floor_a"] = json!(rounded(&ratios));
        }
        let is_it = |line: &&mut (Case, &str, _)| line.0 == *case && line.1 == *who;
        match lines.iter_mut().find(is_it) {
            Some((_, _, all)) => _ = all.insert((*name).to_owned(), figure),
            None => lines.push((*case, who, Map::from_iter([((*name).to_owned(), figure)]))),
        }
    }
    let line = |(case, who, all): (Case, _, _)| {
        json!({
            "part": case.part.name(),
            "nodes": case.nodes,
            case.part.axis(): case.at,
            "contender": who,
            "figures": Value::Object(all),
        })
    };
    lines.into_iter().map(line).collect()
}

/// To four digits: no more of them mean anything.
fn rounded(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| format!("{value:.3e}").parse().unwrap_or(*value)).collect()
}

/// Both files.
pub fn write(out: Option<PathBuf>, json: &str, svg: &str) -> Result<()> {
    let out = match out {
        // `cargo bench` runs in the folder of the package.
        Some(out) => Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(out),
        None => target_directory()?.join("compare"),
    };
    fs::create_dir_all(&out)?;
    fs::write(out.join("compare.json"), json)?;
    fs::write(out.join("compare.svg"), svg)?;
    println!("\ncompare.json and compare.svg are in {}", out.canonicalize()?.display());
    Ok(())
}

/// Of `target/release/deps/compare-…`.
fn target_directory() -> Result<PathBuf> {
    let executable = env::current_exe()?;
    Ok(executable.ancestors().nth(3).ok_or("it does not run in a target directory")?.to_owned())
}
