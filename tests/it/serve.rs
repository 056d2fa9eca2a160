//! `redlock serve` as an operator meets it: its settings by flags, environment and
//! files, and what it says of those that can't be.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
    process::Output,
    time::Duration,
};

use redlock_quorum::{
    Redlock,
    testing::{Backend, Cluster, Reply},
};
use reqwest::{Certificate, Client};

use crate::{
    certs::Authority,
    local::draw,
    program::{Program, command},
    support::{LIMIT, assert_no_keys, bulk, eventually, run, run_on, start, within},
};

/// A file in the system's place for such, which is gone with this.
struct Written(PathBuf);

impl Written {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("redlock-test-{:x}", draw()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Status and body of a `GET`.
async fn get(program: &Program, path: &str, bearer: Option<&str>) -> (u16, String) {
    let mut request = Client::new().get(format!("{}{path}", program.url()));
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    let response = within(LIMIT, "an answer", request.send()).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// How the program ends that can't start.
async fn refused(flags: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let mut command = command(flags, environment);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stderr, stdout } = within(LIMIT, "it ends", run).await.unwrap();
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn nodes_are_named_by_flags_the_environment_or_a_file() {
    let cluster = start(3).await;
    let urls = cluster.urls();
    let file = Written::new(&format!("# lock nodes\n\n{}\n  {}\n{}", urls[0], urls[1], urls[2]));
    let joined = urls.join(",");
    let programs = [
        Program::start_alone(&["--node", &urls[0], "-n", &urls[1], "-n", &urls[2]], &[]).await,
        Program::start_alone(&["--node", &joined], &[]).await,
        Program::start_alone(&[], &[("REDLOCK_NODES", &joined)]).await,
        Program::start_alone(&["--nodes-file", file.path()], &[]).await,
        Program::start_alone(&[], &[("REDLOCK_NODES_FILE", file.path())]).await,
    ];
    for program in &programs {
        let (status, body) = get(program, "/readyz", None).await;
        assert_eq!(status, 200, "{body}");
        for node in cluster.nodes() {
            assert!(body.contains(&node.address()), "{body}");
        }
        eventually("it says that it is ready", async || {
            let log = program.stderr();
            if log.contains(": ready able=3") { Ok(()) } else { Err(log) }
        })
        .await;
    }
    for program in programs {
        assert!(program.terminate().await.success());
    }
}

/// New strict nodes grant nothing until a person says that they are new, or a quarantine is over.
#[tokio::test]
async fn strict_nodes_and_a_grace_are_a_flag_each() {
    let cluster = start(3).await;
    let flags = ["--strict", "--grace", "5s", "--max-ttl", "60s"];
    let program = Program::start(&cluster, &flags, &[]).await;
    let (status, body) = get(&program, "/readyz", None).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("nobody has called `Redlock::bootstrap`"), "{body}");
    let client = Redlock::builder().nodes(cluster.urls());
    let redlock = client.strict(Duration::from_secs(65)).build().unwrap();
    redlock.bootstrap().await.unwrap();
    let (status, body) = get(&program, "/readyz", None).await;
    assert_eq!(status, 200, "{body}");
    let lock = Client::new().post(format!("{}/lock", program.url())).body("key=job&ttl_ms=60000");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let answer = lock.header(form.0, form.1).send().await.unwrap();
    assert_eq!(answer.status(), 200, "the longest ttl has its grace besides");
    let left = run(&cluster.nodes()[0], "PTTL job").await.as_int().unwrap();
    assert!(left > 60_000, "the grace is counted there: {left}");
    redlock.shutdown(LIMIT).await.unwrap();
    assert!(program.terminate().await.success());
}

#[tokio::test]
async fn settings_come_from_the_environment_too() {
    let cluster = start(3).await;
    let token = Written::new("  s3cret\n");
    let environment = [
        ("REDLOCK_MAX_TTL", "50s"),
        ("REDLOCK_TTL", "20s"),
        ("REDLOCK_KEY_PREFIX", "app:"),
        ("REDLOCK_BEARER_TOKEN_FILE", token.path()),
        ("REDLOCK_LOG_FORMAT", "json"),
        ("REDLOCK_LOG", "debug"),
    ];
    let program = Program::start(&cluster, &[], &environment).await;
    let post = |body: &'static str| {
        let request = Client::new().post(format!("{}/lock", program.url())).body(body);
        request.header("content-type", "application/x-www-form-urlencoded")
    };
    assert_eq!(post("key=k").send().await.unwrap().status(), 401);
    let long = post("key=k&ttl_ms=50001").bearer_auth("s3cret").send().await.unwrap();
    assert_eq!(long.status(), 422);
    assert!(long.text().await.unwrap().contains("from 10 to 50000"));
    let had = post("key=k").bearer_auth("s3cret").send().await.unwrap().text().await.unwrap();
    let had: serde_json::Value = serde_json::from_str(&had).unwrap();
    assert!(had["validity_ms"].as_u64().is_some_and(|ms| ms < 20_000), "{had}");
    // A majority has voted; the third node may not have been asked.
    let keys = run_on(cluster.nodes(), "KEYS *").await;
    let has = |keys: &&Reply| **keys == Reply::Array(vec![bulk("app:k")]);
    assert!(keys.iter().filter(has).count() >= 2, "{keys:?}");
    let log = program.stderr();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    for secret in ["s3cret", had["token"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(program.terminate().await.success());
}

#[tokio::test]
async fn over_https_who_trusts_the_certificate_is_served() {
    let cluster = start(1).await;
    let authority = Authority::new();
    let identity = authority.sign(&["127.0.0.1"]);
    let (certificate, key) = (Written::new(&identity.certificate), Written::new(&identity.key));
    let flags = ["--tls-cert", certificate.path(), "--tls-key", key.path()];
    let program = Program::start(&cluster, &flags, &[("REDLOCK_BEARER_TOKEN", "s3cret")]).await;
    let url = format!("{}/metrics", program.url());
    assert!(url.starts_with("https://"), "{url}");
    let trusted = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(client.get(&url).bearer_auth("s3cret").send().await.unwrap().status(), 200);
    let other = Certificate::from_pem(Authority::new().pem().as_bytes()).unwrap();
    let other = Client::builder().tls_certs_only([other]).build().unwrap();
    assert!(other.get(&url).send().await.is_err(), "whom it does not trust it asks nothing");
    assert!(program.terminate().await.success());
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_change_and_no_secret() {
    let empty = Written::new("# none\n");
    let bad = Written::new("redis://a\n\nredis//:s3cret@b\n");
    let blank = Written::new(" \n");
    let both = [("REDLOCK_BEARER_TOKEN", "a")];
    for (flags, environment, code, words) in [
        (&["--node", "redis://:s3cret@a"][..], &[][..], 64, "--nodes-file"),
        (&["--node=redis://a,redis://u:s3cret@b"], &[], 64, "holds a password"),
        (&["--node", "http://a"], &[], 64, "node 1"),
        (&[], &[("REDLOCK_NODES", "redis://a,redis//:s3cret@b")], 64, "node 2"),
        (&["--nodes-file", "/nonexistent"], &[], 78, "/nonexistent"),
        (&["--nodes-file", empty.path()], &[], 78, "names no node"),
        (&["--nodes-file", bad.path()], &[], 78, "line 3"),
        (&["--nodes-file", bad.path(), "-n", "redis://a"], &[], 64, "named twice"),
        (&["--bearer-token-file", blank.path()], &[], 78, "empty"),
        (&["--bearer-token-file", blank.path()], &both, 64, "two bearer tokens"),
        (&["--dev", "--node", "redis://a"], &[], 64, "--dev"),
        (&["--ttl", "soon"], &[], 64, "--ttl"),
        (&["--ttl", "2h"], &[], 64, "ttl"),
        (&["--quorum", "0"], &[], 64, "quorum"),
        (&["--listen", "nowhere"], &[], 64, "ADDRESS:PORT"),
        (&["--log-level", "loud"], &[], 64, "loud"),
        (&["--tls-cert", "/nonexistent"], &[], 64, "--tls-key"),
        (&["--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"], &[], 78, "/nonexistent"),
        (&["--no-such-flag"], &[], 64, "--no-such-flag"),
        (&[], &[("REDLOCK_MAX_WAITERS", "many")], 64, "many"),
    ] {
        let (ended, said) = refused(flags, environment).await;
        assert_eq!(ended, code, "{flags:?} {environment:?}: {said}");
        assert!(said.contains(words), "{flags:?} {environment:?}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_redlock-under-test"));
    program.args(["serve", "--listen", &address]).env_clear();
    let run = tokio::task::spawn_blocking(move || program.output().unwrap());
    let output = within(LIMIT, "it ends", run).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains(&address), "{said}");
}

#[tokio::test]
async fn it_helps_and_says_where_it_listens_unless_told() {
    for (args, words) in [
        (&["--help"][..], "serve"),
        (&["serve", "--help"], "127.0.0.1:5625"),
        (&["serve", "--help"], "REDLOCK_NODES_FILE"),
        (&["serve", "--help"], "Exit status:"),
        (&["--version"], "redlock "),
    ] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_redlock-under-test"));
        let output = program.args(args).env_clear().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(words), "{args:?}: {said}");
        assert!(said.contains("redlock"), "{said}");
    }
}

/// Which server listens there, if one does.
fn run_id(address: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"INFO server\r\nQUIT\r\n").ok()?;
    let mut info = Vec::new();
    stream.read_to_end(&mut info).ok()?;
    let info = String::from_utf8_lossy(&info);
    info.lines().find(|line| line.starts_with("run_id:")).map(str::to_owned)
}

