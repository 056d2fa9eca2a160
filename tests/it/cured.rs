//! Nodes that can't serve for a while: nothing says that they can, and they vote again when
//! that is over, without anybody's doing at the client.

use std::{ffi::OsStr, fs, io::Write as _, path::Path};

use redlock_quorum::{
    NodeErrorKind, Redlock,
    testing::{Cluster, Reply, TestNode},
};
use tokio::process::{Child, Command};
use tracing::Level;

use crate::{
    failover::Name,
    http_stand::{Served, settings},
    local::{self, Directory, Port},
    printed::Printed,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, client, connect, eventually, finish, run, set_up,
        slow_to_load, start, start_with_debug,
    },
    unfit::{node_up, said_everywhere},
};

/// What is wrong with a server, until it is not.
struct Fault {
    what: &'static str,
    args: &'static [&'static str],
    begin: &'static str,
    /// What the server answers a SET from then on.
    answers: &'static str,
    end: &'static str,
    kind: NodeErrorKind,
    says: &'static str,
}

const FAULT: Fault = Fault {
    what: "",
    args: &[],
    begin: "",
    answers: "",
    end: "",
    kind: NodeErrorKind::WritesRefused,
    says: "",
};

/// Where no file can be written by anybody.
const NOWHERE: &[&str] = &["--dir", "/proc", "--save", "3600", "1000"];

fn faults() -> Vec<Fault> {
    use NodeErrorKind as K;
    vec![
        Fault {
            what: "its last snapshot has failed",
            args: NOWHERE,
            begin: "BGSAVE",
            answers: "MISCONF",
            end: "CONFIG SET stop-writes-on-bgsave-error no",
            says: "refuses writes: see its log (MISCONF to SET by ",
            ..FAULT
        },
        Fault {
            what: "without the replicas that it wants",
            begin: "CONFIG SET min-replicas-to-write 1",
            answers: "NOREPLICAS",
            end: "CONFIG SET min-replicas-to-write 0",
            says: "refuses writes: see its log (NOREPLICAS to SET by ",
            ..FAULT
        },
        Fault {
            what: "out of memory",
            begin: "CONFIG SET maxmemory 1",
            answers: "OOM",
            end: "CONFIG SET maxmemory 0",
            kind: K::OutOfMemory,
            says: "raise maxmemory or free some (OOM to SET by ",
            ..FAULT
        },
        Fault {
            what: "a replica",
            begin: "REPLICAOF 127.0.0.1 1",
            answers: "READONLY",
            end: "REPLICAOF NO ONE",
            kind: K::ReadOnly,
            says: "is a replica: list masters only",
            ..FAULT
        },
        Fault {
            what: "a replica that takes writes, but not without its master",
            args: &["--replica-serve-stale-data", "no", "--replica-read-only", "no"],
            begin: "REPLICAOF 127.0.0.1 1",
            answers: "MASTERDOWN",
            end: "REPLICAOF NO ONE",
            kind: K::ReadOnly,
            says: "is a replica: list masters only",
        },
        Fault {
            what: "a member of a cluster, without the slot",
            args: &["--cluster-enabled", "yes"],
            begin: "CLUSTER INFO",
            answers: "CLUSTERDOWN",
            end: "CLUSTER ADDSLOTSRANGE 0 16383",
            kind: K::Clustered,
            says: "cluster, master",
        },
    ]
}

/// A service over one node that is new to it.
async fn serve(url: String) -> Served {
    let builder = Redlock::builder().nodes([url]).ttl(TTL).node_timeout(NODE_TIMEOUT);
    Served::of(builder.build().unwrap(), settings()).await
}

/// It votes again, and all say so.
async fn cured(served: &Served, what: &str) {
    eventually(&format!("{what}: it is ready"), async || {
        let ready = served.get("/readyz").await;
        if ready.status == 200 { Ok(()) } else { Err(ready.body) }
    })
    .await;
    let guard = served.redlock.lock("job").wait(LIMIT).await.unwrap();
    guard.release().await.unwrap();
    let health = served.redlock.health().await.unwrap();
    assert_eq!(health.able(), 1, "{what}: {health:?}");
    let up = node_up(served).await;
    assert!(up.ends_with(" 1"), "{what}: {up}");
}

