//! `redlock serve`: the lock service over HTTP, from its start to its end.
//!
//! Locks that it has handed out belong to their callers: it never releases them when it
//! ends, and any other instance can.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum_server::Handle;
use redlock_quorum::{
    Builder, Redlock,
    http::{Service, Settings},
    testing::Cluster,
};
use tokio::task::JoinHandle;

use crate::{
    access::AccessOptions,
    dev,
    exit::Exit,
    health,
    listen::{ListenOptions, Listening},
    logs::{self, LogOptions},
    nodes::NodeOptions,
    signals::{Asked, Signals},
};

pub(crate) const ABOUT: &str = "\
Serve locks over HTTP, for programs in any language.

The service keeps nothing that matters: any number of instances may stand side by side, and a lock \
can be released through any of them. The nodes need not be up when it starts. Every option can be \
given by an environment variable instead; an option on the command line counts more. Durations \
are written as 500ms, 1.5s or 2m.";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    nodes: NodeOptions,
    #[command(flatten)]
    locks: LockOptions,
    #[command(flatten)]
    listen: ListenOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    operation: OperationOptions,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Locks")]
struct LockOptions {
    /// How long a lock is held where the caller does not say
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_TTL", hide_env_values = true,
        default_value = "30s", value_parser = humantime::parse_duration
    )]
    ttl: Duration,

    /// The longest ttl that a caller may ask for
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_MAX_TTL", hide_env_values = true,
        default_value = "1h", value_parser = humantime::parse_duration
    )]
    max_ttl: Duration,

    /// For how much longer the nodes keep a lock whose holder is gone
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_GRACE", hide_env_values = true,
        default_value = "0s", value_parser = humantime::parse_duration
    )]
    grace: Duration,

    /// Let nodes that have forgotten what they granted grant nothing until that has ended
    ///
    /// All clients of the nodes must be strict, with the same longest ttl: --max-ttl and --grace
    /// together. New nodes grant nothing for as long, unless `Redlock::bootstrap` of the library
    /// has said that they are new.
    #[arg(
        long, env = "REDLOCK_STRICT", hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    strict: bool,

    /// Ask a node that was started anew for locks at once: its restart loses nothing
    #[arg(
        long, env = "REDLOCK_NO_DELAYED_RESTARTS", hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    no_delayed_restarts: bool,

    /// The longest time that a caller may ask to wait for a lock
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_MAX_WAIT", hide_env_values = true,
        default_value = "1m", value_parser = humantime::parse_duration
    )]
    max_wait: Duration,

    /// How many requests may wait for a lock at once
    #[arg(
        long,
        value_name = "COUNT",
        env = "REDLOCK_MAX_WAITERS",
        hide_env_values = true,
        default_value_t = 512
    )]
    max_waiters: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Operation")]
struct OperationOptions {
    /// Start three nodes on this host, for trying out: they end with the program
    #[arg(
        long, env = "REDLOCK_DEV", hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    dev: bool,

    /// How long requests may take to end after SIGTERM or SIGINT
    ///
    /// Then they are broken off. What nodes still have to be told is waited for
    /// as long once more; what is left then ends with its ttl.
    #[arg(
        long, value_name = "DURATION", env = "REDLOCK_SHUTDOWN_TIMEOUT",
        hide_env_values = true, default_value = "10s", value_parser = humantime::parse_duration
    )]
    shutdown_timeout: Duration,

    #[command(flatten)]
    logs: LogOptions,
}

/// Serves until it is asked to end.
pub(crate) fn serve(options: Options) -> Result<(), Exit> {
    logs::start(&options.operation.logs);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::unavailable(format!("no threads: {error}")))?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> Result<(), Exit> {
    let no_signals = |error| Exit::unavailable(format!("no signals: {error}"));
    let mut signals = Signals::listen().map_err(no_signals)?;
    let started = tokio::select! {
        started = Started::new(&options) => started?,
        asked = signals.next() => {
            tracing::info!(signal = asked.name, "ended before it had started");
            return Ok(());
        }
    };
    started.run(&mut signals, options.operation.shutdown_timeout).await
}

/// The parts that run, in the order in which they end.
struct Started {
    listening: Listening,
    service: Service,
    redlock: Redlock,
    /// The nodes of `--dev`, which end when this is dropped.
    _dev: Option<Cluster>,
}

