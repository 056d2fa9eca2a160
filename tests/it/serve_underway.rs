//! What is under way when `redlock serve` ends: requests are finished, and the
//! nodes of `--dev` end with it, however it ends.
#![cfg(unix)]

use reqwest::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    program::Program,
    support::{LIMIT, assert_no_keys, eventually, start, within},
};

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    let reading = async {
        while !all.contains(end) {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{all}");
            all.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    };
    within(LIMIT, end, reading).await;
    all
}

#[tokio::test]
async fn a_request_that_is_being_handled_is_answered_and_its_lock_is_its_callers() {
    let cluster = start(3).await;
    let mut ending = Program::start(&cluster, &["--shutdown-timeout", "10m"], &[]).await;
    let other = Program::start(&cluster, &[], &[]).await;
    let mut stream = TcpStream::connect(ending.address()).await.unwrap();
    let head = "POST /lock HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // It is sent when the handler begins to read.
    read_until(&mut stream, "100 Continue\r\n\r\n").await;
    ending.signal("TERM");
    eventually("it no longer listens", async || match TcpStream::connect(ending.address()).await {
        Ok(_) => Err(ending.stderr()),
        Err(_) => Ok(()),
    })
    .await;
    stream.write_all(b"key=k").await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(ending.ended().await.success());
    assert!(!ending.stderr().contains("WARN"), "{}", ending.stderr());

    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let token = body["token"].as_str().unwrap();
    let request = Client::new().post(format!("{}/unlock", other.url()));
    let request = request.form(&[("key", "k"), ("token", token)]);
    let released = within(LIMIT, "an answer", request.send()).await.unwrap();
    assert_eq!(released.status(), 200, "{}", released.text().await.unwrap());
    assert!(other.terminate().await.success());
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn killed_it_leaves_no_nodes_either() {
    let mut program = Program::start_alone(&["--dev"], &[]).await;
    let ready = format!("{}/readyz", program.url());
    let ready = within(LIMIT, "an answer", Client::new().get(ready).send()).await.unwrap();
    let ready: serde_json::Value = ready.json().await.unwrap();
    let nodes = ready["nodes"].as_array().unwrap();
    let nodes: Vec<_> = nodes.iter().map(|node| node["node"].as_str().unwrap()).collect();
    assert_eq!(nodes.len(), 3, "{ready}");
    program.signal("KILL");
    program.ended().await;
    for node in nodes {
        eventually("its node has ended", async || match TcpStream::connect(node).await {
            Ok(_) => Err(node),
            Err(_) => Ok(()),
        })
        .await;
    }
}
