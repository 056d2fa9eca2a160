//! The test fixture itself: every case on the backend that the environment
//! chooses, and again on memory nodes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use redlock_quorum::testing::{Backend, Cluster, FixtureError, Reply, TestNode};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);
const RELEASE: &str = include_str!("../../src/node/release.lua");
const EXTEND: &str = include_str!("../../src/node/extend.lua");

macro_rules! cases_on {
    ($name:ident, $backend:expr, [$($case:ident),* $(,)?]) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($backend).await;
                }
            )*
        }
    };
    ($($name:ident: $backend:expr),* => $cases:tt) => {
        $(cases_on!($name, $backend, $cases);)*
    };
}

cases_on!(environment: None, memory: Some(super::Backend::Memory) => [
    bytes_come_back_as_they_were_sent,
    a_paused_node_executes_later_what_was_sent,
    a_paused_node_times_out,
    a_killed_node_refuses_and_comes_back_empty,
    faults_in_any_order,
    what_a_killed_node_had_not_executed_is_lost,
    dropping_leaves_nothing,
    a_panic_leaves_nothing,
    two_clusters_do_not_meet,
    a_redis_client_runs_the_scripts,
]);

async fn start(backend: Option<Backend>, n: usize) -> Cluster {
    let builder = Cluster::builder().nodes(n);
    let builder = match backend {
        Some(backend) => builder.backend(backend),
        None => builder,
    };
    builder.start().await.unwrap()
}

fn first(cluster: &Cluster) -> &TestNode {
    &cluster.nodes()[0]
}

async fn run(node: &TestNode, line: &str) -> Reply {
    let args: Vec<&str> = line.split(' ').collect();
    node.command(&args).await.unwrap()
}

fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::Bulk(bytes.as_ref().to_vec())
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let held = timeout(SOON, polling).await;
    assert!(held.is_ok(), "not within {SOON:?}: {what}");
}

async fn bytes_come_back_as_they_were_sent(backend: Option<Backend>) {
    let cluster = start(backend, 2).await;
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let set: [&[u8]; 3] = [b"SET", b"k\r\n\0\xff", &value];
    let get: [&[u8]; 2] = [b"GET", b"k\r\n\0\xff"];
    let [node, other] = cluster.nodes() else { panic!("two nodes were asked for") };
    assert!(node.command(&set).await.unwrap().is_ok());
    assert_eq!(node.command(&get).await.unwrap(), bulk(&value));
    assert!(other.command(&get).await.unwrap().is_nil());
    assert_eq!(cluster.len(), 2);
    assert_eq!(cluster.urls()[0], format!("redis://{}", node.address()));
}

async fn a_paused_node_executes_later_what_was_sent(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    let node = first(&cluster);
    let mut early = TcpStream::connect(node.address()).unwrap();
    node.pause().await.unwrap();
    node.pause().await.unwrap();
    early.write_all(&wire(&["SET", "early", "1"])).unwrap();
    drop(early);
    let mut late = TcpStream::connect(node.address()).unwrap();
    late.write_all(&wire(&["SET", "late", "1"])).unwrap();
    let pending = timeout(Duration::from_millis(300), run(node, "SET given-up 1")).await;
    assert!(pending.is_err(), "a paused node answered");
    node.resume().await.unwrap();
    node.resume().await.unwrap();
    eventually("all three SETs executed", async || {
        run(node, "EXISTS early late given-up").await == Reply::Int(3)
    })
    .await;
    let mut answer = [0; 5];
    late.set_read_timeout(Some(SOON)).unwrap();
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}

async fn a_paused_node_times_out(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    first(&cluster).pause().await.unwrap();
    let answer = timeout(SOON, first(&cluster).command(&["PING"])).await;
    let error = answer.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    // Dropped while paused: must end all the same.
}