impl Started {
    async fn new(options: &Options) -> Result<Self, Exit> {
        let Options { nodes, locks, listen, access, operation } = options;
        if operation.dev && nodes.names_any() {
            return Err(Exit::usage(
                "--dev starts nodes of its own: with it, name none by --node, --nodes-file, \
                 REDLOCK_NODES or REDLOCK_NODES_FILE",
            ));
        }
        locks.check()?;
        let token = access.bearer_token()?;
        // Anything that can be wrong is found before nodes are started, unless finding
        // it takes their addresses.
        let listening = listen.bind().await?;
        let dev = if operation.dev { Some(dev::start().await?) } else { None };
        let urls = dev.as_ref().map(Cluster::urls).unwrap_or_default();
        let redlock = nodes.client(&urls, |builder| locks.client(builder))?;
        access.warn(listening.address, token.is_some(), listening.has_tls());
        let settings = locks.settings(token, access.allow_tokenless_unlock);
        let service = Service::new(redlock.clone(), settings).map_err(Exit::config)?;
        Ok(Self { listening, service, redlock, _dev: dev })
    }

    /// Serves until it is asked to end. Asked again, it ends at once.
    async fn run(self, signals: &mut Signals, limit: Duration) -> Result<(), Exit> {
        let Self { listening, service, redlock, _dev } = self;
        let handle = Handle::new();
        listening.announce();
        let mut serving = listening.serve(service.router(), handle.clone());
        let greeted = redlock.clone();
        let greeting = tokio::spawn(async move { health::log(&greeted).await });

        let asked = tokio::select! {
            asked = signals.next() => asked,
            ended = &mut serving => {
                return Err(Exit::unavailable(format!("no longer listening: {ended:?}")));
            }
        };
        tracing::info!(signal = asked.name, "ending: no new connections");
        greeting.abort();
        service.close();
        handle.graceful_shutdown(Some(limit));
        let ending = async {
            end_requests(serving, &handle).await;
            release(&redlock, limit).await;
        };
        unless_asked_again(ending, signals).await;
        tracing::info!("ended");
        Ok(())
    }
}

/// Waits until the last request has its answer, or was broken off.
async fn end_requests(serving: JoinHandle<io::Result<()>>, handle: &Handle<SocketAddr>) {
    let under_way = handle.connection_count();
    match serving.await {
        Ok(Ok(())) => tracing::info!(connections = under_way, "all connections have ended"),
        Ok(Err(error)) => tracing::error!(%error, "serving ended"),
        Err(error) => tracing::error!(%error, "serving ended"),
    }
}

/// Waits until the nodes know what was released. Callers keep what they hold.
async fn release(redlock: &Redlock, limit: Duration) {
    match redlock.shutdown(limit).await {
        Ok(left) => left.iter().for_each(|left| tracing::warn!("{left}")),
        Err(error) => tracing::warn!(%error, "not all nodes know what was given back"),
    }
}

/// Waits for `ending`, but ends the process at once when it is asked to end again.
async fn unless_asked_again(ending: impl Future<Output = ()>, signals: &mut Signals) {
    tokio::select! {
        () = ending => {}
        Asked { name, code } = signals.next() => {
            tracing::warn!(signal = name, "ended at once");
            std::process::exit(code);
        }
    }
}

impl LockOptions {
    /// The library would not know what the limit is called here.
    fn check(&self) -> Result<(), Exit> {
        if self.ttl <= self.max_ttl {
            return Ok(());
        }
        let [ttl, most] = [self.ttl, self.max_ttl].map(humantime::format_duration);
        Err(Exit::usage(format!(
            "--ttl is {ttl}: it must be at most --max-ttl, which is {most}: raise that, too, or \
             take a shorter one"
        )))
    }

    /// The nodes keep a lock for its grace, too.
    fn client(&self, builder: Builder) -> Builder {
        let most = self.max_ttl.saturating_add(self.grace);
        let builder = builder.ttl(self.ttl).grace(self.grace);
        let builder = builder.delayed_restarts(!self.no_delayed_restarts);
        if self.strict { builder.strict(most) } else { builder.max_ttl(most) }
    }

    fn settings(&self, token: Option<String>, tokenless_unlock: bool) -> Settings {
        let mut settings = Settings::new()
            .ttl(self.ttl)
            .max_ttl(self.max_ttl)
            .max_wait(self.max_wait)
            .max_waiters(self.max_waiters);
        if let Some(token) = token {
            settings = settings.bearer_token(token);
        }
        if tokenless_unlock {
            settings = settings.allow_tokenless_unlock();
        }
        settings
    }
}
