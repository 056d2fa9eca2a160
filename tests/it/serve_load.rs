//! Two instances of the real program under load: every answer is right, whatever
//! instance gives it and whatever happens to a node, and no key is left.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use reqwest::{Client, StatusCode};
use tokio::task::JoinSet;

use crate::{
    program::Program,
    support::{assert_no_keys, eventually, start},
};

const CONNECTIONS: usize = 64;

/// No healthy node is late, however loaded the machine.
const NEVER_LATE: [&str; 2] = ["--node-timeout", "5s"];

/// One caller's: its own connection to each instance.
struct Caller {
    client: Client,
    urls: [String; 2],
}

impl Caller {
    async fn post(&self, instance: usize, path: &str, form: String) -> String {
        let request = self.client.post(format!("{}{path}", self.urls[instance % 2])).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Locks by one instance and unlocks by the other.
    async fn pair(&self, number: usize) {
        let locked = self.post(number, "/lock", format!("key=pair:{number}")).await;
        let locked: serde_json::Value = serde_json::from_str(&locked).unwrap();
        let token = locked["token"].as_str().unwrap();
        let form = format!("key=pair:{number}&token={token}");
        let released = self.post(number + 1, "/unlock", form).await;
        assert_eq!(released, r#"{"code":0,"message":"release lock success"}"#);
    }
}

/// Begins so many pairs over 64 connections; `done` counts.
fn begin(programs: &[Program; 2], pairs: usize, done: &Arc<AtomicUsize>) -> JoinSet<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let urls = [programs[0].url().to_owned(), programs[1].url().to_owned()];
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, done) = (Arc::clone(&next), Arc::clone(done));
        let client = Client::builder().pool_max_idle_per_host(1).build().unwrap();
        let caller = Caller { client, urls: urls.clone() };
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= pairs {
                    return;
                }
                caller.pair(number).await;
                done.fetch_add(1, SeqCst);
            }
        });
    }
    callers
}

async fn finish(mut callers: JoinSet<()>, programs: [Program; 2]) {
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    for program in programs {
        let log = program.stderr();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
        assert!(program.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pairs_over_64_connections_fail_never_and_leave_nothing() {
    let cluster = start(3).await;
    let programs = [
        Program::start(&cluster, &NEVER_LATE, &[]).await,
        Program::start(&cluster, &NEVER_LATE, &[]).await,
    ];
    let done = Arc::default();
    finish(begin(&programs, 10_000, &done), programs).await;
    assert_eq!(done.load(SeqCst), 10_000);
    assert_no_keys(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_under_load_changes_no_answer() {
    let cluster = start(3).await;
    let programs = [
        Program::start(&cluster, &NEVER_LATE, &[]).await,
        Program::start(&cluster, &NEVER_LATE, &[]).await,
    ];
    let done = Arc::default();
    let callers = begin(&programs, 3000, &done);
    let reached = async |count| {
        eventually("pairs are done", async || {
            let done = done.load(SeqCst);
            if done >= count { Ok(()) } else { Err(done) }
        })
        .await;
    };
    reached(500).await;
    cluster.nodes()[0].kill().await.unwrap();
    reached(1500).await;
    cluster.nodes()[0].restart().await.unwrap();
    finish(callers, programs).await;
    assert_eq!(done.load(SeqCst), 3000);
    assert_no_keys(&cluster).await;
}
