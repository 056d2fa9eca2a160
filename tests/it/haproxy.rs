//! Real servers behind haproxy, which looks for itself who is a master: where it leads to
//! another server, all that is connected stays at the old one, unless haproxy is told to shut
//! sessions down. It is not, here.

use std::{fs, process::Stdio};

use redlock_quorum::{
    Redlock,
    testing::{Cluster, TestNode},
};
use tokio::process::{Child, Command};

use crate::{
    failover::{all_vote, follow, promote},
    local::{Directory, Port, skipped},
    support::{LIMIT, TTL, connect, granted, ms, start_processes},
};

/// Where Debian has it, which is not on every user's path.
const PROGRAMS: [&str; 2] = ["haproxy", "/usr/sbin/haproxy"];

/// As in haproxy's manual, under `tcp-check expect`.
const CHECK: &str = "
defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m
  option tcp-check
  tcp-check send info\\ replication\\r\\n
  tcp-check expect string role:master
  default-server inter 100ms fall 1 rise 1
";

/// haproxy before pairs of servers. It ends when this is dropped.
struct Haproxy {
    _process: Child,
    _files: Directory,
    ports: Vec<Port>,
}

impl Haproxy {
    fn before(program: &str, pairs: &[[&TestNode; 2]]) -> Self {
        let (files, mut config) = (Directory::new(), CHECK.to_owned());
        let ports: Vec<_> = pairs.iter().map(|_| Port::new()).collect();
        for (Port { number, .. }, pair) in ports.iter().zip(pairs) {
            let [one, two] = pair.map(TestNode::address);
            config += &format!("listen node{number}\n  bind 127.0.0.1:{number}\n");
            config += &format!("  server one {one} check\n  server two {two} check\n");
        }
        fs::write(files.path("haproxy.cfg"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-db", "-f", &files.path("haproxy.cfg")]).kill_on_drop(true);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { _process: process, _files: files, ports }
    }

    fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{}", port.number)).collect()
    }
}

/// `None`, and a word on the output, where it is not installed.
async fn installed() -> Option<&'static str> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        let command = command.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().await.is_ok_and(|status| status.success()) {
            return Some(program);
        }
    }
    skipped("it takes haproxy, which is not installed");
    None
}

/// Three masters, three replicas of theirs, and a client behind haproxy that all masters vote for.
struct Pairs {
    cluster: Cluster,
    redlock: Redlock,
    _haproxy: Haproxy,
}

impl Pairs {
    async fn start() -> Option<Self> {
        let program = installed().await?;
        let cluster = start_processes(6).await;
        let (masters, replicas) = cluster.nodes().split_at(3);
        for (master, replica) in masters.iter().zip(replicas) {
            follow(replica, master).await;
        }
        let pairs: Vec<_> = masters.iter().zip(replicas).map(|(one, two)| [one, two]).collect();
        let haproxy = Haproxy::before(program, &pairs);
        let builder = Redlock::builder().nodes(haproxy.urls()).ttl(TTL).node_timeout(ms(1500));
        // The new masters are young, and their votes are wanted at once.
        let redlock = builder.delayed_restarts(false).build().unwrap();
        connect(&redlock, 3).await;
        Some(Self { cluster, redlock, _haproxy: haproxy })
    }

    /// Each master, and the replica that is to become one in its place.
    fn nodes(&self) -> impl Iterator<Item = (&TestNode, &TestNode)> {
        let (masters, replicas) = self.cluster.nodes().split_at(3);
        masters.iter().zip(replicas)
    }

    async fn lock_and_release(&self) {
        let guard = self.redlock.lock("job").wait(LIMIT).await.unwrap();
        guard.release().await.unwrap();
    }

    /// All replicas of before vote, and have the key of a lock.
    async fn finish(self) {
        let guard = self.redlock.lock("job").wait(LIMIT).await.unwrap();
        granted(&guard, 3).await;
        for (_, new) in self.nodes() {
            assert!(new.command(&["GET", "job"]).await.unwrap().as_bytes().is_some());
        }
        guard.release().await.unwrap();
        self.redlock.shutdown(LIMIT).await.unwrap();
    }
}

#[tokio::test]
async fn three_nodes_behind_haproxy_that_fail_over_at_once_vote_again() {
    let Some(pairs) = Pairs::start().await else { return };
    for (old, new) in pairs.nodes() {
        promote(new, old).await;
    }
    for (old, new) in pairs.nodes() {
        follow(old, new).await;
    }
    pairs.lock_and_release().await;
    all_vote(&pairs.redlock, 3).await;
    pairs.finish().await;
}

#[tokio::test]
async fn three_nodes_behind_haproxy_that_fail_over_in_turn_vote_again() {
    let Some(pairs) = Pairs::start().await else { return };
    for (old, new) in pairs.nodes() {
        promote(new, old).await;
        follow(old, new).await;
        pairs.lock_and_release().await;
        all_vote(&pairs.redlock, 3).await;
    }
    pairs.finish().await;
}
