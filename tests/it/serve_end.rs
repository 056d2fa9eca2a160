//! How `redlock serve` ends when it is asked to: nobody new, an answer for who is
//! there, nothing left behind.
#![cfg(unix)]

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    program::Program,
    support::{LIMIT, assert_no_keys, eventually, run_on, start, take_elsewhere, within},
};

async fn open(program: &Program) -> TcpStream {
    TcpStream::connect(program.address()).await.unwrap()
}

async fn post(stream: &mut TcpStream, path: &str, form: &str) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// A request that is being handled, and whose body does not come.
async fn half(program: &Program) -> TcpStream {
    let mut stream = open(program).await;
    let head = "POST /lock HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\n\
                content-type: application/x-www-form-urlencoded\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // It comes when the handler begins to read.
    let mut answer = [0; 25];
    within(LIMIT, "it is handled", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// All that comes until the connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    match within(LIMIT, "it hangs up", stream.read_to_string(&mut rest)).await {
        Ok(_) => rest,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => rest,
        Err(error) => panic!("{error}: {rest}"),
    }
}

/// Waits until the service says of itself that so many wait.
async fn waiting(program: &Program, count: usize) {
    let line = format!("redlock_waiting {count}\n");
    eventually(&line, async || {
        let mut stream = open(program).await;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let text = rest(stream).await;
        if text.contains(&line) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_answered_an_idle_connection_ends_and_no_key_stays() {
    let cluster = start(3).await;
    let mut program = Program::start(&cluster, &[], &[]).await;
    take_elsewhere(cluster.nodes(), "held").await;
    let mut idle = open(&program).await;
    post(&mut idle, "/lock", "key=mine").await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut waiter = open(&program).await;
    post(&mut waiter, "/lock", "key=held&wait_ms=60000").await;
    waiting(&program, 1).await;

    program.signal("TERM");
    let answer = rest(waiter).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#"{"code":4,"message":"lock service unavailable""#), "{answer}");
    rest(idle).await;
    assert!(program.ended().await.success());
    // What a caller holds is the caller's; nothing else is there.
    run_on(cluster.nodes(), "DEL held mine").await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_request_that_is_not_all_there_keeps_it_no_longer_than_it_may() {
    let cluster = start(1).await;
    let mut program = Program::start(&cluster, &["--shutdown-timeout", "100ms"], &[]).await;
    let half = half(&program).await;
    program.signal("TERM");
    assert!(program.ended().await.success());
    rest(half).await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn asked_twice_it_ends_at_once() {
    let cluster = start(1).await;
    let mut program = Program::start(&cluster, &["--shutdown-timeout", "10m"], &[]).await;
    let half = half(&program).await;
    // Which is seen before the next is sent.
    program.signal("INT");
    eventually("it has heard", async || {
        let log = program.stderr();
        if log.contains("ending") { Ok(()) } else { Err(log) }
    })
    .await;
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(143));
    drop(half);
}

#[tokio::test]
async fn a_killed_client_that_waits_leaves_no_key() {
    let cluster = start(3).await;
    let program = Program::start(&cluster, &[], &[]).await;
    take_elsewhere(cluster.nodes(), "held").await;
    let url = format!("{}/lock", program.url());
    let mut client = std::process::Command::new("curl")
        .args(["-s", "-d", "key=held&wait_ms=60000", &url])
        .spawn()
        .expect("curl is installed");
    waiting(&program, 1).await;
    client.kill().unwrap();
    client.wait().unwrap();
    waiting(&program, 0).await;
    run_on(cluster.nodes(), "DEL held").await;
    assert_no_keys(&cluster).await;
    // It had no part in that: the next one gets the lock.
    let mut next = open(&program).await;
    post(&mut next, "/lock", "key=held&ttl_ms=10000").await;
    let mut answer = [0; 12];
    next.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(program.terminate().await.success());
}
