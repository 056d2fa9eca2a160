//! The nodes that the settings name, and a client of them. A URL may hold a password:
//! none is ever printed, and one with a password is refused on the command line, where
//! every user of the host can read it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use redlock_quorum::{Builder, Error, Redlock, Tls};

use crate::{exit::Exit, files};

/// The address of a Redis that nobody has configured.
const DEFAULT_NODE: &str = "redis://127.0.0.1:6379";

const NODES_FILE: &str = "--nodes-file";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Nodes")]
pub(crate) struct NodeOptions {
    /// A Redis or Valkey master, redis://host:port; repeat it, or separate several by commas
    ///
    /// Also rediss:// for TLS, and unix:///path/to/socket. Each must be a
    /// master of its own, with no replication between them; three or five are
    /// usual. A URL with a password is refused here, since `ps` shows it to
    /// everyone: use --nodes-file or REDLOCK_NODES. In a password, write %2C
    /// for a comma and %40 for an @. [default: redis://127.0.0.1:6379]
    #[arg(
        short = 'n',
        long = "node",
        value_name = "URL",
        env = "REDLOCK_NODES",
        hide_env_values = true
    )]
    nodes: Vec<String>,

    /// A file with one URL per line, and comments on lines that begin with #
    #[arg(long, value_name = "FILE", env = "REDLOCK_NODES_FILE", hide_env_values = true)]
    nodes_file: Option<PathBuf>,

    /// PEM file of the authority that signed the certificates of rediss:// nodes
    ///
    /// It is trusted instead of the system's authorities.
    #[arg(long, value_name = "FILE", env = "REDLOCK_CA_FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,

    /// How long one node may take over one request [default: a tenth of the ttl, at most 200ms]
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_NODE_TIMEOUT", hide_env_values = true,
        value_parser = humantime::parse_duration
    )]
    node_timeout: Option<Duration>,

    /// How many nodes must grant a lock [default: more than half]
    #[arg(long, value_name = "VOTES", env = "REDLOCK_QUORUM", hide_env_values = true)]
    quorum: Option<usize>,

    /// What to put before every key on the nodes
    ///
    /// Clients of the library, and instances of this service, meet on the same
    /// key only if their prefixes are the same.
    #[arg(long, value_name = "PREFIX", env = "REDLOCK_KEY_PREFIX", hide_env_values = true)]
    key_prefix: Option<String>,
}

/// A node, and where it was named.
struct Node {
    url: String,
    origin: Origin,
}

enum Origin {
    /// A flag or the environment: clap does not say which of them.
    Settings,
    File {
        path: PathBuf,
        line: usize,
    },
    /// This program: the default node, or one of `--dev`.
    Ours,
}

impl NodeOptions {
    /// Whether any node is named.
    pub(crate) fn names_any(&self) -> bool {
        self.nodes_file.is_some() || urls(&self.nodes).next().is_some()
    }

    /// A client of these nodes, or of those in `instead` if there are any. It connects
    /// to none of them yet.
    pub(crate) fn client(
        &self,
        instead: &[String],
        settings: impl Fn(Builder) -> Builder,
    ) -> Result<Redlock, Exit> {
        let nodes = self.nodes(instead)?;
        let tls = self.tls()?;
        let builder = self.set(Redlock::builder().nodes(nodes.iter().map(|node| &node.url)));
        let builder = settings(if let Some(tls) = tls { builder.tls(tls) } else { builder });
        builder.build().map_err(|error| explain(&error, &nodes))
    }

    fn nodes(&self, instead: &[String]) -> Result<Vec<Node>, Exit> {
        let named: Vec<_> = urls(&self.nodes).collect();
        let node = |url: &str, origin| Node { url: url.to_owned(), origin };
        match &self.nodes_file {
            _ if !instead.is_empty() => {
                Ok(instead.iter().map(|url| node(url, Origin::Ours)).collect())
            }
            Some(_) if !named.is_empty() => Err(Exit::usage(
                "nodes are named twice, by --node or REDLOCK_NODES and by --nodes-file or \
                 REDLOCK_NODES_FILE: clients that count on different nodes do not exclude each \
                 other, so say it once",
            )),
            Some(path) => from_file(path),
            None if named.is_empty() => Ok(vec![node(DEFAULT_NODE, Origin::Ours)]),
            None => Ok(named.iter().map(|url| node(url, Origin::Settings)).collect()),
        }
    }