async fn a_killed_node_refuses_and_comes_back_empty(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    let node = first(&cluster);
    let address = node.address();
    assert!(run(node, "SET k v").await.is_ok());
    let mut connected = TcpStream::connect(&address).unwrap();
    connected.set_read_timeout(Some(SOON)).unwrap();

    node.kill().await.unwrap();
    assert!(TcpStream::connect(&address).is_err(), "the port still accepts");
    let hung_up = match connected.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(hung_up, "the connection survived the crash");
    let error = node.command(&["PING"]).await.unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    for error in [node.pause().await.unwrap_err(), node.resume().await.unwrap_err()] {
        assert!(matches!(error, FixtureError::NotRunning { .. }), "{error:?}");
    }

    node.restart().await.unwrap();
    assert_eq!(node.address(), address);
    assert_eq!(run(node, "DBSIZE").await, Reply::Int(0));
}

async fn faults_in_any_order(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    let node = first(&cluster);
    for _ in 0..2 {
        assert!(run(node, "SET k v").await.is_ok());
        node.restart().await.unwrap();
        assert!(run(node, "GET k").await.is_nil());
        node.pause().await.unwrap();
        node.kill().await.unwrap();
        node.kill().await.unwrap();
        node.restart().await.unwrap();
        node.pause().await.unwrap();
        node.restart().await.unwrap();
    }
    assert_eq!(run(node, "DBSIZE").await, Reply::Int(0));
}

async fn what_a_killed_node_had_not_executed_is_lost(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    let node = first(&cluster);
    node.pause().await.unwrap();
    let mut sender = TcpStream::connect(node.address()).unwrap();
    sender.write_all(&wire(&["SET", "k", "v"])).unwrap();
    node.kill().await.unwrap();
    node.restart().await.unwrap();
    assert_eq!(run(node, "DBSIZE").await, Reply::Int(0));
}

async fn dropping_leaves_nothing(backend: Option<Backend>) {
    let cluster = start(backend, 3).await;
    let [paused, killed, _] = cluster.nodes() else { panic!("three nodes were asked for") };
    let traces = Traces::of(&cluster).await;
    paused.pause().await.unwrap();
    killed.kill().await.unwrap();
    drop(cluster);
    traces.assert_gone();
}

async fn a_panic_leaves_nothing(backend: Option<Backend>) {
    let cluster = start(backend, 2).await;
    let traces = Traces::of(&cluster).await;
    let test = tokio::spawn(async move {
        let _cluster = cluster;
        panic!("on purpose");
    });
    assert!(test.await.unwrap_err().is_panic());
    traces.assert_gone();
}

async fn two_clusters_do_not_meet(backend: Option<Backend>) {
    let (one, two) = tokio::join!(start(backend, 3), start(backend, 3));
    let addresses: BTreeSet<String> = one.urls().into_iter().chain(two.urls()).collect();
    assert_eq!(addresses.len(), 6);
    for node in one.nodes() {
        assert!(run(node, "SET k one").await.is_ok());
    }
    for node in two.nodes() {
        assert_eq!(run(node, "DBSIZE").await, Reply::Int(0));
    }
    drop(one);
    for node in two.nodes() {
        assert!(run(node, "SET k two").await.is_ok());
    }
}

