//! Where a node is and how to log in: parsed once, never printed whole.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU8},
    time::Duration,
};

use redis::{ConnectionAddr, ConnectionInfo};

use super::{
    dial::Names,
    login::Purpose,
    peers::Peers,
    probe,
    url::{self, INSECURE},
};
use crate::{
    error::{Error, ErrorKind},
    protocol::Ttl,
    tls::Session,
    world::Address,
};

/// How many attempts in a row were hung up on when the server was greeted. A restart may cut an
/// attempt of either kind: that is no habit.
#[derive(Default)]
pub(super) struct HangUps {
    commands: AtomicU8,
    listening: AtomicU8,
}

impl HangUps {
    pub(super) fn of(&self, purpose: Purpose) -> &AtomicU8 {
        match purpose {
            Purpose::Commands => &self.commands,
            Purpose::Listening => &self.listening,
        }
    }
}

/// One node's address and credentials.
pub(crate) struct Endpoint {
    pub(super) address: Address,
    label: Arc<str>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
    /// The key at which it is tried whether a lock would work.
    pub(crate) probe: Box<[u8]>,
    pub(super) names: Names,
    pub(super) hang_ups: HangUps,
    /// What its epoch is besides its process, where it is strict.
    pub(crate) strict: Option<Box<str>>,
    /// How long a lock lives there at most.
    pub(crate) longest_ttl: Duration,
    /// Whether it has no vote for a while after it was started anew.
    pub(crate) delays_restarts: bool,
    /// All nodes of the client.
    pub(crate) peers: Arc<Peers>,
    wants_tls: bool,
    /// What secures the connections, once it is known.
    pub(crate) session: Option<Session>,
}

impl Endpoint {
    /// Reads a URL. The error names the node by `place`, counted from 1, and
    /// never repeats the URL: it may hold a password.
    pub(crate) fn from_url(url: &str, place: usize) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let message = format!("node {place}: {why}");
            Err(Error::new(ErrorKind::InvalidConfig, message))
        };
        let (info, wants_tls) = match url::read(url) {
            Ok(read) => read,
            Err(why) => return refuse(&why),
        };
        let mut endpoint = Self::from_info(&info, place)?;
        endpoint.wants_tls |= wants_tls;
        Ok(endpoint)
    }

    pub(crate) fn from_info(info: &ConnectionInfo, place: usize) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let message = format!("node {place}: {why}");
            Err(Error::new(ErrorKind::InvalidConfig, message))
        };
        let (address, label) = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => return refuse(INSECURE),
            ConnectionAddr::TcpTls { tls_params: Some(_), .. } => return refuse(HAS_CERTIFICATES),
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                // One server must not pass as two by the case of its name.
                let host = host.to_ascii_lowercase();
                let label = if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                };
                (Address::Tcp { host, port: *port }, label)
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => (Address::Unix(path.clone()), path.display().to_string()),
            _ => return refuse("redis-rs knows of a transport that is not supported here"),
        };
        let settings = info.redis_settings();
        Ok(Self {
            address,
            label: label.into(),
            user: settings.username().map(Into::into),
            password: settings.password().map(Into::into),
            db: settings.db(),
            probe: probe::key(b""),
            names: Names::default(),
            hang_ups: HangUps::default(),
            strict: None,
            longest_ttl: Duration::MAX,
            delays_restarts: true,
            peers: Arc::default(),
            wants_tls: matches!(info.addr(), ConnectionAddr::TcpTls { .. }),
            session: None,
        })
    }

    /// Makes it strict, for locks of `max_ttl` at most, where a lock needs `votes` of `nodes`.
    pub(crate) fn be_strict(&mut self, max_ttl: Ttl, votes: usize, nodes: usize) {
        let epoch = format!(":{}:{}:{votes}/{nodes}", max_ttl.as_millis(), self.db);
        self.strict = Some(epoch.into());
    }

    /// `host:port`, or the path of the socket.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(crate) fn wants_tls(&self) -> bool {
        self.wants_tls
    }

    /// The host in the URL, which the server's certificate must be for.
    #[cfg(feature = "tls")]
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp { host, .. } => Some(host),
            Address::Unix(_) => None,
        }
    }
}

const HAS_CERTIFICATES: &str = "the certificates that are in this `redis::Client` can't be taken out \
     of it: give them to `Builder::tls`";

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.label).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_named_without_their_secrets() {
        let node = Endpoint::from_url("redis://bob:s3cret@Example.COM:7000/3", 1).unwrap();
        assert_eq!(&**node.label(), "example.com:7000");
        assert_eq!((node.user.as_deref(), node.password.as_deref()), (Some("bob"), Some("s3cret")));
        assert_eq!(node.db, 3);
        assert_eq!(format!("{node:?}"), r#"Endpoint("example.com:7000")"#);
        assert_eq!(&**Endpoint::from_url("redis://[::1]:7", 1).unwrap().label(), "[::1]:7");
        assert_eq!(&**Endpoint::from_url("valkey://h", 1).unwrap().label(), "h:6379");
        assert_eq!(&**Endpoint::from_url("unix:///tmp/r.sock", 1).unwrap().label(), "/tmp/r.sock");
    }

    #[test]
    fn a_bad_url_is_named_by_its_place_and_not_repeated() {
        for url in ["", "s3cret", "http://s3cret", "redis://:s3cret@h:99999", "redis://s3cret:x"] {
            let error = Endpoint::from_url(url, 2).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("node 2") && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn tls_is_wanted_by_the_url_and_never_without_a_check() {
        let node = Endpoint::from_url("RedisS://bob:s3%23cret@Example.COM:7000/3", 1).unwrap();
        assert_eq!((&**node.label(), node.db, node.wants_tls()), ("example.com:7000", 3, true));
        assert_eq!(node.password.as_deref(), Some("s3#cret"));
        assert_eq!(&**Endpoint::from_url("valkeys://h", 1).unwrap().label(), "h:6379");
        assert!(!Endpoint::from_url("redis://h", 1).unwrap().wants_tls());
        for url in ["rediss://:s3cret@h/#insecure", "valkeys://:s3#cret@h"] {
            let error = Endpoint::from_url(url, 1).unwrap_err().to_string();
            assert!(error.contains("#insecure") && !error.contains("s3cret"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_sockets_url_has_its_login_behind_the_path() {
        let url = "unix:///tmp/r.sock?db=1&user=bob&pass=s3cret";
        let node = Endpoint::from_url(url, 1).unwrap();
        assert_eq!((&**node.label(), node.db), ("/tmp/r.sock", 1));
        assert_eq!((node.user.as_deref(), node.password.as_deref()), (Some("bob"), Some("s3cret")));
        let error = Endpoint::from_url("unix:///tmp/r.sock?db=x&pass=s3cret", 1).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
