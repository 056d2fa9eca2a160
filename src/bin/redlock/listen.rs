//! The socket: where it listens, how it is secured, and how long it waits for a client
//! that says nothing. It never waits for one without a limit.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use axum::Router;
use axum_server::{
    Handle, Server,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{exit::Exit, files};

/// 5625 is LOCK on a telephone's keys, and IANA has given it to nobody. The obvious
/// 7379 is the port of Webdis, which runs beside many a Redis.
const DEFAULT_ADDRESS: &str = "127.0.0.1:5625";

/// How long a new connection may take until its first request, without the handshake:
/// no working network takes that long.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a connection may be idle between requests, and how long the head of a later
/// request may take: hyper has one limit for both. It is longer than the 60 s for which
/// load balancers keep idle connections: else they send requests into one that ends.
const IDLE: Duration = Duration::from_secs(75);

/// After this much silence the kernel asks whether the client's host is still there,
/// and without an answer it asks again, [`ASK_TIMES`] times in all, [`ASK_EVERY`] apart:
/// a waiter that is cut off gives up its place within half a minute.
const ASK_AFTER: Duration = Duration::from_secs(15);
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_TIMES: u32 = 3;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct ListenOptions {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long, value_name = "ADDRESS:PORT", env = "REDLOCK_LISTEN", hide_env_values = true,
        default_value = DEFAULT_ADDRESS, value_parser = address
    )]
    listen: String,

    /// PEM file of the certificate to show, and its chain: serves HTTPS
    #[arg(
        long,
        value_name = "FILE",
        env = "REDLOCK_TLS_CERT",
        hide_env_values = true,
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,

    /// PEM file of the certificate's key
    #[arg(
        long,
        value_name = "FILE",
        env = "REDLOCK_TLS_KEY",
        hide_env_values = true,
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

/// Refuses a text that can't be an address. Names are looked up only when the program
/// begins to listen.
fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("write ADDRESS:PORT, such as 127.0.0.1:5625 or [::1]:5625".to_owned()),
    }
}

/// A socket that listens, and how it will serve.
pub(crate) struct Listening {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    tls: Option<RustlsConfig>,
}

impl ListenOptions {
    pub(crate) async fn bind(&self) -> Result<Listening, Exit> {
        let tls = self.tls().await?;
        let at = &self.listen;
        let failed = |error| Exit::unavailable(format!("can't listen on {at}: {error}"));
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        // Accepted connections inherit this from the listener.
        let keepalive = TcpKeepalive::new().with_time(ASK_AFTER);
        let keepalive = keepalive.with_interval(ASK_EVERY).with_retries(ASK_TIMES);
        let socket = SockRef::from(&listener);
        socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
        // The same limit for a client that does not acknowledge what was sent to it.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(ASK_AFTER.saturating_mul(2))).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listening { listener, address, tls })
    }

    async fn tls(&self) -> Result<Option<RustlsConfig>, Exit> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let pem = (files::read("--tls-cert", certificate)?, files::read("--tls-key", key)?);
        let (certificate, key) = (certificate.display(), key.display());
        let failed =
            |error| Exit::config(format!("--tls-cert {certificate} and --tls-key {key}: {error}"));
        RustlsConfig::from_pem(pem.0, pem.1).await.map(Some).map_err(failed)
    }
}

impl Listening {
    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Prints the address on standard output, in one line, for scripts that wait for
    /// it.
    pub(crate) fn announce(&self) {
        let scheme = if self.has_tls() { "https" } else { "http" };
        let address = self.address;
        tracing::info!(%address, tls = self.has_tls(), "listening");
        let mut out = io::stdout();
        let said = writeln!(out, "listening on {scheme}://{address}").and_then(|()| out.flush());
        if let Err(error) = said {
            tracing::debug!(%error, "nobody reads the standard output");
        }
    }

    /// Serves `router` until `handle` says otherwise.
    pub(crate) fn serve(
        self,
        router: Router,
        handle: Handle<SocketAddr>,
    ) -> JoinHandle<io::Result<()>> {
        let service = router.into_make_service();
        let server = Server::<SocketAddr>::from_listener(self.listener).handle(handle);
        let server = with_limits(server).acceptor(NoDelayAcceptor::new());
        match self.tls {
            None => tokio::spawn(server.serve(service)),
            Some(tls) => {
                let tls = RustlsAcceptor::new(tls).handshake_timeout(FIRST_REQUEST);
                tokio::spawn(server.map(|plain| tls.acceptor(plain)).serve(service))
            }
        }
    }
}

/// Sets how long a connection may be silent.
fn with_limits(mut server: Server<SocketAddr>) -> Server<SocketAddr> {
    server.http_builder().http1().header_read_timeout(IDLE);
    // Like the keepalive of `bind`, but it also finds a client gone whose proxy lives on.
    server.http_builder().http2().keep_alive_interval(IDLE);
    server.first_request_timeout(FIRST_REQUEST).accept_error_handler(|client, error| {
        match client {
            Some(client) => tracing::debug!(%client, %error, "a connection was not made"),
            // There may be no more file descriptors, for example.
            None => tracing::warn!(%error, "no connection can be accepted"),
        }
    })
}