async fn a_redis_client_runs_the_scripts(backend: Option<Backend>) {
    let cluster = start(backend, 1).await;
    let client = redis::Client::open(first(&cluster).url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let (extend, release) = (redis::Script::new(EXTEND), redis::Script::new(RELEASE));
    assert!(run(first(&cluster), "SET k token PX 60000").await.is_ok());
    let extended: i64 = extend
        .key("k")
        .arg("token")
        .arg(90_000)
        .arg(0)
        .invoke_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(extended, 1);
    for expected in [1, 0] {
        let mut release = release.key("k");
        let released: i64 =
            release.arg("token").arg("").invoke_async(&mut connection).await.unwrap();
        assert_eq!(released, expected);
    }
}

/// What must be gone after a cluster: its ports and its processes.
struct Traces {
    backend: Backend,
    addresses: Vec<String>,
    processes: Vec<String>,
}

impl Traces {
    async fn of(cluster: &Cluster) -> Self {
        let mut traces = Self {
            backend: cluster.backend(),
            addresses: cluster.nodes().iter().map(TestNode::address).collect(),
            processes: Vec::new(),
        };
        if cluster.backend() == Backend::Process {
            for node in cluster.nodes() {
                traces.processes.push(process_id(node).await);
            }
        }
        traces
    }

    fn assert_gone(&self) {
        for address in &self.addresses {
            let refused = TcpStream::connect(address).is_err();
            assert!(refused, "{address} still accepts");
            if self.backend == Backend::Docker {
                let port = address.rsplit_once(':').unwrap().1;
                assert!(!containers().contains(port), "a container is left for {address}");
            }
        }
        for process in &self.processes {
            assert!(!is_alive(process), "process {process} is left");
        }
    }
}

async fn process_id(node: &TestNode) -> String {
    let info = run(node, "INFO server").await;
    let info = String::from_utf8(info.as_bytes().unwrap().to_vec()).unwrap();
    let id = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    id.unwrap().to_owned()
}

/// A process that has ended and that nobody has waited for yet is not alive.
fn is_alive(process: &str) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) {
        return !stat.contains(") Z ");
    }
    let mut asked = Command::new("sh");
    asked.args(["-c", r#"kill -0 "$1""#, "sh", process]);
    asked.stderr(Stdio::null()).status().unwrap().success()
}

/// All of ours with their ports; a machine without the program has to do
/// without this look.
fn containers() -> String {
    let filter = "label=redlock-quorum.test=1";
    let format = "{{.Names}} {{.Ports}}";
    Command::new("docker")
        .args(["ps", "-a", "--filter", filter, "--format", format])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

fn wire(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n{arg}\r\n", arg.len()).bytes());
    }
    bytes
}

/// A memory node, which is the simulator's node too, answers as a server does,
/// command for command, and is left with the same keys, values and lifetimes.
#[tokio::test]
async fn memory_nodes_answer_as_servers_do() {
    let servers = start(None, 1).await;
    let memory = start(Some(Backend::Memory), 1).await;
    let (server, memory) = (first(&servers), first(&memory));
    let has_delifeq = crate::support::native(server).await == Some("delifeq");
    for seed in 0..8 {
        let mut dice = Dice(0x5eed + seed);
        for step in 0..500 {
            let args = dice.command();
            if args[0] == "DELIFEQ" && !has_delifeq {
                continue;
            }
            let expected = server.command(&args).await.unwrap();
            let got = memory.command(&args).await.unwrap();
            let same = match (&args[0][..], &expected, &got) {
                ("PTTL", Reply::Int(a), Reply::Int(b)) if *a > 0 => about(*a) == about(*b),
                ("KEYS", Reply::Array(a), Reply::Array(b)) => sorted(a) == sorted(b),
                (_, Reply::Error(a), Reply::Error(b)) => a.split(' ').next() == b.split(' ').next(),
                _ => expected == got,
            };
            assert!(same, "{seed}:{step}: {args:?}: server {expected:?}, memory {got:?}");
        }
        assert_eq!(dump(server).await, dump(memory).await, "after seed {seed}");
        for node in [server, memory] {
            assert!(run(node, "FLUSHALL").await.is_ok());
        }
    }
    for node in [server, memory] {
        assert!(run(node, "SET short v PX 40").await.is_ok());
        eventually("the key expired", async || run(node, "PTTL short").await == Reply::Int(-2))
            .await;
        assert!(run(node, "SET short v NX PX 60000").await.is_ok());
    }
}

/// A connection that is subscribed sees the same bytes on both.
#[tokio::test]
async fn subscribers_of_memory_nodes_see_what_those_of_servers_do() {
    let servers = start(None, 1).await;
    let memory = start(Some(Backend::Memory), 1).await;
    let seen = what_a_subscriber_sees(first(&servers)).await;
    assert_eq!(what_a_subscriber_sees(first(&memory)).await, seen);
    assert_eq!(seen[3], "*3 $7 message $9 redlock:k $4 gone");
}

async fn what_a_subscriber_sees(node: &TestNode) -> Vec<String> {
    let stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = BufReader::new(stream);
    let mut ask = |line: &str, lines: usize| {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        if !words.is_empty() {
            stream.get_mut().write_all(&wire(&words)).unwrap();
        }
        let heard: Vec<_> = stream.by_ref().lines().take(lines).map(Result::unwrap).collect();
        heard.join(" ")
    };
    let mut seen = vec![ask("SUBSCRIBE a redlock:k", 12), ask("PING", 5)];
    // What may be sent instead depends on the version.
    let refused = ask("GET k", 1);
    seen.push(refused.split_once(": only ").unwrap().0.to_owned());
    assert!(run(node, "SET k token PX 60000").await.is_ok());
    let release = ["EVAL", RELEASE, "1", "k", "token", "gone"];
    assert_eq!(node.command(&release).await.unwrap(), Reply::Int(1));
    seen.push(ask("", 7));
    assert_eq!(run(node, "PUBLISH a x").await, Reply::Int(1));
    seen.extend([ask("UNSUBSCRIBE a", 13), ask("PING x", 5), ask("UNSUBSCRIBE", 6)]);
    assert_eq!(run(node, "PUBLISH redlock:k x").await, Reply::Int(0));
    seen.extend([ask("PING", 1), ask("GET k", 1), ask("UNSUBSCRIBE", 5)]);
    seen
}

/// It is hung up on, and the node goes on.
#[tokio::test]
async fn a_subscriber_that_does_not_read_keeps_nobody_waiting() {
    let memory = start(Some(Backend::Memory), 1).await;
    let node = first(&memory);
    let mut deaf = TcpStream::connect(node.address()).unwrap();
    deaf.write_all(&wire(&["SUBSCRIBE", "c"])).unwrap();
    eventually("it is subscribed", async || run(node, "PUBLISH c x").await == Reply::Int(1)).await;
    let payload = "x".repeat(500_000);
    eventually("it is hung up on", async || {
        node.command(&["PUBLISH", "c", &payload]).await.unwrap() == Reply::Int(0)
    })
    .await;
    deaf.set_read_timeout(Some(SOON)).unwrap();
    let ended = deaf.read_to_end(&mut Vec::new());
    assert!(ended.is_ok_and(|read| read > payload.len()));
}

/// A lifetime, rounded to what it was set to: the lifetimes that are drawn are
/// minutes apart, and a node may be asked seconds after the other.
fn about(millis: i64) -> i64 {
    (millis + 30_000) / 60_000
}

/// All that a node knows.
async fn dump(node: &TestNode) -> Vec<(Vec<u8>, Reply, i64)> {
    let Reply::Array(keys) = run(node, "KEYS *").await else { panic!("no keys") };
    let mut known = Vec::new();
    for key in sorted(&keys) {
        let value = node.command(&[b"GET", key]).await.unwrap();
        let lifetime = node.command(&[b"PTTL", key]).await.unwrap().as_int().unwrap();
        known.push((key.to_vec(), value, if lifetime > 0 { about(lifetime) } else { lifetime }));
    }
    known
}

fn sorted(keys: &[Reply]) -> Vec<&[u8]> {
    let mut keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes().unwrap()).collect();
    keys.sort();
    keys
}

