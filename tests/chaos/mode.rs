//! How a client of a campaign protects what it does: the one place where a mode
//! becomes a client of the library.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use redlock_quorum::{Error, Redlock};
use serde::{Deserialize, Serialize};

use crate::{Result, clock::ms};

/// No lock's key lives longer, grace included.
pub const MAX_TTL: Duration = ms(500);
/// By how much servers' clocks are set forward at a time, and what grace covers.
pub const GRACE: Duration = ms(150);
/// What locks are asked for, ms. Short, so that faults may follow each other soon.
pub const TTLS: RangeInclusive<u64> = 200..=350;
/// Long enough for a busy host to answer, and much shorter than a ttl.
pub const NODE_TIMEOUT: Duration = ms(100);
const PATIENCE: Duration = ms(5000);

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Mode {
    /// With no more than a majority's word.
    Plain,
    /// It shows the counter a number.
    Fenced,
    /// With the word of so many nodes that two of them may forget.
    Quorum4,
    /// Nodes that forget are held back.
    Strict,
    /// Both.
    StrictFenced,
    /// Its keys outlive what it believes.
    Grace,
}

impl Mode {
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Fenced, Self::Quorum4, Self::Strict, Self::StrictFenced, Self::Grace];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Fenced => "fenced",
            Self::Quorum4 => "quorum-4",
            Self::Strict => "strict",
            Self::StrictFenced => "strict+fenced",
            Self::Grace => "grace",
        }
    }

    pub const fn is_fenced(self) -> bool {
        matches!(self, Self::Fenced | Self::StrictFenced)
    }

    pub const fn is_strict(self) -> bool {
        matches!(self, Self::Strict | Self::StrictFenced)
    }
}

/// What all clients of some nodes must believe alike.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Belief {
    pub nodes: Vec<String>,
    pub max_ttl: Duration,
    /// Where it is not what the mode has.
    pub quorum: Option<usize>,
}

impl Belief {
    pub fn of(nodes: Vec<String>) -> Self {
        Self { nodes, max_ttl: MAX_TTL, quorum: None }
    }
}

/// A client of that mode.
pub fn build(mode: Mode, belief: &Belief) -> Result<Redlock> {
    with_timeout(mode, belief, NODE_TIMEOUT)
}

fn with_timeout(mode: Mode, belief: &Belief, node_timeout: Duration) -> Result<Redlock> {
    let builder = Redlock::builder().nodes(&belief.nodes).node_timeout(node_timeout);
    // What a restart costs is to be seen: who is held back would be a plain client no more.
    let builder = builder.delayed_restarts(false);
    let builder = builder.ttl(ms(*TTLS.end())).max_ttl(belief.max_ttl);
    let builder = match mode {
        Mode::Plain | Mode::Fenced => builder,
        Mode::Quorum4 => builder.quorum(4),
        Mode::Grace => builder.grace(GRACE),
        Mode::Strict | Mode::StrictFenced => builder.strict(belief.max_ttl),
    };
    Ok(match belief.quorum {
        Some(quorum) => builder.quorum(quorum).build()?,
        None => builder.build()?,
    })
}

/// What these modes need of fresh nodes before the first client asks.
pub async fn prepare(modes: &[Mode], belief: &Belief) -> Result<()> {
    if let Some(strict) = modes.iter().find(|mode| mode.is_strict()) {
        bootstrap(*strict, belief).await??;
    }
    Ok(())
}

/// All nodes must answer that, so a busy host has all the time that it needs.
pub async fn bootstrap(mode: Mode, belief: &Belief) -> Result<std::result::Result<(), Error>> {
    Ok(with_timeout(mode, belief, PATIENCE)?.bootstrap().await)
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let named = Self::ALL.into_iter().find(|mode| mode.name() == name);
        named.ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            format!("no mode `{name}`: there are {all}")
        })
    }
}
