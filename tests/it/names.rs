//! Names for which nobody answers: a look-up lasts for minutes then, and nothing waits for it.
//!
//! The programs run in a network of their own in which packets to the name server go nowhere.
//! That takes `unshare` and `ip`, and root, or a system that lets everyone have namespaces.

use std::{fs, process::Command};

use crate::{
    local::{Directory, skipped},
    program::{self, Program},
    support::{LIMIT, eventually, within},
};

/// With these a look-up gives up after 150 s.
const RESOLVER: &str = "nameserver 192.0.2.1\noptions timeout:30 attempts:5\n";

/// No other service that knows names is asked.
const SWITCH: &str = "hosts: dns\n";

/// The addresses are of RFC 5737. What goes to a host on the loopback device that is not there
/// is dropped without a word.
const IN_SILENCE: &str = r#"
set -e
ip link set lo up
ip address add 198.51.100.1/32 dev lo
ip route add 192.0.2.1/32 dev lo
mount --bind "$1/resolv.conf" /etc/resolv.conf
[ ! -e /etc/nsswitch.conf ] || mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"#;

const URLS: [&str; 3] =
    ["redis://lock1.redlock.test", "redis://lock2.redlock.test", "redis://lock3.redlock.test"];

/// Where no name server answers.
struct Silence {
    files: Directory,
    namespaces: &'static str,
}

impl Silence {
    /// `None`, and a word on the output, where it can't be made.
    fn new() -> Option<Self> {
        let files = Directory::new();
        fs::write(files.path("resolv.conf"), RESOLVER).unwrap();
        fs::write(files.path("nsswitch.conf"), SWITCH).unwrap();
        let mut silence = Self { files, namespaces: "-mn" };
        for namespaces in ["-mn", "-rmn"] {
            silence.namespaces = namespaces;
            let tried = silence.around(&Command::new("true")).output();
            if tried.is_ok_and(|tried| tried.status.success()) {
                return Some(silence);
            }
        }
        skipped("it takes `unshare`, `ip`, and the right to make namespaces");
        None
    }

    /// The same command in there, where it becomes the process that is started.
    fn around(&self, command: &Command) -> Command {
        let mut outer = Command::new("unshare");
        outer.args([self.namespaces, "sh", "-c", IN_SILENCE, "sh", &self.files.path("")]);
        outer.arg(command.get_program()).args(command.get_args());
        outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer
    }
}

/// That the threads are still there when all has ended shows that nobody waited for them.
#[tokio::test]
async fn a_silent_name_server_costs_one_thread_a_node_and_nobody_waits_for_it() {
    let Some(silence) = Silence::new() else { return };
    let mut program = Command::new(env!("CARGO_BIN_EXE_redlock-silent-names"));
    let mut program = silence.around(program.args(URLS));
    let running = tokio::task::spawn_blocking(move || program.output().unwrap());
    let output = within(LIMIT, "it ends long before its look-ups", running).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<_> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(counts, ["3"; 3], "{said}");
    assert!(said.contains("no connection in 1s, looking up its name"), "{said}");
}

#[tokio::test]
async fn the_lock_service_ends_though_a_name_server_is_silent() {
    let Some(silence) = Silence::new() else { return };
    let nodes = URLS.join(",");
    let command = program::command(&["--shutdown-timeout", "2s"], &[("REDLOCK_NODES", &nodes)]);
    let program = Program::run(silence.around(&command)).await;
    eventually("it has tried to connect", async || {
        let log = program.stderr();
        if log.contains("looking up its name") { Ok(()) } else { Err(log) }
    })
    .await;
    let status = program.terminate().await;
    assert!(status.success(), "{status}");
}