    fn tls(&self) -> Result<Option<Tls>, Exit> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = files::read("--ca-file", path)?;
        let trusting = Tls::new().root_pem(pem);
        let named = |error| Exit::config(format!("--ca-file {}: {error}", path.display()));
        trusting.map(Some).map_err(named)
    }

    fn set(&self, mut builder: Builder) -> Builder {
        if let Some(timeout) = self.node_timeout {
            builder = builder.node_timeout(timeout);
        }
        if let Some(votes) = self.quorum {
            builder = builder.quorum(votes);
        }
        if let Some(prefix) = &self.key_prefix {
            builder = builder.key_prefix(prefix.as_bytes());
        }
        builder
    }
}

/// The URLs in `values`, each of which may hold several.
fn urls(values: &[String]) -> impl Iterator<Item = &str> {
    let separates = |c: char| c == ',' || c.is_whitespace();
    values.iter().flat_map(move |value| value.split(separates)).filter(|url| !url.is_empty())
}

fn from_file(path: &Path) -> Result<Vec<Node>, Exit> {
    let text = files::read_text(NODES_FILE, path)?;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().map(str::trim).zip(1..);
    let nodes: Vec<_> = lines
        .filter(|(url, _)| !url.is_empty() && !url.starts_with('#'))
        .map(|(url, line)| Node {
            url: url.to_owned(),
            origin: Origin::File { path: path.to_owned(), line },
        })
        .collect();
    if nodes.is_empty() {
        return Err(Exit::config(format!("{NODES_FILE} {}: it names no node", path.display())));
    }
    Ok(nodes)
}

/// A list of URLs is parted before any of them is read, so that nothing of what is wrong says
/// where a password was cut in two.
const IN_A_LIST: &str = ". Commas and blanks part the URLs of a list: in a password write a comma \
     as %2C and a blank as %20";

/// The builder's error for people: the library counts the nodes, but people want to
/// know the line of the file.
fn explain(error: &Error, nodes: &[Node]) -> Exit {
    for (node, place) in nodes.iter().zip(1..) {
        // A URL that is wrong by itself is also wrong as the only one, as "node 1".
        let alone = Redlock::builder().nodes([&node.url]).build().err().map(|e| e.to_string());
        let Some(why) = alone.as_deref().and_then(|why| why.strip_prefix("node 1: ")) else {
            continue;
        };
        return match &node.origin {
            Origin::File { path, line } => {
                Exit::config(format!("{NODES_FILE} {}: line {line}: {why}", path.display()))
            }
            _ => {
                let hint = if nodes.len() > 1 { IN_A_LIST } else { "" };
                Exit::usage(format!("--node or REDLOCK_NODES: node {place}: {why}{hint}"))
            }
        };
    }
    match nodes.first().map(|node| &node.origin) {
        Some(Origin::File { path, .. }) => {
            Exit::config(format!("with the nodes of {}: {error}", path.display()))
        }
        _ => Exit::usage(error),
    }
}

/// Refuses a command line that holds a password, without repeating it.
pub(crate) fn refuse_passwords(args: impl Iterator<Item = OsString>) -> Result<(), Exit> {
    for (arg, place) in args.zip(1..) {
        if has_password(&arg.to_string_lossy()) {
            return Err(Exit::usage(format!(
                "argument {place} holds a password, and every user of this host can see it with \
                 `ps`: name the nodes in a file (--nodes-file) or in the environment \
                 (REDLOCK_NODES), and change the password"
            )));
        }
    }
    Ok(())
}

/// Whether there is a URL in `text` that has a password. If in doubt, there is one.
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let login = rest.rsplit_once('@').map_or("", |(login, _)| login);
        login.contains(':') || rest.split(['?', '&']).any(|pair| pair.starts_with("pass="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_a_url_has_them() {
        for with in [
            "redis://:s3cret@h",
            "--node=redis://bob:s3cret@h:6379/0",
            "redis://a,redis://bob:s3cret@h",
            "rediss://bob:s3/cr?t@h",
            "REDIS://bob:s3cret@h",
            "unix:///run/r.sock?db=1&user=bob&pass=s3cret",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in
            ["redis://h:6379/3", "redis://bob@h", "unix:///run/r.sock?db=1", "serve", "", "a:b@c"]
        {
            assert!(!has_password(without), "{without}");
        }
    }

    #[test]
    fn urls_are_separated_by_commas_and_blanks() {
        let values = ["redis://a, redis://b\nredis://c".to_owned(), String::new(), ",".to_owned()];
        assert_eq!(urls(&values).collect::<Vec<_>>(), ["redis://a", "redis://b", "redis://c"]);
    }
}
