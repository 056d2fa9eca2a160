//! Nodes that answer, and at which no lock can be had, or none be given back: readiness, health
//! and metrics say what a lock would find, also right after the start.

use redlock_quorum::{NodeErrorKind, Redlock, Released, testing::Cluster};

use crate::{
    http_stand::{Served, settings},
    permissions::ENOUGH,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, builder, eventually, finish, native, set_up,
    },
};

/// How a server is made unable, and what is said of it.
struct State {
    what: &'static str,
    args: &'static [&'static str],
    /// Said to the server, before we come.
    command: &'static str,
    /// In our URL, before the host and behind the port.
    login: &'static str,
    database: &'static str,
    kind: NodeErrorKind,
    says: &'static str,
}

const STATE: State = State {
    what: "",
    args: &[],
    command: "PING",
    login: "",
    database: "",
    kind: NodeErrorKind::Server,
    says: "",
};

const USER: &str = "locker:pw@";

/// Twelve of them.
fn states() -> Vec<State> {
    use NodeErrorKind as K;
    vec![
        State {
            what: "out of memory",
            command: "CONFIG SET maxmemory 1",
            kind: K::OutOfMemory,
            says: "(OOM to SET by ",
            ..STATE
        },
        State {
            what: "without the replicas that it wants",
            command: "CONFIG SET min-replicas-to-write 1",
            kind: K::WritesRefused,
            says: "(NOREPLICAS to SET by ",
            ..STATE
        },
        State {
            what: "a replica",
            command: "REPLICAOF 127.0.0.1 1",
            kind: K::ReadOnly,
            says: "list masters only",
            ..STATE
        },
        State {
            what: "a member of a cluster, without slots",
            args: &["--cluster-enabled", "yes"],
            kind: K::Clustered,
            says: "cluster, master",
            ..STATE
        },
        State {
            what: "EVAL was renamed",
            args: &["--rename-command", "EVAL", "hidden"],
            kind: K::Unsupported,
            says: "(ERR to EVAL by ",
            ..STATE
        },
        State {
            what: "SET was renamed",
            args: &["--rename-command", "SET", "hidden"],
            kind: K::Unsupported,
            says: "(ERR to SET by ",
            ..STATE
        },
        State {
            what: "the user may not SET",
            command: "ACL SETUSER locker -set",
            login: USER,
            kind: K::NotPermitted,
            says: "(NOPERM to SET by ",
            ..STATE
        },
        State {
            what: "the user may not EVAL",
            command: "ACL SETUSER locker -eval",
            login: USER,
            kind: K::NotPermitted,
            says: "(NOPERM to EVAL by ",
            ..STATE
        },
        State {
            what: "the user may not DEL",
            command: "ACL SETUSER locker -del",
            login: USER,
            kind: K::NotPermitted,
            says: " EVAL by ",
            ..STATE
        },
        State {
            what: "it wants a password",
            command: "CONFIG SET requirepass pw",
            kind: K::AuthRequired,
            says: "put it in the node's URL",
            ..STATE
        },
        State {
            what: "it refuses the password",
            login: "locker:wrong@",
            kind: K::AuthFailed,
            says: "(WRONGPASS to AUTH)",
            ..STATE
        },
        State {
            what: "it has no such database",
            database: "/99",
            kind: K::NoDatabase,
            says: "to SELECT",
            ..STATE
        },
    ]
}

impl State {
    /// A server in this state, and a service over it.
    async fn bring_about(&self) -> (Cluster, Served) {
        let cluster = Cluster::builder().nodes(1).server_args(self.args.iter().copied());
        let cluster = cluster.start().await.unwrap();
        let node = &cluster.nodes()[0];
        set_up(cluster.nodes(), &format!("ACL SETUSER locker on >pw {ENOUGH}")).await;
        set_up(cluster.nodes(), self.command).await;
        let url = format!("redis://{}{}{}", self.login, node.address(), self.database);
        let redlock = Redlock::builder()
            .nodes([url])
            .key_prefix("app:")
            .ttl(TTL)
            .node_timeout(NODE_TIMEOUT)
            .build()
            .unwrap();
        (cluster, Served::of(redlock, settings()).await)
    }
}

