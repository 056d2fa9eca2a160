//! Which servers there are to play on, and what each can do. Nothing is fetched here:
//! `tests/servers.sh` does that.

use std::{
    collections::HashMap,
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// The kinds that a whole campaign has.
const WANTED: [&str; 3] = ["Redis 7.0", "Redis 8.2", "Valkey 9.1"];
const FAKETIME: &str = "libfaketime.so.1";

#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// Its name and version, as it says them.
    pub label: String,
    /// The library that gives it a wall clock of its own.
    faketime: Option<PathBuf>,
}

impl Program {
    fn at(path: PathBuf) -> Result<Self> {
        let said = Command::new(&path).arg("--version").output()?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let label = label(&said).ok_or_else(|| format!("{}: no server", path.display()))?;
        // Redis with its own allocator does not start under it.
        let faketime = label.starts_with("Valkey").then(faketime).flatten();
        Ok(Self { path, label, faketime })
    }

    /// Whether its clock can be set.
    pub fn has_clock(&self) -> bool {
        self.faketime.is_some()
    }

    /// What its environment needs for its clock to be read from that file.
    pub fn variables(&self, clock: &Path) -> HashMap<&'static str, PathBuf> {
        let Some(library) = &self.faketime else { return HashMap::new() };
        HashMap::from([
            ("LD_PRELOAD", library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_owned()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ])
    }

    /// For the name of a directory.
    pub fn slug(&self) -> String {
        self.label.to_lowercase().replace(' ', "-")
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// The servers to play on: what `SERVER` asks for, by path or by the begin of a name, else one
/// of each kind that is there.
pub fn all(asked: Option<&str>) -> Result<Vec<Program>> {
    if let Some(path) = asked.filter(|asked| asked.contains('/')) {
        return Ok(vec![Program::at(path.into())?]);
    }
    let wanted = |program: &Program| {
        asked.is_none_or(|asked| program.slug().starts_with(&asked.to_lowercase()))
    };
    let mut found: Vec<Program> = Vec::new();
    for path in paths() {
        if let Ok(program) = Program::at(path)
            && wanted(&program)
            && found.iter().all(|other| other.label != program.label)
        {
            found.push(program);
        }
    }
    match asked {
        Some(asked) if found.is_empty() => Err(format!("no server `{asked}` here").into()),
        None if found.is_empty() => Err("no server here: `sh tests/setup.sh` installs one".into()),
        _ => Ok(found),
    }
}

/// Of the kinds that a whole campaign has, those that are not among these.
pub fn missing(programs: &[Program]) -> Vec<&'static str> {
    let is_there = |kind: &str| programs.iter().any(|program| program.label.starts_with(kind));
    WANTED.into_iter().filter(|kind| !is_there(kind)).collect()
}

/// What is installed, and what `SERVERS` lists, `NAME PATH` each.
fn paths() -> Vec<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_default();
    let installed = ["redis-server", "valkey-server"].into_iter().filter_map(|name| {
        env::split_paths(&places).map(|place| place.join(name)).find(|path| path.is_file())
    });
    let listed = env::var("SERVERS").unwrap_or_default();
    let mut paths: Vec<_> = installed.collect();
    let is_path = |word: &&str| word.contains('/');
    paths.extend(listed.split_whitespace().filter(is_path).map(PathBuf::from));
    paths
}

/// `Redis 7.0.15` of `Redis server v=7.0.15 sha=…`.
fn label(said: &str) -> Option<String> {
    let mut words = said.split_whitespace();
    let (name, version) = (words.next()?, words.find_map(|word| word.strip_prefix("v="))?);
    matches!(name, "Redis" | "Valkey").then(|| format!("{name} {version}"))
}

/// Where the packages of the usual systems have it.
fn faketime() -> Option<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let places = [multiarch.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    let path = |place| Path::new(place).join("faketime").join(FAKETIME);
    places.into_iter().map(path).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_what_it_says() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(label(said).as_deref(), Some("Redis 7.0.15"));
        let said = "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64";
        assert_eq!(label(said).as_deref(), Some("Valkey 9.1.2"));
        assert_eq!(label("some other program, v=3"), None);
    }
}
