//! Nodes at `unix://`: the same over a socket's file.

use std::{fs, time::Duration};

use redlock_quorum::{
    Builder, ErrorKind, NodeErrorKind, Redlock, Released,
    testing::{Cluster, TestNode},
};

use crate::{
    local::{self, Directory},
    support::{
        LIMIT, NODE_TIMEOUT, TTL, WITHOUT_WAITING, assert_no_keys, connect, eventually, got, kinds,
        listening, ms, run, set_up, wait_for, within,
    },
};

/// A server that listens on a socket as well.
struct Server {
    cluster: Cluster,
    path: String,
    _directory: Directory,
}

impl Server {
    async fn start() -> Option<Self> {
        let directory = Directory::new();
        let path = directory.path("redis.sock");
        let args = ["--unixsocket".to_owned(), path.clone()];
        let cluster = local::server(args).await.unwrap()?;
        Some(Self { cluster, path, _directory: directory })
    }

    async fn start_all(count: usize) -> Option<Vec<Self>> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Self::start().await?);
        }
        Some(servers)
    }

    fn node(&self) -> &TestNode {
        &self.cluster.nodes()[0]
    }

    fn url(&self) -> String {
        format!("unix://{}", self.path)
    }
}

fn builder(servers: &[Server]) -> Builder {
    let builder = Redlock::builder().nodes(servers.iter().map(Server::url));
    builder.ttl(TTL).node_timeout(NODE_TIMEOUT).delayed_restarts(false)
}

async fn end(redlock: &Redlock, servers: &[Server]) {
    redlock.shutdown(LIMIT).await.unwrap();
    for server in servers {
        assert_no_keys(&server.cluster).await;
    }
}

#[tokio::test]
async fn a_lock_over_sockets_is_held_extended_waited_for_and_released() {
    let Some(servers) = Server::start_all(3).await else { return };
    let hour = Duration::from_secs(3600);
    let holder = builder(&servers).build().unwrap();
    let waiter = builder(&servers).retry_delay(hour, hour).build().unwrap();
    connect(&holder, 3).await;
    let guard = holder.lock("job").await.unwrap();
    eventually("all nodes granted", async || match guard.votes().granted() {
        3 => Ok(()),
        votes => Err(votes),
    })
    .await;
    guard.extend(2 * TTL).await.unwrap();
    let waiting = wait_for(&waiter, "job");
    for server in &servers {
        listening(server.cluster.nodes(), "job").await;
        let list = run(server.node(), "CLIENT LIST").await;
        let list = String::from_utf8_lossy(list.as_bytes().unwrap()).into_owned();
        let ours = list.lines().filter(|line| line.contains(&server.path)).count();
        assert_eq!(ours, 3, "one of the holder, two of the waiter: {list}");
    }
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_eq!(got(waiting).await.release().await.unwrap(), Released::Released);
    end(&holder, &servers).await;
    end(&waiter, &servers).await;
}

#[tokio::test]
async fn with_one_server_killed_and_one_hung_the_others_lock_and_all_come_back() {
    let Some(servers) = Server::start_all(5).await else { return };
    let redlock = builder(&servers).build().unwrap();
    connect(&redlock, 5).await;
    let [dead, hung, ..] = &servers[..] else { panic!("five servers were asked for") };
    dead.node().kill().await.unwrap();
    hung.node().pause().await.unwrap();
    for _ in 0..3 {
        let pair = async {
            let guard = redlock.lock("job").await.unwrap();
            assert_eq!(guard.release().await.unwrap(), Released::Released);
        };
        within(2 * WITHOUT_WAITING, "nobody waits for those two", pair).await;
    }
    hung.node().resume().await.unwrap();
    dead.node().restart().await.unwrap();
    connect(&redlock, 5).await;
    end(&redlock, &servers).await;
}

#[tokio::test]
async fn a_socket_that_is_not_there_or_that_nobody_listens_to_is_named() {
    let Some(server) = Server::start().await else { return };
    let servers = [server];
    let directory = Directory::new();
    let missing = directory.path("none.sock");
    let left_behind = directory.path("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left_behind).unwrap());
    for (path, reason) in [(&missing, "No such file"), (&left_behind, "refused")] {
        let nodes = [servers[0].url(), format!("unix://{path}")];
        let redlock = Redlock::builder().nodes(nodes).node_timeout(NODE_TIMEOUT).build().unwrap();
        let error = redlock.lock("job").wait(ms(1000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        assert_eq!(kinds(&error), [NodeErrorKind::Unreachable], "{error}");
        let text = error.to_string();
        assert!(text.contains(path.as_str()) && text.contains(reason), "{text}");
        assert!(error.nodes()[1].error().unwrap().is_transient(), "it may yet be started");
        end(&redlock, &servers).await;
    }
    assert!(fs::exists(&servers[0].path).unwrap());
}

#[tokio::test]
async fn a_socket_takes_user_password_and_database_from_its_url() {
    const PASSWORD: &str = "pa55-w0rd";
    let Some(server) = Server::start().await else { return };
    let servers = [server];
    let rules = format!("ACL SETUSER locker on >{PASSWORD} ~* &* +@all");
    set_up(servers[0].cluster.nodes(), &rules).await;
    let url = |login: &str| format!("{}?db=1&{login}", servers[0].url());
    let redlock = Redlock::builder().nodes([url("user=locker&pass=pa55-w0rd")]).ttl(TTL);
    let redlock = redlock.node_timeout(NODE_TIMEOUT).build().unwrap();
    let guard = redlock.lock("job").await.unwrap();
    let info = run(servers[0].node(), "INFO keyspace").await;
    let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
    assert!(info.contains("db1:keys=1") && !info.contains("db0:"), "{info}");
    guard.release().await.unwrap();
    end(&redlock, &servers).await;

    let stranger = Redlock::builder()
        .nodes([url("user=locker&pass=pa55-w0rd-not")])
        .node_timeout(NODE_TIMEOUT);
    let error = stranger.build().unwrap().try_lock("job").await.unwrap_err();
    assert_eq!(kinds(&error), [NodeErrorKind::AuthFailed], "{error}");
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
}