#[tokio::test]
async fn readiness_says_of_twelve_states_what_a_lock_finds() {
    for state in states() {
        let (cluster, served) = state.bring_about().await;
        let what = state.what;
        if what == "EVAL was renamed" && native(&cluster.nodes()[0]).await.is_some() {
            continue; // the server's own command does
        }
        said_everywhere(&served, what, state.kind, state.says).await;
    }
}

/// Readiness, the lock service, health, metrics and the library's own lock say the same of the
/// only node: that no lock can be had there, and why.
pub async fn said_everywhere(served: &Served, what: &str, kind: NodeErrorKind, says: &str) {
    let ready = served.get("/readyz").await;
    assert_eq!(ready.status, 503, "{what}, right after the start: {ready:?}");
    let locked = served.form("/lock", "key=job").await;
    assert_eq!(locked.status, 503, "{what}: {locked:?}");
    // A login that takes too long on a slow machine says something else for a while.
    let error = eventually(what, async || {
        let health = served.redlock.health().await.unwrap();
        assert_eq!(health.able(), 0, "{what}: {health:?}");
        let error = health.nodes()[0].error().unwrap_or_else(|| panic!("{what}: {health:?}"));
        if error.kind() == kind { Ok(error.clone()) } else { Err(error.clone()) }
    })
    .await;
    assert!(error.to_string().contains(says), "{what}: {error}");
    let up = node_up(served).await;
    assert!(up.ends_with(" 0"), "{what}: {up}");
    let refused = served.redlock.try_lock("job").await.unwrap_err();
    let told = refused.nodes()[0].error().unwrap();
    assert_eq!(told.kind(), kind, "{what}: {told}");
    assert!(told.to_string().contains(says), "{what}: {told}");
}

/// What the metrics say of the only node.
pub async fn node_up(served: &Served) -> String {
    let metrics = served.get("/metrics").await.body;
    let up = metrics.lines().find(|line| line.starts_with("redlock_node_up{"));
    up.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

/// A node whose own command compares and deletes needs no script to give a lock back.
#[tokio::test]
async fn where_no_script_runs_a_command_of_the_servers_own_will_do() {
    let hidden = ["--rename-command", "EVAL", "hidden", "--rename-command", "EVALSHA", "hidden2"];
    let cluster = Cluster::builder().nodes(1).server_args(hidden).start().await.unwrap();
    let redlock = builder(&cluster).build().unwrap();
    let health = redlock.health().await.unwrap();
    if native(&cluster.nodes()[0]).await.is_none() {
        assert_eq!(health.able(), 0, "{health:?}");
        let error = redlock.try_lock("job").await.unwrap_err();
        assert_eq!(error.nodes()[0].error().unwrap().kind(), NodeErrorKind::Unsupported);
        return assert_no_keys(&cluster).await;
    }
    assert_eq!(health.able(), 1, "{health:?}");
    let guard = redlock.try_lock("job").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// `EVALSHA` is another command than `EVAL`: where only that is kept back, scripts go as text.
#[tokio::test]
async fn where_evalsha_is_kept_back_every_lock_is_given_back_all_the_same() {
    let hidden = ["--rename-command", "EVALSHA", "hidden"];
    let cluster = Cluster::builder().nodes(1).server_args(hidden).start().await.unwrap();
    let redlock = builder(&cluster).build().unwrap();
    for _ in 0..3 {
        let guard = redlock.try_lock("job").await.unwrap();
        guard.extend(TTL).await.unwrap();
        assert_eq!(guard.release().await.unwrap(), Released::Released);
    }
    finish(&redlock, &cluster).await;
}

/// What a server can't do for a while costs only that while: locks that it has granted before
/// are kept there, and it is asked again.
#[tokio::test]
async fn a_server_that_is_full_keeps_the_locks_that_it_has_and_comes_back_by_itself() {
    let cluster = Cluster::builder().nodes(1).start().await.unwrap();
    let redlock = builder(&cluster).build().unwrap();
    let guard = redlock.try_lock("job").await.unwrap();
    set_up(cluster.nodes(), "CONFIG SET maxmemory 1").await;
    assert_eq!(redlock.health().await.unwrap().able(), 0);
    guard.extend(TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    set_up(cluster.nodes(), "CONFIG SET maxmemory 0").await;
    assert_eq!(redlock.health().await.unwrap().able(), 1);
    let waiting = redlock.lock("job").wait(LIMIT).await.unwrap();
    waiting.release().await.unwrap();
    finish(&redlock, &cluster).await;
}
