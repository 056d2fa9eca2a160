//! Who can reach `redlock serve`, what it says of that, and what it can reach.

use std::{fs, process::Stdio};

use redlock_quorum::testing::Cluster;
use reqwest::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    certs::{Authority, Identity},
    local::Directory,
    program::{Program, command},
    support::{LIMIT, eventually, start, within},
    tls,
};

/// What it has logged when it has asked its nodes, which is the last of its
/// start.
async fn start_log(program: &Program) -> String {
    eventually("it has asked its nodes", async || {
        let log = program.stderr();
        if log.contains("ready") { Ok(log) } else { Err(log) }
    })
    .await
}

async fn log_with(cluster: &Cluster, flags: &[&str], environment: &[(&str, &str)]) -> String {
    let program = Program::start(cluster, flags, environment).await;
    let log = start_log(&program).await;
    assert!(program.terminate().await.success());
    log
}

/// The files of a certificate and its key.
fn write(identity: &Identity) -> (Directory, String, String) {
    let files = Directory::new();
    let (certificate, key) = (files.path("certificate.pem"), files.path("key.pem"));
    fs::write(&certificate, &identity.certificate).unwrap();
    fs::write(&key, &identity.key).unwrap();
    (files, certificate, key)
}

#[tokio::test]
async fn an_open_door_is_told_of() {
    const OPEN: &str = "any host that reaches this address";
    const CLEAR: &str = "crosses the network in the clear";
    const UNSAFE: &str = "locks can be released without their token";
    let cluster = start(1).await;
    let (_files, certificate, key) = write(&Authority::new().sign(&["localhost"]));
    let everywhere = ["--listen", "0.0.0.0:0"];
    let secured = [&everywhere[..], &["--tls-cert", &certificate, "--tls-key", &key]].concat();
    let token = [("REDLOCK_BEARER_TOKEN", "s3cret")];
    for (flags, environment, told) in [
        (&[][..], &[][..], &[][..]),
        (&everywhere, &[], &[OPEN]),
        (&everywhere, &token, &[CLEAR]),
        (&secured, &token, &[]),
        (&["--allow-tokenless-unlock"], &[], &[UNSAFE]),
        (&[], &[("REDLOCK_ALLOW_TOKENLESS_UNLOCK", "false")], &[]),
    ] {
        let log = log_with(&cluster, flags, environment).await;
        for words in [OPEN, CLEAR, UNSAFE] {
            assert_eq!(log.contains(words), told.contains(&words), "{flags:?}: {log}");
        }
        assert!(!log.contains("s3cret"), "{log}");
    }
}

#[tokio::test]
async fn nodes_with_tls_are_trusted_by_the_authority_that_it_is_told_of() {
    let authority = Authority::new();
    let Some(server) = tls::Server::start(&authority.sign(&["localhost"]), None).await else {
        return;
    };
    let files = Directory::new();
    for (authority, able) in [(&authority, true), (&Authority::new(), false)] {
        let ca_file = files.path("ca.pem");
        fs::write(&ca_file, authority.pem()).unwrap();
        // No handshake is late, however loaded the machine.
        let flags = ["--ca-file", &ca_file, "--node-timeout", "5s"];
        let program = Program::start_alone(&flags, &[("REDLOCK_NODES", &server.url())]).await;
        let log = start_log(&program).await;
        assert_eq!(!log.contains("not ready"), able, "{log}");
        assert!(program.terminate().await.success());
    }
}

