//! The program of [`fenced_postgres`](crate::fenced_postgres): it counts up twenty rows, each under
//! a lock of its own, until it is told to end. What it is told to stand for, and for how long it is
//! stopped, is the test's affair; it never looks at its lock once it has stood.
#![cfg(unix)]

use std::{
    io::BufRead as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use redlock_quorum::{LockGuard, Redlock};
use tokio::{
    sync::{Barrier, mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_postgres::Client;

use crate::{
    fenced_postgres::open,
    support::{LIMIT, NODE_TIMEOUT},
};

pub const ROWS: usize = 20;
/// It is not renewed.
const HELD_FOR: Duration = Duration::from_secs(2);
/// Between two of a row's writes: the tests beside this one have something to do, too.
const REST: Duration = Duration::from_millis(150);

/// What the tasks of all rows share.
struct Writer {
    redlock: Redlock,
    postgres: Arc<Client>,
    table: String,
    is_fenced: bool,
    /// What was told last.
    order: watch::Receiver<Order>,
    all_stand: Barrier,
    accepted: AtomicI64,
    refused: AtomicI64,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Write,
    /// For the how-manieth time: who was slow to hear that it goes on is not kept by the next one.
    Stand(u32),
    End,
}

impl Writer {
    async fn keep_writing(&self, id: i32) {
        while *self.order.borrow() != Order::End {
            self.write_once(id).await;
            sleep(REST).await;
        }
    }

    async fn write_once(&self, id: i32) {
        let lock = self.redlock.lock(format!("{}:{id}", self.table)).ttl(HELD_FOR).wait(LIMIT);
        let lock = if self.is_fenced { lock.fenced() } else { lock };
        let guard = lock.await.unwrap();
        if let Some(value) = self.read(id, &guard).await
            && guard.is_held()
        {
            self.stand().await;
            let changed = self.write(id, value + 1, &guard).await;
            self.accepted.fetch_add(changed, Relaxed);
            self.refused.fetch_add(1 - changed, Relaxed);
        }
        // Where this fails, the ttl releases it.
        let _ = guard.release().await;
    }

    /// Between the look at the lock and the write, when told to.
    async fn stand(&self) {
        let mut order = self.order.clone();
        let told = *order.borrow();
        let Order::Stand(_) = told else { return };
        let all = async {
            if self.all_stand.wait().await.is_leader() {
                println!("it stands");
            }
            std::future::pending().await
        };
        tokio::select! {
            () = all => {}
            next = order.wait_for(|order| *order != told) => drop(next.unwrap()),
        }
    }

    /// `None` if somebody with a larger number has been here. The number is shown at the read, too:
    /// from then on a smaller one can't write what this reader would not know of.
    async fn read(&self, id: i32, guard: &LockGuard) -> Option<i64> {
        let table = &self.table;
        let row = match number(guard) {
            None => {
                let read = format!("SELECT value FROM {table} WHERE id = $1");
                self.postgres.query_opt(&read, &[&id]).await
            }
            Some(number) => {
                let read = format!(
                    "UPDATE {table} SET fence = $2 WHERE id = $1 AND fence <= $2 RETURNING value"
                );
                self.postgres.query_opt(&read, &[&id, &number]).await
            }
        };
        row.unwrap().map(|row| row.get(0))
    }

    /// How many rows were changed, which is one or none.
    async fn write(&self, id: i32, value: i64, guard: &LockGuard) -> i64 {
        let write = format!("UPDATE {} SET accepted = accepted + 1, value = $1", self.table);
        let changed = match number(guard) {
            None => {
                let write = format!("{write} WHERE id = $2");
                self.postgres.execute(&write, &[&value, &id]).await
            }
            Some(number) => {
                let write = format!("{write}, fence = $3 WHERE id = $2 AND fence <= $3");
                self.postgres.execute(&write, &[&value, &id, &number]).await
            }
        };
        changed.unwrap().try_into().unwrap()
    }
}

fn number(guard: &LockGuard) -> Option<i64> {
    guard.fencing_number().map(|number| number.try_into().unwrap())
}

/// The lines of the input. Where it ends, so does the program.
fn orders() -> mpsc::UnboundedReceiver<Order> {
    let (said, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for (count, line) in (0..).zip(std::io::stdin().lock().lines()) {
            let order = match line.unwrap().as_str() {
                "stand" => Order::Stand(count),
                "go on" => Order::Write,
                _ => Order::End,
            };
            if said.send(order).is_err() {
                return;
            }
        }
    });
    heard
}

#[tokio::test]
#[ignore = "no test, a program that one starts and stops: it counts up rows under locks"]
async fn count_up() {
    let [nodes, config, table] =
        ["NODES", "POSTGRES", "TABLE"].map(|name| std::env::var(name).unwrap());
    let redlock = Redlock::builder().nodes(nodes.split(',')).node_timeout(NODE_TIMEOUT).build();
    let (give, order) = watch::channel(Order::Write);
    let writer = Arc::new(Writer {
        redlock: redlock.unwrap(),
        postgres: open(&config).await.0,
        is_fenced: table == "fenced",
        table,
        order,
        all_stand: Barrier::new(ROWS),
        accepted: AtomicI64::new(0),
        refused: AtomicI64::new(0),
    });
    let mut tasks = JoinSet::new();
    for id in 1..=ROWS {
        let writer = Arc::clone(&writer);
        tasks.spawn(async move { writer.keep_writing(id.try_into().unwrap()).await });
    }
    let mut orders = orders();
    while *give.borrow() != Order::End {
        let order = orders.recv().await.unwrap_or(Order::End);
        give.send(order).unwrap();
        if order == Order::Write {
            println!("it goes on");
        }
    }
    tasks.join_all().await;
    writer.redlock.shutdown(LIMIT).await.unwrap();
    println!(
        "it wrote {}, refused {}",
        writer.accepted.load(Relaxed),
        writer.refused.load(Relaxed)
    );
}
