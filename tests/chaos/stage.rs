//! What a run is played on: five servers, the networks before them, and the clients'
//! processes. It starts and ends them, and tells what it did; which fault comes when is
//! decided elsewhere.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    Result,
    check::client_log,
    child::Guarded,
    client::Orders,
    clock::{ms, now},
    fault::{NODES, Set},
    log::{Log, Note},
    mode::{Belief, Mode},
    program::Program,
    proxy::Proxy,
    server::{PASSWORD, Server, USER},
};

/// Clients of different groups reach the nodes by networks of their own.
pub const GROUPS: usize = 2;
const CLIENTS_END: Duration = ms(15_000);

#[derive(Debug)]
pub struct Stage {
    pub servers: Vec<Server>,
    /// Empty, for others to follow.
    pub spare: Option<Server>,
    /// Of each node, one for each group.
    pub proxies: Vec<Vec<Proxy>>,
    pub clients: Vec<Client>,
    pub log: Arc<Log>,
    pub dir: PathBuf,
    /// How far the servers' clocks have been set ahead.
    pub ahead: Duration,
    next_process: u32,
}

/// A client's process, and what it was told.
#[derive(Debug)]
pub struct Client {
    pub process: Guarded,
    pub orders: Orders,
}

/// How many clients there are, and of what.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub modes: Vec<Mode>,
    pub processes: u32,
    pub tasks: u32,
    pub keys: u32,
    pub seed: u64,
    pub counter: SocketAddr,
}

impl Stage {
    pub async fn start(program: &Program, set: Set, dir: PathBuf, log: Arc<Log>) -> Result<Self> {
        // What is kept over a kill is what was on the disk before the answer.
        let kept: &[&str] = match set {
            Set::Within => &["--appendonly", "yes", "--appendfsync", "always"],
            Set::Memory | Set::Clock | Set::Beyond => &[],
        };
        let mut servers = Vec::new();
        for node in 0..NODES {
            servers.push(Server::start(program, dir.join(format!("node-{node}")), kept).await?);
        }
        let spare = match set {
            Set::Memory => Some(Server::start(program, dir.join("spare"), &[]).await?),
            Set::Within | Set::Clock | Set::Beyond => None,
        };
        let mut proxies = Vec::new();
        for server in &servers {
            let mut of_node = Vec::new();
            for _ in 0..GROUPS {
                of_node.push(Proxy::before(server.address()).await?);
            }
            proxies.push(of_node);
        }
        let (clients, ahead) = (Vec::new(), Duration::ZERO);
        Ok(Self { servers, spare, proxies, clients, log, dir, ahead, next_process: 0 })
    }

    /// Where the clients of that group find the nodes.
    pub fn urls(&self, group: usize) -> Vec<String> {
        let url = |proxy: &Proxy| format!("redis://{USER}:{PASSWORD}@{}", proxy.address);
        self.proxies.iter().map(|of_node| url(&of_node[group])).collect()
    }

    pub fn start_clients(&mut self, crowd: &Crowd) -> Result<()> {
        for process in 0..crowd.processes {
            for mode in &crowd.modes {
                let orders = Orders {
                    process: 0,
                    mode: *mode,
                    seed: crowd.seed,
                    belief: Belief::of(self.urls(process as usize % GROUPS)),
                    counter: crowd.counter,
                    log: PathBuf::new(),
                    keys: crowd.keys,
                    tasks: crowd.tasks,
                };
                let client = self.start_client(orders)?;
                self.clients.push(client);
            }
        }
        Ok(())
    }

    /// As one that was started before, under a number of its own.
    pub fn start_client(&mut self, orders: Orders) -> Result<Client> {
        let process = self.next_process;
        self.next_process += 1;
        let log = self.dir.join(client_log(process));
        let seed = orders.seed ^ u64::from(process).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let orders = Orders { process, log, seed, ..orders };
        self.log.say(&Note::Started { process, mode: orders.mode });
        let program = std::env::current_exe()?;
        let program = program.to_str().ok_or("this program's path is no text")?;
        let told = serde_json::to_string(&orders)?;
        let errors = fs::File::options().create(true).append(true).open(self.errors())?;
        let process = Guarded::start(&[program, "client", &told], |shell| {
            shell.stderr(errors);
        })?;
        Ok(Client { process, orders })
    }

    /// What clients that fail say.
    pub fn errors(&self) -> PathBuf {
        self.dir.join("clients.err")
    }

    /// Tells all clients to end, and waits for them.
    pub async fn end_clients(&mut self) -> Result<()> {
        self.log.say(&Note::Ended { at: now() });
        let mut ends = Vec::new();
        for client in self.clients.drain(..) {
            let ended = tokio::spawn(client.process.ends_within(CLIENTS_END));
            ends.push((client.orders.process, ended));
        }
        for (process, ended) in ends {
            let error = |error| format!("{error}: see {}", self.errors().display());
            if !ended.await?.map_err(error)? {
                self.log.say(&Note::Stuck { process });
            }
        }
        Ok(())
    }

    /// Notes the keys that are there: those of locks, not what is to stay for longer.
    pub async fn look_for_keys(&self) -> Result<()> {
        for (node, server) in self.servers.iter().enumerate() {
            let keys: Vec<String> = server.ask(redis::cmd("KEYS").arg("*")).await?;
            for key in keys {
                if !key.ends_with(":fence") && !key.starts_with("redlock:") {
                    self.log.say(&Note::Left { node, key });
                }
            }
        }
        Ok(())
    }
}
