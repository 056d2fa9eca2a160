//! A lock that ends under its holder, and a PostgreSQL that refuses what this holder writes late.
//!
//! `cargo run --example fenced_postgres` starts three nodes and a PostgreSQL itself. To use yours:
//! `REDLOCK_NODES=redis://host1,redis://host2,redis://host3` and
//! `DATABASE_URL=postgres://user:password@host/database`. Its table is temporary, so that nothing
//! is left in a database of yours.

#[path = "scratch_postgres/mod.rs"]
mod scratch_postgres;

use std::{env, error::Error, time::Duration};

use redlock_quorum::{LockGuard, Redlock, testing::Cluster};
use scratch_postgres::ScratchPostgres;
use tokio_postgres::{Client, NoTls};

const TABLE: &str = "
    CREATE TEMPORARY TABLE report (id INT PRIMARY KEY, body TEXT NOT NULL, fence BIGINT NOT NULL);
    INSERT INTO report VALUES (7, 'empty', 0)";

/// The row keeps the largest number that it has seen. To compare and to write is one statement, so
/// that nobody comes between the two.
const WRITE: &str = "UPDATE report SET body = $1, fence = $2 WHERE id = 7 AND fence <= $2";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (nodes, _cluster) = find_nodes().await?;
    let (config, _scratch) = find_postgres()?;
    let (postgres, connection) = tokio_postgres::connect(&config, NoTls).await?;
    let connection = tokio::spawn(connection);
    postgres.batch_execute(TABLE).await?;

    // As if they were on two hosts.
    let host_a = Redlock::builder().nodes(&nodes).build()?;
    let host_b = Redlock::builder().nodes(&nodes).build()?;

    let a = host_a.lock("report:7").ttl(Duration::from_millis(500)).fenced().await?;
    let number_a = number(&a)?;
    println!("A holds the lock with the number {number_a}, and works too long");
    a.lost().await;
    println!("A's lock has ended");

    let b = host_b.lock("report:7").wait(Duration::from_secs(5)).fenced().await?;
    let number_b = number(&b)?;
    println!("B holds the lock with the number {number_b}, which is larger");
    if !write(&postgres, "by B", number_b).await? {
        return Err("B holds the lock, and its write was refused".into());
    }
    println!("B's write is accepted");

    // A process that was paused does not know that its lock has ended, and goes on like this.
    if write(&postgres, "by A", number_a).await? {
        return Err("A's late write was accepted".into());
    }
    println!("A's late write changes no row: its number is stale");
    let row = postgres.query_one("SELECT body FROM report WHERE id = 7", &[]).await?;
    println!("The report is {}", row.try_get::<_, String>(0)?);

    b.release().await?;
    host_a.shutdown(Duration::from_secs(1)).await?;
    host_b.shutdown(Duration::from_secs(1)).await?;
    drop(postgres);
    connection.await??;
    Ok(())
}

/// The number of a lock that was asked for with `fenced()`. It has 16 digits, so that it fits a
/// `BIGINT`.
fn number(guard: &LockGuard) -> Result<i64, Box<dyn Error>> {
    Ok(guard.fencing_number().ok_or("this lock was not asked for a number")?.try_into()?)
}

/// Whether the write was accepted. It is stale where somebody with a larger number has written.
async fn write(postgres: &Client, body: &str, number: i64) -> Result<bool, tokio_postgres::Error> {
    Ok(postgres.execute(WRITE, &[&body, &number]).await? == 1)
}

/// The URLs of the nodes, and the nodes themselves if they were started for this.
async fn find_nodes() -> Result<(Vec<String>, Option<Cluster>), Box<dyn Error>> {
    if let Ok(urls) = env::var("REDLOCK_NODES") {
        return Ok((urls.split(',').map(|url| url.trim().to_owned()).collect(), None));
    }
    let cluster = Cluster::builder().nodes(3).or_memory().start().await?;
    Ok((cluster.urls(), Some(cluster)))
}

/// How to connect to the database, and the server itself if it was started for this.
fn find_postgres() -> Result<(String, Option<ScratchPostgres>), Box<dyn Error>> {
    if let Ok(url) = env::var("DATABASE_URL") {
        return Ok((url, None));
    }
    let scratch = ScratchPostgres::start()
        .map_err(|error| format!("{error}; DATABASE_URL may name a server of yours"))?;
    Ok((scratch.config().to_owned(), Some(scratch)))
}