/// Commands by chance, always the same ones. Lifetimes are either long enough
/// not to end during the test or end at once.
struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        // Knuth's MMIX generator; its high bits are good enough here.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }

    fn command(&mut self) -> Vec<String> {
        let hashes = [RELEASE, EXTEND].map(|text| redis::Script::new(text).get_hash().to_owned());
        let template = self.pick(&[
            "SET K V",
            "SET K V NX PX T",
            "set K V px T nx",
            "SET K V PX T",
            "SET K V NX",
            "GET K",
            "GETRANGE K 0 256",
            "GETRANGE K 0 0",
            "DEL K",
            "DEL K K K",
            "DELIFEQ K V",
            "EXISTS K K",
            "PTTL K",
            "PTTL K",
            "PEXPIRE K T",
            "PEXPIRE K Z",
            "DBSIZE",
            "KEYS *",
            "PING",
            "PING V",
            "ECHO",
            "GET",
            "DEL",
            "SET K",
            "SET K V PX",
            "SET K V PX Z",
            "SET K V PX x",
            "SET K V NX BAD",
            "PEXPIRE K x",
            "NOSUCH K V",
            "EVAL R 1 K V",
            "EVAL R 1 K V P",
            "EVAL R 1 K V P",
            "EVAL R 1 K V P more",
            "EVAL E 1 K V",
            "EVAL E 1 K V T",
            "EVAL E 1 K V T H",
            "EVAL E 1 K V T H",
            "EVAL E 1 K V T 01",
            "EVAL E 1 K V Z H",
            "EVAL E 1 K V x H",
            "EVALSHA r 1 K V P",
            "EVALSHA e 1 K V T H",
            "EVALSHA nohash 1 K V",
            "EVAL R",
            "EVALSHA r 5 K V",
            "EVALSHA r x K V",
            "PUBLISH K V",
            "PUBLISH K",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "UNSUBSCRIBE K",
            "SELECT 0",
            "INFO",
            "SCRIPT FLUSH",
            "SCRIPT LOAD R",
            "FLUSHALL",
        ]);
        // INFO differs by nature; a rare FLUSHALL lets keys pile up.
        let template = match template {
            "INFO" => "EXISTS K",
            "FLUSHALL" if self.pick(&["", "", "", "now"]).is_empty() => "SET K V PX T",
            template => template,
        };
        let words = template.split(' ').map(|word| match word {
            "K" => self.pick(&["a", "b", "c", "d"]),
            "V" => self.pick(&["x", "y", ""]),
            "T" => self.pick(&["60000", "600000", "3600000"]),
            "P" => self.pick(&["gone", ""]),
            "H" => self.pick(&["0", "1"]),
            "Z" => self.pick(&["0", "-1"]),
            "R" => RELEASE,
            "E" => EXTEND,
            "r" => &hashes[0],
            "e" => &hashes[1],
            word => word,
        });
        words.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn server_arguments_reach_every_server() {
    let started = Cluster::builder().nodes(2).server_args(["--maxmemory", "1mb"]).start().await;
    match started {
        Ok(cluster) => {
            for node in cluster.nodes() {
                let set = Reply::Array(vec![bulk("maxmemory"), bulk("1048576")]);
                assert_eq!(run(node, "CONFIG GET maxmemory").await, set);
            }
        }
        Err(error) => assert!(
            matches!(error, FixtureError::Unavailable { backend: Backend::Memory, .. }),
            "{error:?}"
        ),
    }
}

#[tokio::test]
async fn a_server_that_ends_at_once_says_why() {
    if start(None, 0).await.backend() == Backend::Memory {
        return;
    }
    let builder = Cluster::builder().nodes(1).server_args(["--no-such-option", "1"]);
    let error = builder.start().await.unwrap_err();
    assert!(matches!(error, FixtureError::Start { .. }), "{error:?}");
    println!("{error}");
}

#[tokio::test]
async fn a_dropped_start_leaves_nothing() {
    // Only that it neither hangs nor panics can be seen from here; a node that
    // stayed would show up in the container list or as a process.
    for wait in [0, 1, 5, 20] {
        let starting = Cluster::builder().nodes(3).start();
        let _ = timeout(Duration::from_millis(wait), starting).await;
    }
}

/// Dropped where there is no runtime any more.
#[test]
fn a_cluster_may_outlive_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (cluster, traces) = runtime.block_on(async {
        let cluster = start(None, 2).await;
        let traces = Traces::of(&cluster).await;
        (cluster, traces)
    });
    drop(runtime);
    drop(cluster);
    traces.assert_gone();
}

