//! What the tests share: clusters, clients, a look at the servers past the
//! client under test, and the only way to wait here, which is for a condition.

use std::{
    fmt::Debug,
    future::{Future, IntoFuture},
    time::Duration,
};

use futures_util::FutureExt as _;
use redlock_quorum::{
    Acquire, Builder, Error, LockGuard, NodeErrorKind, Redlock,
    testing::{Backend, Cluster, FixtureError, Reply, TestNode},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Longer than any test: a key that should have been deleted does not end by
/// itself before the test has seen it.
pub const TTL: Duration = Duration::from_secs(600);

/// How long a condition may take to become true, and a call to return, where
/// the test is not about that. For a loaded machine, hence long.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A node timeout that no healthy node exceeds, however loaded the machine.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a call takes at most that did not wait for a hung node's
/// [`NODE_TIMEOUT`]: a bound that tells the two apart, not a measurement.
pub const WITHOUT_WAITING: Duration = Duration::from_secs(2);

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub async fn start(nodes: usize) -> Cluster {
    Cluster::start(nodes).await.unwrap()
}

/// Servers that reach each other, as masters and replicas must: containers don't, by the ports
/// that are published of them.
pub async fn start_processes(nodes: usize) -> Cluster {
    Cluster::builder().backend(Backend::Process).nodes(nodes).start().await.unwrap()
}

/// Servers that take DEBUG, as those before version 7 do without being told.
pub async fn start_with_debug(nodes: usize) -> Cluster {
    let builder = Cluster::builder().nodes(nodes);
    match builder.clone().server_args(["--enable-debug-command", "yes"]).start().await {
        Err(FixtureError::Start { reason, .. }) if reason.contains("enable-debug-command") => {
            builder.start().await.unwrap()
        }
        started => started.unwrap(),
    }
}

/// Gives the servers so many keys, which take so many microseconds each to be loaded again.
/// `false` if they can't be made to answer meanwhile: those before version 7 answer seldom.
pub async fn slow_to_load(nodes: &[TestNode], keys: u32, delay: u32) -> bool {
    const ANSWER: &str = "CONFIG SET loading-process-events-interval-bytes 1024";
    let answers = run_on(nodes, ANSWER).await;
    if answers.iter().any(|reply| matches!(reply, Reply::Error(_))) {
        return false;
    }
    set_up(nodes, &format!("DEBUG POPULATE {keys}")).await;
    set_up(nodes, &format!("CONFIG SET key-load-delay {delay}")).await;
    true
}

/// A builder for these nodes, with [`TTL`] and [`NODE_TIMEOUT`].
pub fn builder(cluster: &Cluster) -> Builder {
    let builder = Redlock::builder().nodes(cluster.urls()).ttl(TTL).node_timeout(NODE_TIMEOUT);
    // Most tests that start a node anew want its vote at once.
    builder.delayed_restarts(false)
}

pub fn client(cluster: &Cluster) -> Redlock {
    builder(cluster).build().unwrap()
}

/// Sends the words of `line` to `node`.
pub async fn run(node: &TestNode, line: &str) -> Reply {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    node.command(&words).await.unwrap()
}

/// Sends `line` to each of `nodes`, and gives their replies.
pub async fn run_on(nodes: &[TestNode], line: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    for node in nodes {
        replies.push(run(node, line).await);
    }
    replies
}

/// As [`run_on`], for a command that every node must accept.
pub async fn set_up(nodes: &[TestNode], line: &str) {
    for reply in run_on(nodes, line).await {
        assert!(!matches!(reply, Reply::Error(_)), "{line}: {reply:?}");
    }
}

/// Takes `key` on `nodes` as another library would.
pub async fn take_elsewhere(nodes: &[TestNode], key: &str) {
    for reply in run_on(nodes, &format!("SET {key} another NX PX 600000")).await {
        assert!(reply.is_ok(), "{reply:?}");
    }
}

pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Bulk(bytes.as_ref().to_vec())
}

