//! What one server executes, as its `MONITOR` shows it: by each line who asked,
//! a client or a script. It is exact, and far too slow to measure beside it.

use redlock_quorum_benches::{common::Result, network::address};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What the observer asks, which is not a client's.
const OBSERVERS: [&str; 2] = ["info", "dbsize"];

pub struct Monitor {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Closed, it would end.
    _open: OwnedWriteHalf,
}

/// How many commands were seen.
#[derive(Clone, Copy, Default)]
pub struct Shown {
    pub by_clients: u64,
    pub by_scripts: u64,
}

impl Monitor {
    /// Sees all that the server is asked from when this returns.
    pub async fn of(url: &str) -> Result<Self> {
        let (read, mut write) = TcpStream::connect(address(url).await?).await?.into_split();
        write.write_all(b"MONITOR\r\n").await?;
        let mut lines = BufReader::new(read).lines();
        match lines.next_line().await?.as_deref() {
            Some("+OK") => Ok(Self { lines, _open: write }),
            other => Err(format!("no MONITOR: {other:?}").into()),
        }
    }

    /// All up to an `ECHO` of `word`.
    pub async fn until(&mut self, word: &str) -> Result<Shown> {
        let mut shown = Shown::default();
        while let Some(line) = self.lines.next_line().await? {
            let (who, command) = line.split_once("] ").ok_or("a line of another form")?;
            let mut words = command.split(' ').map(|word| word.trim_matches('"'));
            let name = words.next().unwrap_or_default().to_lowercase();
            if name == "echo" && words.next() == Some(word) {
                return Ok(shown);
            }
            if who.ends_with(" lua") {
                shown.by_scripts += 1;
            } else if !OBSERVERS.contains(&name.as_str()) {
                shown.by_clients += 1;
            }
        }
        Err("the server hung up".into())
    }
}
