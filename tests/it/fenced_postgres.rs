//! Holders that are stopped between the look at their lock and their write, past the end of the
//! lock: two hundred of them write to a PostgreSQL that doesn't compare numbers, and two hundred to
//! one that does. How long anything takes is never judged here.
//!
//! Two processes count up the same twenty rows, each row under a lock of its own: read, look whether
//! the lock is still held, write what was read + 1. The first of them is stopped in each wave, while
//! all its twenty tasks stand between the look and the write, and it goes on when the other has
//! written every row. The database itself counts what it accepts, in the statement that writes. Each
//! write that somebody has overwritten without having read it is missing in the sum of the rows.
#![cfg(unix)]

#[path = "../../examples/scratch_postgres/mod.rs"]
mod scratch_postgres;

use std::{io::ErrorKind, sync::Arc, time::Duration};

use redlock_quorum::testing::Cluster;
use scratch_postgres::ScratchPostgres;
use tokio::{task::JoinHandle, time::sleep};
use tokio_postgres::{Client, NoTls};

use crate::{
    child::Program,
    fenced_writer::ROWS,
    local::skipped,
    support::{eventually, start},
};

/// Well past the end of a lock. The pause itself is what is tried, so there is nothing to await in
/// its place; that the other has written meanwhile is awaited.
const PAUSE: Duration = Duration::from_secs(5);
const WAVES: i64 = 10;
const PAUSES: i64 = WAVES * ROWS as i64;
/// How many writes are accepted at least, in the whole and before each wave.
const WRITES: i64 = 2_000;
const BEFORE_A_WAVE: i64 = 100;

/// The database at `config`, and what drives the connection.
pub async fn open(config: &str) -> (Arc<Client>, JoinHandle<Result<(), tokio_postgres::Error>>) {
    let (postgres, connection) = tokio_postgres::connect(config, NoTls).await.unwrap();
    (Arc::new(postgres), tokio::spawn(connection))
}

/// What came of one kind of writes.
#[derive(Debug)]
struct Counts {
    accepted: i64,
    refused: i64,
    lost: i64,
}

/// A table, and the two processes that write to it.
struct Rows {
    table: &'static str,
    postgres: Arc<Client>,
    stopped: Program,
    other: Program,
}

impl Rows {
    async fn start(table: &'static str, cluster: &Cluster, config: &str) -> Self {
        let (postgres, _) = open(config).await;
        let create = format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, value BIGINT NOT NULL DEFAULT 0,
                fence BIGINT NOT NULL DEFAULT 0, accepted BIGINT NOT NULL DEFAULT 0);
             INSERT INTO {table} (id) SELECT generate_series(1, {ROWS})"
        );
        postgres.batch_execute(&create).await.unwrap();
        let nodes = cluster.urls().join(",");
        let environment = [("NODES", &*nodes), ("POSTGRES", config), ("TABLE", table)];
        let program = || Program::start("fenced_writer::count_up", &environment);
        Self { table, postgres, stopped: program(), other: program() }
    }

    /// Both write freely, then the one is stopped.
    async fn wave(&mut self) {
        self.is_written_to(self.accepted().await + BEFORE_A_WAVE).await;
        self.stopped.tell("stand").await;
        self.stopped.says("it stands").await;
        // From here on, all that is accepted is the other's.
        let before = self.accepted_by_row().await;
        self.stopped.stop().await;
        sleep(PAUSE).await;
        eventually("the other writes every row", async || {
            let now = self.accepted_by_row().await;
            let all = before.iter().zip(&now).all(|(before, now)| now > before);
            if all { Ok(()) } else { Err((before.clone(), now)) }
        })
        .await;
        self.stopped.go_on().await;
        self.stopped.says("it goes on").await;
    }

    async fn run(mut self) -> Counts {
        for _ in 0..WAVES {
            self.wave().await;
        }
        self.is_written_to(WRITES).await;
        let (mut said, mut refused) = (0, 0);
        for mut program in [self.stopped, self.other] {
            program.tell("end").await;
            let counts = program.says_with("what came of it", read_counts).await;
            said += counts.0;
            refused += counts.1;
            program.ends().await;
        }
        let sums = format!("SELECT sum(accepted)::BIGINT, sum(value)::BIGINT FROM {}", self.table);
        let row = self.postgres.query_one(&sums, &[]).await.unwrap();
        let (accepted, value): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(said, accepted, "what the writers were told, and what the database counted");
        Counts { accepted, refused, lost: accepted - value }
    }

    /// Returns when so many writes have been accepted in all.
    async fn is_written_to(&self, wanted: i64) {
        eventually("both write", async || {
            let accepted = self.accepted().await;
            if accepted >= wanted { Ok(()) } else { Err((accepted, wanted)) }
        })
        .await;
    }

    async fn accepted(&self) -> i64 {
        self.accepted_by_row().await.iter().sum()
    }

    async fn accepted_by_row(&self) -> Vec<i64> {
        let rows = format!("SELECT accepted FROM {} ORDER BY id", self.table);
        self.postgres.query(&rows, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// What a writer says at its end: how many of its writes were accepted, and how many refused.
fn read_counts(line: &str) -> Option<(i64, i64)> {
    let (accepted, refused) = line.strip_prefix("it wrote ")?.split_once(", refused ")?;
    Some((accepted.parse().unwrap(), refused.parse().unwrap()))
}

#[tokio::test]
async fn what_paused_holders_write_late_is_refused_by_its_number_and_harms_without() {
    let scratch = match ScratchPostgres::start() {
        Ok(scratch) => scratch,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped("it takes PostgreSQL, which is not installed");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let cluster = start(3).await;
    let plain = Rows::start("plain", &cluster, scratch.config()).await;
    let fenced = Rows::start("fenced", &cluster, scratch.config()).await;
    let (plain, fenced) = tokio::join!(plain.run(), fenced.run());
    println!("{PAUSES} pauses without numbers: {plain:?}");
    println!("{PAUSES} pauses with numbers:    {fenced:?}");
    // In each pause either the late write is lost, or all that the other wrote meanwhile.
    assert!(plain.lost >= PAUSES, "{plain:?}");
    assert_eq!(plain.refused, 0, "{plain:?}");
    assert_eq!(fenced.lost, 0, "{fenced:?}");
    assert!(fenced.refused >= PAUSES, "each late write is refused: {fenced:?}");
    assert!(fenced.accepted >= WRITES, "{fenced:?}");
}
