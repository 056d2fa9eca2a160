//! What a run is played on: five servers, the networks before them, and the clients'
//! processes. It starts and ends them, and tells what it did; which fault comes when is
//! decided elsewhere.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    Result,
    check::client_log,
    child::Guarded,
    client::Orders,
    clock::{ms, now},
    fault::Set,
    log::{Log, Note},
    mode::{Belief, Mode},
    program::Program,
    proxy::Proxy,
    server::{PASSWORD, Server, USER},
};

/// Clients of different groups reach the nodes by networks of their own.
pub const GROUPS: usize = 2;
const CLIENTS_END: Duration = ms(60_000);

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
    program: Program,
    /// What its servers are told beside.
    kept: &'static [&'static str],
    ending: Vec<Ending>,
}

/// A client's process, and what it was told.
#[derive(Debug)]
pub struct Client {
    pub process: Guarded,
    pub orders: Orders,
}

/// A client that was told to end, and whether it did.
#[derive(Debug)]
struct Ending {
    process: u32,
    ended: JoinHandle<Result<bool>>,
}

impl Ending {
    fn of(client: Client) -> Self {
        let ended = tokio::spawn(client.process.ends_within(CLIENTS_END));
        Self { process: client.orders.process, ended }
    }
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
    pub async fn start(
        program: &Program,
        set: Set,
        nodes: usize,
        dir: PathBuf,
        log: Arc<Log>,
    ) -> Result<Self> {
        // What is kept over a kill is what was on the disk before the answer.
        let kept: &[_] = match set {
            Set::Within => &["--appendonly", "yes", "--appendfsync", "always"],
            Set::Memory | Set::Clock | Set::Beyond => &[],
        };
        let mut stage = Self {
            program: program.clone(),
            kept,
            servers: Vec::new(),
            spare: None,
            proxies: Vec::new(),
            clients: Vec::new(),
            log,
            dir,
            ahead: Duration::ZERO,
            next_process: 0,
            ending: Vec::new(),
        };
        for _ in 0..nodes {
            stage.add_node().await?;
        }
        if set == Set::Memory {
            stage.spare = Some(Server::start(program, stage.dir.join("spare"), &[]).await?);
        }
        Ok(stage)
    }

    /// Starts one more, and the networks before it. Returns its place.
    pub async fn add_node(&mut self) -> Result<usize> {
        let node = self.servers.len();
        let dir = self.dir.join(format!("node-{node}"));
        let server = Server::start(&self.program, dir, self.kept).await?;
        let mut of_node = Vec::new();
        for _ in 0..GROUPS {
            of_node.push(Proxy::before(server.address()).await?);
        }
        self.servers.push(server);
        self.proxies.push(of_node);
        Ok(node)
    }

    /// Where the clients of that group find the nodes.
    pub fn urls(&self, group: usize) -> Vec<String> {
        let url = |proxy: &Proxy| format!("redis://{USER}:{PASSWORD}@{}", proxy.address);
        self.proxies.iter().map(|of_node| url(&of_node[group])).collect()
    }

    /// The same of each group, by turns.
    pub fn start_clients(&mut self, crowd: &Crowd) -> Result<()> {
        for process in 0..crowd.processes {
            let belief = Belief::of(self.urls(process as usize % GROUPS));
            self.start_group(&Crowd { processes: 1, ..crowd.clone() }, &belief)?;
        }
        Ok(())
    }

    /// Those that believe this.
    pub fn start_group(&mut self, crowd: &Crowd, belief: &Belief) -> Result<()> {
        for _ in 0..crowd.processes {
            for mode in &crowd.modes {
                let orders = Orders {
                    process: 0,
                    mode: *mode,
                    seed: crowd.seed,
                    belief: belief.clone(),
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

    /// Tells the client at that place to end, and starts one that believes this in its stead.
    pub fn exchange(&mut self, place: usize, belief: Belief) -> Result<()> {
        let orders = Orders { belief, ..self.clients[place].orders.clone() };
        let new = self.start_client(orders)?;
        let old = std::mem::replace(&mut self.clients[place], new);
        self.ending.push(Ending::of(old));
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
        let mut ending = std::mem::take(&mut self.ending);
        ending.extend(self.clients.drain(..).map(Ending::of));
        for Ending { process, ended } in ending {
            let error = |error| format!("{error}: see {}", self.errors().display());
            if !ended.await?.map_err(error)? {
                self.log.say(&Note::Stuck { process });
            }
        }
        Ok(())
    }

    /// Notes the keys that are there: those of locks, not what is to stay for longer.
    pub async fn look_for_keys(&self) -> Result<()> {
        let servers = self.servers.iter().enumerate();
        for (node, server) in servers.filter(|(_, server)| server.is_there()) {
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
