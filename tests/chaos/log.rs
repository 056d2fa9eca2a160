//! What is written down during a campaign, a line of JSON each: by every client
//! what it believes, by the supervisor what it did to it. Each line is one write
//! that has reached the system before the writer goes on, so a process that is
//! killed takes nothing with it. Nothing is judged here.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Mutex,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Result, fault::Kind, mode::Mode};

/// What a client says. `call` is its own count of calls; times are of [`crate::clock`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Event {
    /// It is about to ask for a lock, and is to have an answer within `limit`.
    Asked { call: u64, key: String, at: u64, limit: u64 },
    /// It has it, and believes so until `until` as it looks now.
    Granted { call: u64, at: u64, until: u64, number: Option<u64> },
    /// It has looked again: the lock was extended, or is gone.
    Looked { call: u64, at: u64, until: u64 },
    /// It believes no more, and is about to release it.
    LetGo { call: u64, at: u64 },
    /// The release, or the acquire that got no lock, is over.
    Over { call: u64, at: u64, why: Option<String> },
    /// A call did not come back, and was given up.
    Hung { call: u64, at: u64 },
    /// The host did not let the process run though it wanted to.
    Stalled { from: u64, until: u64 },
    /// A plain sleep beside that call, for as long as it may take, came back at `until` and not at
    /// `from`.
    Control { call: u64, from: u64, until: u64 },
}

/// What the supervisor says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Note {
    Began {
        at: u64,
    },
    /// Clients were told to end.
    Ended {
        at: u64,
    },
    /// A process of that number is a client of that mode.
    Started {
        process: u32,
        mode: Mode,
    },
    /// It is stopped, or goes on.
    Stopped {
        process: u32,
        at: u64,
    },
    Continued {
        process: u32,
        at: u64,
    },
    Killed {
        process: u32,
        at: u64,
    },
    /// It did not end though it was told to.
    Stuck {
        process: u32,
    },
    /// A fault took effect.
    Struck {
        kind: Kind,
        nodes: Vec<usize>,
        at: u64,
    },
    /// It is undone.
    Undone {
        kind: Kind,
        at: u64,
    },
    /// Another part of a step begins.
    Part {
        at: u64,
    },
    /// The counter was asked to write what was read + 1.
    Wrote(Write),
    /// The counter refused a read, since a larger number has been shown.
    Denied {
        key: String,
    },
    /// A key was there when all locks had ended.
    Left {
        node: usize,
        key: String,
    },
}

/// A write to the counter of a key. `found` is what was there when it came.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Write {
    pub process: u32,
    pub call: u64,
    pub key: String,
    pub read_at: u64,
    pub read: u64,
    pub at: u64,
    pub found: u64,
    pub accepted: bool,
}

/// A file that is only ever written to at its end.
#[derive(Debug)]
pub struct Log(Mutex<File>);

impl Log {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    pub fn say(&self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).expect("it has no keys but names");
        text.push(b'\n');
        // Without its log a campaign means nothing.
        self.0.lock().unwrap().write_all(&text).expect("the log can be written");
    }
}

/// All lines of a file. The last one is not whole where its writer was killed.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let lines = text[..whole].lines().map(|line| Ok(serde_json::from_str(line)?));
    lines.collect()
}