/// Waits until the server answers a SET with this.
async fn answers(node: &TestNode, code: &str) {
    eventually(code, async || match run(node, "SET other 1 PX 1").await {
        Reply::Error(text) if text.starts_with(code) => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn what_a_server_can_not_do_for_a_while_is_said_and_it_votes_again_when_it_can() {
    let all = faults().into_iter().map(async |fault| {
        let what = fault.what;
        let cluster = Cluster::builder().nodes(1).server_args(fault.args.iter().copied());
        let cluster = cluster.start().await.unwrap();
        let node = &cluster.nodes()[0];
        set_up(cluster.nodes(), fault.begin).await;
        answers(node, fault.answers).await;
        let served = serve(node.url()).await;
        said_everywhere(&served, what, fault.kind, fault.says).await;
        if let Reply::Error(text) = run(node, fault.end).await {
            assert!(text.starts_with("ERR Unknown subcommand"), "{what}: {text}");
            return; // before Redis 7 it takes 16,384 words to say
        }
        cured(&served, what).await;
        served.redlock.shutdown(LIMIT).await.unwrap();
        assert_no_keys(&cluster).await;
    });
    futures_util::future::join_all(all).await;
}

/// A lock that was granted before can't be given back as long as nothing can be written, and is
/// when that is over.
#[tokio::test]
async fn a_lock_of_before_a_failed_snapshot_is_released_when_writes_are_let_through() {
    let cluster = Cluster::builder().nodes(1).server_args(NOWHERE.iter().copied());
    let cluster = cluster.start().await.unwrap();
    let redlock = client(&cluster);
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    set_up(cluster.nodes(), "BGSAVE").await;
    answers(&cluster.nodes()[0], "MISCONF").await;
    let error = guard.release().await.unwrap_err();
    assert!(error.to_string().contains("(MISCONF to "), "{error}");
    set_up(cluster.nodes(), "CONFIG SET stop-writes-on-bgsave-error no").await;
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(&cluster).await;
}

/// A node that can't vote any more is lost as much as one that is gone.
#[tokio::test]
async fn a_node_that_begins_to_refuse_locks_is_logged_and_so_is_that_it_grants_them() {
    let printed = Printed::default();
    let _logging = printed.log(Level::INFO);
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let one = &cluster.nodes()[..1];
    let logged = async |words: &str| {
        eventually(words, async || {
            redlock.lock("job").await.unwrap().release().await.unwrap();
            let lines = printed.lines_with(&[words, &one[0].address()]);
            if lines == 0 { Err(lines) } else { Ok(lines) }
        })
        .await
    };
    set_up(one, "CONFIG SET maxmemory 1").await;
    logged("node grants no lock").await;
    for _ in 0..3 {
        assert_eq!(logged("node grants no lock").await, 1, "once");
    }
    set_up(one, "CONFIG SET maxmemory 0").await;
    assert_eq!(logged("node grants locks").await, 1);
    set_up(one, "REPLICAOF 127.0.0.1 1").await;
    logged("is a replica").await;
    assert_eq!(printed.lines_with(&["is a replica", "master)"]), 0, "it is none any more");
    set_up(one, "REPLICAOF NO ONE").await;
    connect(&redlock, 3).await;
    finish(&redlock, &cluster).await;
}

/// It is asked for the first time while it loads.
#[tokio::test]
async fn a_server_that_loads_its_data_votes_when_it_has() {
    let cluster = start_with_debug(1).await;
    let node = &cluster.nodes()[0];
    if !slow_to_load(cluster.nodes(), 20_000, 1000).await {
        return;
    }
    let loading = async { drop(node.command(&["DEBUG", "RELOAD"]).await) };
    let looking = async {
        answers(node, "LOADING").await;
        let served = serve(node.url()).await;
        let says = "is still loading its data (LOADING to SET by ";
        said_everywhere(&served, "loading", NodeErrorKind::Loading, says).await;
        set_up(cluster.nodes(), "CONFIG SET key-load-delay 0").await;
        cured(&served, "loading").await;
        served.redlock.shutdown(LIMIT).await.unwrap();
    };
    futures_util::future::join(loading, looking).await;
}

#[tokio::test]
async fn a_server_that_a_script_blocks_votes_when_the_script_has_ended() {
    let cluster = start(1).await;
    let node = &cluster.nodes()[0];
    set_up(cluster.nodes(), "CONFIG SET lua-time-limit 10").await;
    let blocking = async { drop(node.command(&["EVAL", "while true do end", "0"]).await) };
    let looking = async {
        answers(node, "BUSY").await;
        let served = serve(node.url()).await;
        let says = "is blocked by a script: SCRIPT KILL ends it (BUSY to SET by ";
        said_everywhere(&served, "blocked", NodeErrorKind::ScriptBusy, says).await;
        set_up(cluster.nodes(), "SCRIPT KILL").await;
        cured(&served, "blocked").await;
        served.redlock.shutdown(LIMIT).await.unwrap();
    };
    futures_util::future::join(blocking, looking).await;
    assert_no_keys(&cluster).await;
}

/// The only connection that it takes is ours, to cure it by.
#[tokio::test]
async fn a_server_that_takes_no_more_clients_votes_when_it_does() {
    let cluster = start(1).await;
    let node = &cluster.nodes()[0];
    let client = redis::Client::open(node.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let mut allow = async |clients: u32| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxclients").arg(clients);
        command.exec_async(&mut operator).await.unwrap();
    };
    allow(1).await;
    let served = serve(node.url()).await;
    let says = "takes no more clients: raise maxclients (ERR";
    said_everywhere(&served, "full", NodeErrorKind::TooManyClients, says).await;
    allow(100).await;
    cured(&served, "full").await;
    served.redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(&cluster).await;
}

/// A sentinel of the same program as `node`. It ends when it is dropped.
async fn sentinel(node: &TestNode) -> (Child, Port, Directory) {
    let (files, port) = (Directory::new(), Port::new());
    let Reply::Bulk(server) = run(node, "INFO server").await else { panic!("a text") };
    let server = String::from_utf8_lossy(&server).into_owned();
    let program = server.lines().find_map(|line| line.strip_prefix("executable:")).unwrap().trim();
    // What was found on the path calls itself a file of the directory that it began in.
    let name = Path::new(program).file_name().unwrap();
    let program = if Path::new(program).exists() { OsStr::new(program) } else { name };
    let (path, log) = (files.path("sentinel.conf"), files.path("log"));
    let mut config = fs::File::create(&path).unwrap();
    writeln!(config, "port {}\nbind 127.0.0.1\nprotected-mode no", port.number).unwrap();
    writeln!(config, "dir {}\nlogfile {log}", files.path("")).unwrap();
    let mut command = Command::new(program);
    let child = command.arg(path).arg("--sentinel").kill_on_drop(true).spawn().unwrap();
    eventually("the sentinel listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port.number)).await.map(drop)
    })
    .await;
    (child, port, files)
}

#[tokio::test]
async fn a_sentinel_has_no_vote_and_the_master_that_its_port_leads_to_later_has_one() {
    let Some(cluster) = local::server([]).await.unwrap() else { return };
    let node = &cluster.nodes()[0];
    let (_sentinel, port, _files) = sentinel(node).await;
    let name = Name::of(format!("127.0.0.1:{}", port.number)).await;
    let served = serve(name.url.clone()).await;
    let says = "is a sentinel: list the masters themselves";
    said_everywhere(&served, "a sentinel", NodeErrorKind::Sentinel, says).await;
    name.lead_to(node);
    cured(&served, "a sentinel").await;
    served.redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(&cluster).await;
}
