//! What the locks protect: a counter for each key, outside Redis, in the supervisor's
//! process. Holders read it, wait a moment, and write what they read + 1. It compares
//! numbers where it is shown any, and writes down what it was asked; it knows nothing of
//! locks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    Result, clock,
    log::{Log, Note, Write},
};

#[derive(Debug, Deserialize, Serialize)]
enum Question {
    Read { call: u64, key: String, number: Option<u64> },
    Write { call: u64, key: String, value: u64, number: Option<u64> },
}

/// The value, or what was written; nothing where a larger number has been shown.
type Answer = Option<u64>;

/// A client's way to the counter.
#[derive(Debug)]
pub struct Counter {
    answers: BufReader<OwnedReadHalf>,
    questions: OwnedWriteHalf,
}

impl Counter {
    pub async fn connect(address: SocketAddr, process: u32) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (answers, mut questions) = stream.into_split();
        questions.write_all(format!("{process}\n").as_bytes()).await?;
        Ok(Self { answers: BufReader::new(answers), questions })
    }

    pub async fn read(&mut self, call: u64, key: &str, number: Option<u64>) -> Result<Answer> {
        self.ask(&Question::Read { call, key: key.to_owned(), number }).await
    }

    pub async fn write(
        &mut self,
        call: u64,
        key: &str,
        value: u64,
        number: Option<u64>,
    ) -> Result<Answer> {
        self.ask(&Question::Write { call, key: key.to_owned(), value, number }).await
    }

    async fn ask(&mut self, question: &Question) -> Result<Answer> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        self.questions.write_all(&line).await?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    }
}

#[derive(Debug, Default)]
struct Cell {
    value: u64,
    /// The largest number that was shown.
    seen: u64,
}

impl Cell {
    fn admits(&mut self, number: Option<u64>) -> bool {
        let number = number.unwrap_or(self.seen);
        self.seen = self.seen.max(number);
        number == self.seen
    }
}

type Cells = Arc<Mutex<HashMap<String, Cell>>>;

/// A counter that is served.
#[derive(Debug)]
pub struct Served {
    pub address: SocketAddr,
    updates: Arc<AtomicU64>,
}

impl Served {
    /// How many it has accepted, of all keys.
    pub fn updates(&self) -> u64 {
        self.updates.load(Relaxed)
    }
}

/// Serves until its runtime ends.
pub async fn serve(log: Arc<Log>) -> Result<Served> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let updates = Arc::<AtomicU64>::default();
    let served = Served { address, updates: Arc::clone(&updates) };
    tokio::spawn(async move {
        let cells = Cells::default();
        while let Ok((stream, _)) = listener.accept().await {
            let (cells, log) = (Arc::clone(&cells), Arc::clone(&log));
            let updates = Arc::clone(&updates);
            // It ends with its client, which may be killed in the middle of a line.
            tokio::spawn(async move { answer(stream, &cells, &updates, &log).await.ok() });
        }
    });
    Ok(served)
}

async fn answer(stream: TcpStream, cells: &Cells, updates: &AtomicU64, log: &Log) -> Result<()> {
    stream.set_nodelay(true)?;
    let (questions, mut answers) = stream.into_split();
    let mut questions = BufReader::new(questions).lines();
    let process = questions.next_line().await?.ok_or("it says no number")?.parse()?;
    // When the call that is under way on this connection has read.
    let mut read_at = 0;
    while let Some(line) = questions.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Question::Read { key, number, .. } => {
                read_at = clock::now();
                read(&mut cells.lock().unwrap(), key, number, log)
            }
            Question::Write { call, key, value, number } => {
                let read = value - 1;
                let (at, found, accepted) = (clock::now(), 0, false);
                let asked = Write { process, call, key, read_at, read, at, found, accepted };
                let written = write(&mut cells.lock().unwrap(), asked, number, log);
                updates.fetch_add(u64::from(written.is_some()), Relaxed);
                written
            }
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        answers.write_all(&line).await?;
    }
    Ok(())
}

fn read(cells: &mut HashMap<String, Cell>, key: String, number: Option<u64>, log: &Log) -> Answer {
    let cell = cells.entry(key.clone()).or_default();
    if cell.admits(number) {
        return Some(cell.value);
    }
    log.say(&Note::Denied { key });
    None
}

/// The order of what is written down is that of the writes: both under one mutex.
fn write(
    cells: &mut HashMap<String, Cell>,
    asked: Write,
    number: Option<u64>,
    log: &Log,
) -> Answer {
    let cell = cells.entry(asked.key.clone()).or_default();
    let (found, accepted, at) = (cell.value, cell.admits(number), clock::now());
    if accepted {
        cell.value = asked.read + 1;
    }
    log.say(&Note::Wrote(Write { found, accepted, at, ..asked }));
    accepted.then_some(cell.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_number_is_refused_and_none_is_not() {
        let mut cell = Cell::default();
        assert!(cell.admits(Some(5)) && cell.admits(Some(5)) && cell.admits(Some(7)));
        assert!(!cell.admits(Some(6)) && cell.admits(None) && cell.admits(Some(7)));
    }
}