/// A number from a node's `INFO`: the digits behind `name`.
pub async fn info(node: &TestNode, section: &str, name: &str) -> u64 {
    let Reply::Bulk(info) = run(node, &format!("INFO {section}")).await else {
        panic!("no INFO");
    };
    let info = String::from_utf8(info).unwrap();
    let digits = info.split_once(name).map_or("0", |(_, rest)| rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap()
}

/// How many `SET`s a node has executed.
pub async fn sets_executed(node: &TestNode) -> u64 {
    info(node, "commandstats", "cmdstat_set:calls=").await
}

/// The commands that compare and delete without a script, one of which a server
/// of a late enough version has.
const NATIVE: [&str; 2] = ["delifeq", "delex"];

/// Which of them a node's server has, by its version.
pub async fn native(node: &TestNode) -> Option<&'static str> {
    let valkey = info(node, "server", "valkey_version:").await;
    if valkey > 0 {
        return (valkey >= 9).then_some(NATIVE[0]);
    }
    let major = info(node, "server", "redis_version:").await;
    let minor = info(node, "server", &format!("redis_version:{major}.")).await;
    ((major, minor) >= (8, 4)).then_some(NATIVE[1])
}

/// Takes commands away from the user, and the one that a server may have
/// instead of `DEL`.
pub async fn forbid_writes(nodes: &[TestNode], user: &str) {
    for node in nodes {
        let own = native(node).await.map_or(String::new(), |command| format!("-{command}"));
        let rules = format!("ACL SETUSER {user} -set -pexpire -pttl -del {own}");
        set_up(std::slice::from_ref(node), &rules).await;
    }
}

/// How many releases a node has executed by a command of its own.
pub async fn natively_released(node: &TestNode) -> u64 {
    let mut sum = 0;
    for command in NATIVE {
        sum += info(node, "commandstats", &format!("cmdstat_{command}:calls=")).await;
    }
    sum
}

/// How many scripts a node has executed.
pub async fn scripts_executed(node: &TestNode) -> u64 {
    info(node, "commandstats", "cmdstat_eval:calls=").await
        + info(node, "commandstats", "cmdstat_evalsha:calls=").await
}

/// How many extensions and releases a node has executed.
pub async fn ours_executed(node: &TestNode) -> u64 {
    scripts_executed(node).await + natively_released(node).await
}

/// How much the nodes have executed of what changes a lock.
pub async fn asked(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    for node in cluster.nodes() {
        sum += sets_executed(node).await + ours_executed(node).await;
    }
    sum
}

/// How many connections a node has besides the one that asks. One that asked
/// before may still end there.
pub async fn connections(node: &TestNode) -> usize {
    let Reply::Bulk(list) = run(node, "CLIENT LIST TYPE normal").await else {
        panic!("no CLIENT LIST");
    };
    list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() - 1
}

/// Waits until a node has so many of them.
pub async fn connected(node: &TestNode, wanted: usize) {
    let what = format!("{} has {wanted} connections", node.address());
    eventually(&what, async || match connections(node).await {
        some if some == wanted => Ok(()),
        some => Err(some),
    })
    .await;
}

/// How many connections a node has that listen.
pub async fn listeners(node: &TestNode) -> usize {
    let Reply::Bulk(list) = run(node, "CLIENT LIST TYPE pubsub").await else {
        panic!("no CLIENT LIST");
    };
    list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
}

/// Waits until one client listens on each of `nodes` for releases of `key`,
/// which is the key on the servers.
pub async fn listening(nodes: &[TestNode], key: impl AsRef<[u8]>) {
    let channel = [b"redlock:", key.as_ref()].concat();
    for node in nodes {
        eventually("one client listens", async || {
            let reply = node.command(&[&b"PUBSUB"[..], b"NUMSUB", &channel]).await.unwrap();
            let one = Reply::Array(vec![bulk(&channel), Reply::Int(1)]);
            if reply == one { Ok(()) } else { Err(reply) }
        })
        .await;
    }
}

/// Begins to wait for `key`, without a limit.
pub fn wait_for(redlock: &Redlock, key: impl AsRef<[u8]>) -> JoinHandle<LockGuard> {
    let acquire = redlock.lock(key);
    tokio::spawn(async move { acquire.await.unwrap() })
}

