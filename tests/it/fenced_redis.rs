//! The script of docs/fencing.md, word for word, by which a Redis that is written to under a lock
//! refuses a holder that is late. No lock is kept at this server.

use redlock_quorum::testing::{Cluster, Reply};

use crate::support::{bulk, client, run, start};

const DOCUMENT: &str = include_str!("../../docs/fencing.md");

fn script() -> &'static str {
    let (_, behind) = DOCUMENT.split_once("```lua\n").expect("the document has a script");
    behind.split_once("```").expect("which ends").0
}

async fn write(cluster: &Cluster, number: u64, body: &str) -> Reply {
    let number = number.to_string();
    let words = ["EVAL", script(), "1", "report:7", &number, body];
    cluster.nodes()[0].command(&words).await.unwrap()
}

async fn is(cluster: &Cluster, number: u64, body: &str) {
    let seen = run(&cluster.nodes()[0], "HMGET report:7 fence body").await;
    assert_eq!(seen, Reply::Array(vec![bulk(number.to_string()), bulk(body)]));
}

#[tokio::test]
async fn the_documents_script_refuses_a_holder_that_is_late() {
    let (cluster, resource) = (start(3).await, start(1).await);
    let redlock = client(&cluster);
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let guard = redlock.lock("report:7").fenced().await.unwrap();
        numbers.push(guard.fencing_number().unwrap());
        guard.release().await.unwrap();
    }
    let (late, now) = (numbers[0], numbers[1]);
    assert_eq!(write(&resource, now, "first").await, Reply::Int(1));
    assert_eq!(write(&resource, late, "late").await, Reply::Int(0));
    is(&resource, now, "first").await;
    assert_eq!(write(&resource, now, "again").await, Reply::Int(1), "the same holder's");
    is(&resource, now, "again").await;
}

#[tokio::test]
async fn the_documents_script_tells_all_numbers_apart() {
    let resource = start(1).await;
    let mut counted = 0;
    for first in [1_000_000_000_000_000, 1_796_031_812_345_678, (1 << 53) - 33] {
        for number in first..first + 32 {
            assert_eq!(write(&resource, number + 1, "b").await, Reply::Int(1));
            assert_eq!(write(&resource, number, "a").await, Reply::Int(0), "{number}");
            is(&resource, number + 1, "b").await;
            counted += 1;
        }
    }
    println!("{counted} pairs of numbers next to each other, up to 2^53 - 1");
}