#[tokio::test]
async fn standard_output_has_one_line_and_the_log_has_no_password() {
    let cluster = start(1).await;
    let with_password = format!("redis://:s3cret@{}", cluster.nodes()[0].address());
    let environment = [("REDLOCK_NODES", &*with_password), ("REDLOCK_LOG", "trace")];
    let mut command = command(&[], &environment);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let (mut stdout, mut stderr) = (program.stdout.take().unwrap(), program.stderr.take().unwrap());
    // It has logged that the node refuses it, so it has used the password.
    let mut log = String::new();
    let refused = async {
        while !log.contains("not ready") {
            let mut bytes = [0; 4096];
            let read = stderr.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{log}");
            log.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    within(LIMIT, "it asks the node", refused).await;
    program.start_kill().unwrap();
    let mut said = String::new();
    within(LIMIT, "its output ends", stdout.read_to_string(&mut said)).await.unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("listening on http://127.0.0.1:"), "{said}");
    assert!(!log.contains("s3cret") && !log.contains("redis://"), "{log}");
}

#[tokio::test]
async fn every_option_has_a_variable_and_no_help_shows_its_value() {
    let mut command = command(&["--help"], &[("REDLOCK_NODES", "redis://:s3cret@h")]);
    let output = command.output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !help.contains("s3cret"), "{help}");
    let option = |line: &str| {
        let (_, name) = line.trim_start().split_once("--")?;
        let begins = line.trim_start().starts_with('-');
        begins.then(|| name.split(' ').next().unwrap().to_owned())
    };
    let options: Vec<_> = help.lines().filter_map(option).filter(|name| name != "help").collect();
    assert!(options.len() > 15, "{options:?}");
    for name in &options {
        let variable = match name.as_str() {
            "node" => "NODES".to_owned(),
            "log-level" => "LOG".to_owned(),
            name => name.to_uppercase().replace('-', "_"),
        };
        assert!(help.contains(&format!("[env: REDLOCK_{variable}]")), "{name}: {help}");
    }
    assert_eq!(help.matches("[env: REDLOCK_").count(), options.len());
}

#[tokio::test]
async fn the_command_line_counts_more_than_the_environment_and_the_last_of_it_most() {
    let cluster = start(1).await;
    let flags = ["--max-ttl", "1m", "--max-ttl", "50s"];
    let program = Program::start(&cluster, &flags, &[("REDLOCK_MAX_TTL", "nonsense")]).await;
    let request = Client::new().post(format!("{}/lock", program.url()));
    let request = request.form(&[("key", "k"), ("ttl_ms", "50001")]);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("50000"), "{answer}");
    assert!(program.terminate().await.success());
}

#[tokio::test]
async fn who_never_says_what_it_wants_is_hung_up_on() {
    let cluster = start(1).await;
    let program = Program::start(&cluster, &[], &[]).await;
    let mut silent = TcpStream::connect(program.address()).await.unwrap();
    let mut slow = TcpStream::connect(program.address()).await.unwrap();
    slow.write_all(b"POST /lock HTTP/1.1\r\nhost: test\r\n").await.unwrap();
    let mut without_body = TcpStream::connect(program.address()).await.unwrap();
    let head = b"POST /lock HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n";
    without_body.write_all(head).await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut all = Vec::new();
        // A reset is an end, too.
        let _ = within(LIMIT, "it hangs up", stream.read_to_end(&mut all)).await;
        assert!(all.is_empty(), "{:?}", String::from_utf8_lossy(&all));
    }
    let mut answer = String::new();
    let reading = without_body.read_to_string(&mut answer);
    within(LIMIT, "it is answered and hung up on", reading).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("the body was not there within 10s"), "{answer}");
    assert!(program.terminate().await.success());
}

/// Else who waits for a lock would keep its place for as long as it asked for.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_looks_whether_a_silent_clients_host_is_still_there() {
    const KEEPALIVE: &str = "02";
    // In the kernel's hundredths of a second; its own rule is two hours.
    const SOON: u64 = 15 * 100;
    let cluster = start(1).await;
    let program = Program::start(&cluster, &[], &[]).await;
    let client = TcpStream::connect(program.address()).await.unwrap();
    // As the kernel lists them: the address as a number in the host's order, the port.
    let end = |port: u16| format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]));
    let (own, peer) = (end(program.address().port()), end(client.local_addr().unwrap().port()));
    eventually("its end of the connection has that timer", async || {
        let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut fields =
            sockets.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let ours = fields.find(|fields| fields[1..3] == [&own, &peer]);
        let (timer, left) = ours.and_then(|fields| fields[5].split_once(':')).unwrap_or_default();
        match u64::from_str_radix(left, 16) {
            Ok(left) if timer == KEEPALIVE && left <= SOON => Ok(()),
            _ => Err((timer.to_owned(), left.to_owned())),
        }
    })
    .await;
    assert!(program.terminate().await.success());
}
