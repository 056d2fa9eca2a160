//! What servers refuse with: each in its own kind, with what to change.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use redlock_quorum::{
    Error, ErrorKind, NodeErrorKind, Redlock, Released,
    testing::{Cluster, Reply, TestNode},
};

use crate::support::{
    LIMIT, TTL, builder, client, connect, eventually, finish, info, kinds, ms, run, run_on, set_up,
    slow_to_load, start, start_with_debug, take_elsewhere, within,
};

/// One try, which must fail on a quorum of nodes because of `kind`, and say
/// `advice`.
async fn refused(redlock: &Redlock, kind: NodeErrorKind, advice: &str) -> Error {
    let trying = redlock.try_lock("job").into_future();
    let error = within(LIMIT, "the servers refuse at once", trying).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    let kinds = kinds(&error);
    assert!(kinds.len() >= 2 && kinds.iter().all(|k| *k == kind), "{kinds:?}: {error}");
    assert!(error.to_string().contains(advice), "{error}");
    error
}

#[tokio::test]
async fn a_replica_is_named_as_such() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    set_up(cluster.nodes(), "REPLICAOF 127.0.0.1 1").await;
    refused(&redlock, NodeErrorKind::ReadOnly, "replica").await;
    set_up(cluster.nodes(), "REPLICAOF NO ONE").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_node_that_is_not_asked_to_release_is_not_said_to_be_silent() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(200)).build().unwrap();
    take_elsewhere(&cluster.nodes()[2..], "job").await;
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").await.unwrap();
    // What comes after the refusal on the same connection has come, too.
    connect(&redlock, 3).await;
    for node in &cluster.nodes()[..2] {
        node.pause().await.unwrap();
    }
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    let failed: Vec<_> = error.nodes().iter().map(|node| node.error().is_some()).collect();
    assert_eq!(failed, [true, true, false], "{error}");
    for node in &cluster.nodes()[..2] {
        node.resume().await.unwrap();
    }
    run(&cluster.nodes()[2], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_extension_that_the_deadline_cuts_short_blames_no_node() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").ttl(ms(2000)).wait(LIMIT).await.unwrap();
    for node in &cluster.nodes()[..2] {
        node.pause().await.unwrap();
    }
    // They would have 5 s, and the lock has not.
    let error = guard.extend(TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert!(error.nodes().iter().all(|node| node.error().is_none()), "{error}");
    for node in &cluster.nodes()[..2] {
        node.resume().await.unwrap();
    }
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn out_of_memory_refuses_new_locks_and_not_the_extension_or_release_of_old_ones() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("old").await.unwrap();
    set_up(cluster.nodes(), "CONFIG SET maxmemory-policy noeviction").await;
    set_up(cluster.nodes(), "CONFIG SET maxmemory 1").await;
    refused(&redlock, NodeErrorKind::OutOfMemory, "raise maxmemory").await;
    guard.extend(2 * TTL).await.unwrap();
    assert!(guard.remaining() > TTL);
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_refuses_writes_is_named_as_such() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    set_up(cluster.nodes(), "CONFIG SET min-replicas-to-write 1").await;
    let error = refused(&redlock, NodeErrorKind::WritesRefused, "refuses writes").await;
    assert!(error.to_string().contains("NOREPLICAS"), "{error}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_can_not_delete_either_is_asked_again() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    set_up(cluster.nodes(), "CONFIG SET min-replicas-to-write 1").await;
    let released = guard.release().await;
    if info(&cluster.nodes()[0], "server", "redis_version:").await < 7 {
        // There a script writes all the same.
        assert_eq!(released.unwrap(), Released::Released);
    } else {
        let error = released.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        assert!(kinds(&error).contains(&NodeErrorKind::WritesRefused), "{error}");
    }
    set_up(cluster.nodes(), "CONFIG SET min-replicas-to-write 0").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_without_a_command_is_named_as_such() {
    let cluster =
        Cluster::builder().server_args(["--rename-command", "SET", ""]).start().await.unwrap();
    let redlock = client(&cluster);
    let error = refused(&redlock, NodeErrorKind::Unsupported, "does not know a command").await;
    assert!(!error.to_string().contains("job NX"), "no arguments are echoed: {error}");
    finish(&redlock, &cluster).await;
}

async fn replaced_by_a_list(nodes: &[TestNode]) {
    set_up(nodes, "DEL job").await;
    set_up(nodes, "LPUSH job element").await;
}

async fn held_everywhere(redlock: &Redlock) -> redlock_quorum::LockGuard {
    let guard = redlock.lock("job").await.unwrap();
    eventually("all nodes granted", async || {
        let granted = guard.votes().granted();
        if granted == 3 { Ok(()) } else { Err(granted) }
    })
    .await;
    guard
}

#[tokio::test]
async fn a_lock_replaced_by_another_type_is_lost() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = held_everywhere(&redlock).await;
    replaced_by_a_list(&cluster.nodes()[1..]).await;
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert!(error.to_string().contains("not a lock"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Lost, "our key is surely gone: {error}");
    assert!(!guard.is_held());
    drop(guard);
    set_up(&cluster.nodes()[1..], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_release_tells_of_a_key_of_another_type_and_leaves_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = held_everywhere(&redlock).await;
    let taken = &cluster.nodes()[1..];
    replaced_by_a_list(taken).await;
    match guard.release().await {
        Ok(released) => assert_eq!(released, Released::AlreadyExpired),
        Err(error) => assert!(error.to_string().contains("not a lock"), "{error}"),
    }
    redlock.shutdown(LIMIT / 3).await.expect("asking again would not help");
    assert_eq!(run_on(taken, "LLEN job").await, [Reply::Int(1), Reply::Int(1)]);
    set_up(taken, "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    let cluster = start_with_debug(3).await;
    let redlock = client(&cluster);
    let (loading, ready) = cluster.nodes().split_at(2);
    assert_eq!(ready.len(), 1);
    if !slow_to_load(loading, 20_000, 1000).await {
        return;
    }
    // Its own answer comes when all is loaded, which is nobody's business here.
    let reload = async |node: &TestNode| drop(node.command(&["DEBUG", "RELOAD"]).await);
    let seen = async {
        let error = eventually("both are seen loading", async || {
            let Err(error) = redlock.try_lock("job").await else { return Err(Vec::new()) };
            let kinds = kinds(&error);
            if kinds == [NodeErrorKind::Loading; 2] { Ok(error) } else { Err(kinds) }
        })
        .await;
        set_up(loading, "CONFIG SET key-load-delay 0").await;
        error
    };
    let (error, ..) =
        futures_util::future::join3(seen, reload(&loading[0]), reload(&loading[1])).await;
    assert!(error.to_string().contains("loading"), "{error}");
    assert!(error.nodes()[0].error().unwrap().is_transient());
    redlock.lock("job").wait(LIMIT).await.unwrap().release().await.unwrap();
    for node in loading {
        eventually("all is loaded", async || match run(node, "FLUSHALL").await {
            Reply::Error(text) => Err(text),
            _ => Ok(()),
        })
        .await;
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_a_script_blocks_is_named_as_such() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let blocked = &cluster.nodes()[..2];
    set_up(blocked, "CONFIG SET lua-time-limit 10").await;
    let block = async |node: &TestNode| {
        let _ = node.command(&["EVAL", "while true do end", "0"]).await;
    };
    let seen = async {
        for node in blocked {
            eventually("the script blocks it", async || match run(node, "PING").await {
                Reply::Error(text) if text.starts_with("BUSY") => Ok(()),
                other => Err(other),
            })
            .await;
        }
        refused(&redlock, NodeErrorKind::ScriptBusy, "SCRIPT KILL").await;
        set_up(blocked, "SCRIPT KILL").await;
    };
    futures_util::future::join3(seen, block(&blocked[0]), block(&blocked[1])).await;
    redlock.lock("job").wait(LIMIT).await.unwrap().release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn flushed_scripts_are_sent_again() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for turn in 0..3 {
        let guard = redlock.lock("job").await.unwrap();
        set_up(cluster.nodes(), "SCRIPT FLUSH").await;
        guard.extend((turn + 2) * TTL).await.unwrap();
        set_up(cluster.nodes(), "SCRIPT FLUSH").await;
        assert_eq!(guard.release().await.unwrap(), Released::Released);
    }
    finish(&redlock, &cluster).await;
}

/// Not a Redis server: it answers whatever comes with a web server's error.
fn web_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    format!("redis://{address}")
}

#[tokio::test]
async fn something_that_is_no_redis_server_is_named_as_such() {
    let cluster = start(1).await;
    let nodes = [web_server(), web_server(), cluster.nodes()[0].url()];
    let redlock = Redlock::builder().nodes(nodes).node_timeout(ms(2000)).build().unwrap();
    refused(&redlock, NodeErrorKind::Protocol, "check host and port").await;
    drop(redlock);
    finish(&builder(&cluster).build().unwrap(), &cluster).await;
}
