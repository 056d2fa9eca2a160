//! What can't work is refused before anything is sent, with what to change.

use std::{io, net::TcpListener, time::Duration};

use redlock_quorum::{Builder, Error, ErrorKind, Redlock, Token};

use crate::support::{TTL, client, finish, ms, start};

/// A port that is open and counts who comes.
struct Port(TcpListener);

impl Port {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("redis://{}", self.0.local_addr().unwrap())
    }

    fn assert_nobody_came(&self) {
        let came = self.0.accept();
        let nobody = matches!(&came, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        assert!(nobody, "{came:?}");
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, word: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(error.to_string().contains(word), "{error}");
    assert!(error.nodes().is_empty() && error.retry_after().is_none(), "{error:?}");
}

#[tokio::test]
async fn settings_that_can_not_work_are_refused_by_the_builder() {
    let ports = [Port::open(), Port::open(), Port::open()];
    let urls: Vec<_> = ports.iter().map(Port::url).collect();
    let three = || Redlock::builder().nodes(&urls);
    let upper = urls[0].replace("redis:", "REDIS:");
    let cases: Vec<(Builder, &str)> = vec![
        (Redlock::builder(), "no nodes"),
        (Redlock::from_clients([]), "no nodes"),
        (three().nodes(["not a url"]), "node 4"),
        (three().nodes([&urls[1]]), "listed twice"),
        (three().nodes([format!("{}/3", urls[1])]), "listed twice"),
        (three().nodes([upper]), ""),
        (three().nodes([urls[0].replace("redis:", "rediss:") + "/#insecure"]), "#insecure"),
        (three().quorum(0), "from 2 to 3"),
        (three().quorum(1), "from 2 to 3"),
        (three().quorum(4), "from 2 to 3"),
        (three().ttl(Duration::ZERO), "10ms"),
        (three().ttl(ms(9)), "10ms"),
        (three().ttl(Duration::from_nanos(9_999_999)), "10ms"),
        (three().ttl(Duration::from_secs(3601)), "to 1h"),
        (three().ttl(Duration::MAX), "to 1h"),
        (three().max_ttl(ms(500)), "500ms"),
        (three().max_ttl(ms(9)), "max_ttl"),
        (three().node_timeout(Duration::ZERO), "node_timeout"),
        (three().node_timeout(Duration::MAX), "node_timeout"),
        (three().drift_per_mille(1000), "drift_per_mille"),
        (three().retry_delay(Duration::ZERO, ms(1)), "retry_delay"),
        (three().retry_delay(ms(2), ms(1)), "retry_delay"),
        (three().key_prefix(vec![b'p'; 1024]), "key_prefix"),
    ];
    for (builder, word) in cases {
        refused(builder.build(), word);
    }
    for port in ports {
        port.assert_nobody_came();
    }
}

#[tokio::test]
async fn calls_that_can_not_work_are_refused_and_send_nothing() {
    let port = Port::open();
    let redlock = Redlock::builder().nodes([port.url()]).key_prefix("app:").build().unwrap();
    refused(redlock.lock("").await, "empty");
    refused(redlock.try_lock([]).await, "empty");
    refused(redlock.lock(vec![b'k'; 1021]).await, "1025 bytes");
    refused(redlock.lock("job").ttl(Duration::ZERO).await, "10ms");
    refused(redlock.lock("job").ttl(ms(9)).await, "10ms");
    refused(redlock.lock("job").ttl(Duration::from_secs(3601)).await, "to 1h");
    refused(redlock.lock("job").ttl(Duration::MAX).await, "to 1h");
    refused(Token::from_bytes([]), "1 to 256");
    refused(Token::from_bytes([0; 257]), "1 to 256");
    port.assert_nobody_came();
}

#[tokio::test]
async fn an_extension_that_can_not_work_is_refused_and_changes_nothing() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    for ttl in [Duration::ZERO, ms(9), Duration::from_secs(3601), Duration::MAX] {
        refused(guard.extend(ttl).await, "the ttl is");
    }
    assert!(guard.remaining() > TTL / 2);
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn the_longest_settings_that_are_allowed_work() {
    let cluster = start(1).await;
    let month = Duration::from_secs(30 * 24 * 3600);
    let builder = Redlock::builder().nodes(cluster.urls()).max_ttl(month).ttl(month);
    let redlock = builder.node_timeout(ms(5000)).build().unwrap();
    let guard = redlock.lock(vec![b'k'; 1024]).wait(Duration::MAX).await.unwrap();
    assert!(guard.remaining() > month / 2);
    guard.release().await.unwrap();
    redlock.shutdown(Duration::MAX).await.unwrap();
    finish(&redlock, &cluster).await;
}