#[tokio::test]
async fn processes_end_with_a_killed_test() {
    if start(None, 0).await.backend() != Backend::Process {
        return; // containers stay behind, as documented; memory cannot
    }
    let mut holder = helper("hold_a_cluster", &[]).stdout(Stdio::piped()).spawn().unwrap();
    let processes = read_processes(&mut holder);
    assert!(processes.iter().all(|process| is_alive(process)));
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("the servers ended", async || !processes.iter().any(|process| is_alive(process)))
        .await;
}

fn read_processes(holder: &mut Child) -> Vec<String> {
    let mut text = String::new();
    let stdout = holder.stdout.as_mut().unwrap();
    while !text.contains("held\n") {
        let mut buffer = [0; 1024];
        let read = stdout.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the helper ended: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    let ids = text.lines().filter_map(|line| line.split_once("process "));
    let ids: Vec<String> = ids.map(|(_, id)| id.to_owned()).collect();
    assert_eq!(ids.len(), 2, "{text}");
    ids
}

#[test]
fn the_environment_is_obeyed_or_refused() {
    let none = ("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("REDLOCK_TEST_BACKEND", "podman")], "REDLOCK_TEST_BACKEND=podman is unknown"),
        (&[("REDLOCK_TEST_BACKEND", "memory")], "started memory"),
        (
            &[("REDLOCK_TEST_BACKEND", "process"), ("REDLOCK_TEST_SERVER", "/nonexistent")],
            "backend process cannot be used: REDLOCK_TEST_SERVER=/nonexistent",
        ),
        (
            &[("REDLOCK_TEST_BACKEND", "docker"), none],
            "backend docker cannot be used: no container engine",
        ),
        (
            &[none, ("PATH", "/nonexistent")],
            "no Redis server to test against (no container engine answered",
        ),
        (&[none, ("PATH", "/nonexistent"), ("OR_MEMORY", "1")], "started memory"),
    ];
    for (environment, expected) in cases {
        let Output { stdout, stderr, .. } =
            helper("start_a_cluster", environment).output().unwrap();
        let stdout = String::from_utf8_lossy(&stdout);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(stdout.contains(expected), "{environment:?}: {stdout}{stderr}");
        let announced = stderr.matches("redlock-quorum testing: backend").count();
        assert_eq!(announced, usize::from(expected.starts_with("started")), "{stderr}");
        print!("{stderr}");
    }
}

/// This program again, for one of the helpers below.
fn helper(name: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([&format!("fixture::{name}"), "--exact", "--ignored", "--nocapture"])
        .env_remove("REDLOCK_TEST_BACKEND")
        .env_remove("REDLOCK_TEST_SERVER")
        .envs(environment.iter().copied())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
#[ignore = "no test, a program that one starts: it holds a cluster until it is killed"]
async fn hold_a_cluster() {
    let cluster = start(Some(Backend::Process), 2).await;
    for node in cluster.nodes() {
        println!("process {}", process_id(node).await);
    }
    first(&cluster).pause().await.unwrap();
    println!("held");
    sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
#[ignore = "no test, a program that one starts: it says what came of a start, twice"]
async fn start_a_cluster() {
    for _ in 0..2 {
        let builder = Cluster::builder().nodes(1);
        let builder = match std::env::var_os("OR_MEMORY") {
            Some(_) => builder.or_memory(),
            None => builder,
        };
        match builder.start().await {
            Ok(cluster) => println!("started {}", cluster.backend()),
            Err(error) => println!("failed: {error}"),
        }
    }
}