#[tokio::test]
async fn for_trying_out_it_starts_nodes_of_its_own_which_end_with_it() {
    let program = Program::start_alone(&["--dev"], &[]).await;
    let (status, ready) = get(&program, "/readyz", None).await;
    assert_eq!(status, 200, "{ready}");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let nodes: Vec<String> = ready["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["node"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(nodes.len(), 3);
    let before: Vec<_> = nodes.iter().map(|node| run_id(node)).collect();
    assert!(before.iter().all(Option::is_some), "{before:?}");
    assert!(program.terminate().await.success());
    for (node, before) in nodes.iter().zip(before) {
        // Another test may have the port by now.
        assert!(run_id(node).is_none_or(|after| Some(after) != before), "{node} still runs");
    }
}

#[tokio::test]
async fn without_nodes_that_run_it_starts_and_says_so() {
    let cluster = Cluster::builder().nodes(3).backend(Backend::Memory).start().await.unwrap();
    for node in cluster.nodes() {
        node.kill().await.unwrap();
    }
    let program = Program::start(&cluster, &[], &[]).await;
    assert_eq!(get(&program, "/healthz", None).await.0, 200);
    assert_eq!(get(&program, "/readyz", None).await.0, 503);
    eventually("it logs what is wrong", async || {
        let log = program.stderr();
        let all = cluster.nodes().iter().all(|node| log.contains(&node.address()));
        if all && log.contains("WARN") { Ok(()) } else { Err(log) }
    })
    .await;
    for node in cluster.nodes() {
        node.restart().await.unwrap();
    }
    eventually("it is ready", async || {
        let ready = get(&program, "/readyz", None).await;
        if ready.0 == 200 { Ok(()) } else { Err(ready) }
    })
    .await;
    assert!(program.terminate().await.success());
    assert_no_keys(&cluster).await;
}