/// The lock that was waited for, which comes within [`LIMIT`].
pub async fn got(waiting: JoinHandle<LockGuard>) -> LockGuard {
    within(LIMIT, "who waits gets the lock", waiting).await.unwrap()
}

/// An acquire that was asked for.
pub type Locking = <Acquire as IntoFuture>::IntoFuture;

/// Asks for a lock that is not free: whatever this client asks for later comes
/// after it.
pub fn ask(acquire: Acquire) -> Locking {
    let mut locking = acquire.into_future();
    assert!((&mut locking).now_or_never().is_none(), "it is held");
    locking
}

/// So many who ask for the lock, one after the other.
pub fn ask_in_turn(redlock: &Redlock, key: &str, count: usize) -> Vec<Locking> {
    (0..count).map(|_| ask(redlock.lock(key))).collect()
}

/// Returns when the driver has seen all that was asked for before.
pub async fn seen(redlock: &Redlock) {
    redlock.try_lock("seen").await.unwrap().release().await.unwrap();
}

/// Opens the connections, so that what is sent later reaches also a node that
/// hangs by then.
pub async fn connect(redlock: &Redlock, nodes: usize) {
    eventually("every node votes", async || {
        let guard = redlock.lock("first").await.unwrap();
        // The last votes come after the verdict; a node that was just not there
        // gives none this time.
        let voted = timeout(ms(500), granted(&guard, nodes)).await;
        let votes = guard.votes().granted();
        let released = guard.release().await;
        if voted.is_ok() && released.is_ok() { Ok(()) } else { Err((votes, released)) }
    })
    .await;
}

/// Waits until all nodes have the guard's key: what is done to the keys by
/// hand after that is not undone by a vote that comes late.
pub async fn everywhere(guard: &LockGuard, cluster: &Cluster) {
    let nodes = cluster.len();
    if timeout(ms(2000), granted(guard, nodes)).await.is_ok() {
        return;
    }
    // On a loaded machine one did not vote in time, and will not: an extension
    // that changes nothing else gives it the key.
    eventually("all nodes have the key", async || {
        let extended = guard.extend(guard.remaining()).await;
        let votes = guard.votes().granted();
        if votes == nodes { Ok(()) } else { Err((votes, extended)) }
    })
    .await;
}

pub async fn granted(guard: &LockGuard, nodes: usize) {
    eventually("all nodes granted", async || {
        let granted = guard.votes().granted();
        if granted == nodes { Ok(()) } else { Err(granted) }
    })
    .await;
}

/// Looks until what it looks for is there; fails with what was last seen.
pub async fn eventually<T, S: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, S>) -> T {
    let mut last = None;
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(seen) => last = Some(seen),
            }
            sleep(ms(5)).await;
        }
    };
    let found = timeout(LIMIT, looking).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}; last seen: {last:?}"))
}

/// What `call` gives, which must be within `limit`.
pub async fn within<T>(limit: Duration, what: &str, call: impl Future<Output = T>) -> T {
    timeout(limit, call).await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// Waits until no server has any key, and fails with those it has.
pub async fn assert_no_keys(cluster: &Cluster) {
    assert_no_keys_but(cluster, &[]).await;
}

/// Waits until no server has any key but `fences`. A fence stays for a day, and a burial comes to
/// a slow node after its client's end.
pub async fn assert_no_keys_but(cluster: &Cluster, fences: &[&str]) {
    let is_fence =
        |key: &Reply| fences.iter().any(|fence| key.as_bytes() == Some(fence.as_bytes()));
    eventually("no key is left on any server", async || {
        let keys = run_on(cluster.nodes(), "KEYS *").await;
        let none =
            keys.iter().all(|keys| matches!(keys, Reply::Array(keys) if keys.iter().all(is_fence)));
        if none { Ok(()) } else { Err(keys) }
    })
    .await;
}

/// The end of a test whose nodes all run: the client has nothing left to do,
/// and no server has a key.
pub async fn finish(redlock: &Redlock, cluster: &Cluster) {
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(cluster).await;
}

/// Why each node that failed did.
pub fn kinds(error: &Error) -> Vec<NodeErrorKind> {
    error.nodes().iter().filter_map(|report| Some(report.error()?.kind())).collect()
}
