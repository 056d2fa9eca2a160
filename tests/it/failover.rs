//! A node that changes its role: the old master becomes a replica and keeps its connections,
//! as behind a name that moves, or behind a proxy that is switched over.

use std::sync::{Arc, Mutex};

use redlock_quorum::{
    NodeErrorKind, Redlock,
    testing::{Cluster, Reply, TestNode},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use tracing::Level;

use crate::printed::Printed;
use crate::support::{
    LIMIT, NODE_TIMEOUT, TTL, connect, eventually, granted, kinds, listening, ms, run, set_up,
    start_processes, wait_for, within,
};

/// A name that leads to one server and later to another. What is connected stays connected, as
/// with DNS, or with haproxy unless it is told to shut sessions down.
pub struct Name {
    pub url: String,
    leads_to: Arc<Mutex<String>>,
}

impl Name {
    pub async fn of(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let leads_to = Arc::new(Mutex::new(address));
        let target = Arc::clone(&leads_to);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.lock().unwrap().clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url, leads_to }
    }

    pub fn lead_to(&self, node: &TestNode) {
        *self.leads_to.lock().unwrap() = node.address();
    }
}

pub async fn follow(node: &TestNode, master: &TestNode) {
    let address = master.address();
    let (host, port) = address.rsplit_once(':').unwrap();
    // It would wait for 5 s whether there are more.
    set_up(std::slice::from_ref(master), "CONFIG SET repl-diskless-sync-delay 0").await;
    node.command(&["REPLICAOF", host, port]).await.unwrap();
    eventually("it follows", async || {
        let Reply::Bulk(info) = run(node, "INFO replication").await else { panic!("a text") };
        let info = String::from_utf8_lossy(&info).into_owned();
        if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
    })
    .await;
}

/// Three masters behind a name each, and a replica of each.
async fn three() -> (Cluster, Vec<Name>, Redlock) {
    let cluster = start_processes(6).await;
    let nodes = cluster.nodes();
    let mut names = Vec::new();
    for (master, replica) in nodes[..3].iter().zip(&nodes[3..]) {
        follow(replica, master).await;
        names.push(Name::of(master.address()).await);
    }
    let urls = names.iter().map(|name| name.url.clone());
    let builder = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(ms(1500));
    // The new masters are young, and their votes are wanted at once.
    let redlock = builder.delayed_restarts(false).build().unwrap();
    connect(&redlock, 3).await;
    (cluster, names, redlock)
}

/// Makes a master of a replica, once it has heard of all releases: what it has not heard of it
/// would keep, and refuse those keys for their ttl.
pub async fn promote(replica: &TestNode, master: &TestNode) {
    for node in [master, replica] {
        eventually("it has no key", async || match run(node, "DBSIZE").await {
            Reply::Int(0) => Ok(()),
            keys => Err(keys),
        })
        .await;
    }
    set_up(std::slice::from_ref(replica), "REPLICAOF NO ONE").await;
}

async fn fail_over(cluster: &Cluster, names: &[Name], node: usize) {
    let (old, new) = (&cluster.nodes()[node], &cluster.nodes()[node + 3]);
    promote(new, old).await;
    names[node].lead_to(new);
    follow(old, new).await;
}

/// Waits until so many vote, which is all.
pub async fn all_vote(redlock: &Redlock, nodes: usize) {
    eventually("all vote", async || {
        let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
        let voted = tokio::time::timeout(ms(500), granted(&guard, nodes)).await;
        let votes = guard.votes().granted();
        guard.release().await.unwrap();
        if voted.is_ok() { Ok(()) } else { Err((votes, redlock.health().await)) }
    })
    .await;
}

/// All three nodes fail over, one after the other, and after each all vote again, though nobody
/// has cut a connection.
#[tokio::test]
async fn nodes_that_fail_over_in_turn_vote_again_where_their_names_lead() {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let (cluster, names, redlock) = three().await;
    for node in 0..3 {
        fail_over(&cluster, &names, node).await;
        all_vote(&redlock, 3).await;
        let address = names[node].url.trim_start_matches("redis://");
        let warned = printed.lines_with(&["leads to another server", address]);
        assert_eq!(warned, 1, "what was granted before is lost, and that is said by name");
    }
    redlock.shutdown(LIMIT).await.unwrap();
}

/// Who waits since before hears of the release from the servers that the names lead to now,
/// though the old ones keep the connection on which it listens, and hear of nothing.
#[tokio::test]
async fn a_waiter_listens_where_the_names_lead_now() {
    let (cluster, names, redlock) = three().await;
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    let other = Redlock::builder().nodes(names.iter().map(|name| name.url.clone()));
    let other = other.ttl(TTL).delayed_restarts(false).build().unwrap();
    let waiting = wait_for(&other, "job");
    listening(&cluster.nodes()[..3], "job").await;
    for (node, name) in names.iter().enumerate() {
        let (old, new) = (&cluster.nodes()[node..=node], &cluster.nodes()[node + 3]);
        set_up(std::slice::from_ref(new), "REPLICAOF NO ONE").await;
        name.lead_to(new);
        set_up(old, "REPLICAOF 127.0.0.1 1").await;
    }
    let _ = other.health().await.unwrap(); // or whatever it asks next
    listening(&cluster.nodes()[3..], "job").await;
    drop(guard); // its client finds out by this that the names have moved
    within(LIMIT, "the waiter hears of it", waiting).await.unwrap().release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
    other.shutdown(LIMIT).await.unwrap();
}

/// A replica that takes writes would vote, and lose the vote when its master comes back. What
/// it says of itself counts.
#[tokio::test]
async fn a_replica_that_takes_writes_has_no_vote() {
    let cluster = start_processes(4).await;
    let nodes = cluster.nodes();
    set_up(&nodes[..2], "CONFIG SET replica-read-only no").await;
    for node in &nodes[..2] {
        follow(node, &nodes[3]).await;
    }
    let urls: Vec<_> = nodes[..3].iter().map(TestNode::url).collect();
    let builder = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(NODE_TIMEOUT);
    let redlock = builder.delayed_restarts(false).build().unwrap();
    let error = redlock.lock("job").wait(ms(500)).await.unwrap_err();
    let replicas = kinds(&error).into_iter().filter(|kind| *kind == NodeErrorKind::ReadOnly);
    assert_eq!(replicas.count(), 2, "{error}");
    set_up(&nodes[..1], "REPLICAOF NO ONE").await;
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    guard.release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
}

/// A master that becomes a replica that takes writes keeps its connection, and no command of
/// ours fails there: a look at its health finds it out.
#[tokio::test]
async fn health_finds_out_that_a_master_has_become_a_replica_that_takes_writes() {
    let cluster = start_processes(4).await;
    let nodes = cluster.nodes();
    let urls: Vec<_> = nodes[..3].iter().map(TestNode::url).collect();
    let builder = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(ms(1500));
    let redlock = builder.delayed_restarts(false).build().unwrap();
    connect(&redlock, 3).await;
    set_up(&nodes[..1], "CONFIG SET replica-read-only no").await;
    follow(&nodes[0], &nodes[3]).await;
    assert_eq!(redlock.health().await.unwrap().able(), 2);
    let guard = redlock.lock("job").await.unwrap();
    assert!(guard.votes().granted() <= 2, "it is not asked");
    guard.release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
}
