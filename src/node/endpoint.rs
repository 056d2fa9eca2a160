//! Where a node is and how to log in: parsed once, never printed whole.

use std::{fmt, sync::Arc};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

use crate::{
    error::{Error, ErrorKind},
    world::Address,
};

/// One node's address and credentials.
pub(crate) struct Endpoint {
    pub(super) address: Address,
    label: Arc<str>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

impl Endpoint {
    /// Reads a URL. The error names the node by `place`, counted from 1, and
    /// never repeats the URL: it may hold a password.
    pub(crate) fn from_url(url: &str, place: usize) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let message = format!("node {place}: {why}");
            Err(Error::new(ErrorKind::InvalidConfig, message))
        };
        let is_tls = ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme));
        if is_tls && url.contains("#insecure") {
            return refuse("`#insecure` turns off the check of the certificate: remove it");
        }
        if is_tls {
            return refuse(TLS_UNSUPPORTED);
        }
        match url.into_connection_info() {
            Ok(info) => Self::from_info(&info, place),
            Err(_) => refuse(
                "this is no Redis URL: write redis://[user:password@]host[:port][/db], or \
                 unix:///path/to/socket",
            ),
        }
    }

    pub(crate) fn from_info(info: &ConnectionInfo, place: usize) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let message = format!("node {place}: {why}");
            Err(Error::new(ErrorKind::InvalidConfig, message))
        };
        let (address, label) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
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
            _ => return refuse(TLS_UNSUPPORTED),
        };
        let settings = info.redis_settings();
        Ok(Self {
            address,
            label: label.into(),
            user: settings.username().map(Into::into),
            password: settings.password().map(Into::into),
            db: settings.db(),
        })
    }

    /// `host:port`, or the path of the socket.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.label
    }
}

const TLS_UNSUPPORTED: &str =
    "TLS is not supported yet: use redis:// on a private network, or a TLS tunnel on this host";

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
        let error = Endpoint::from_url("rediss://h/#insecure", 1).unwrap_err();
        assert!(error.to_string().contains("#insecure"), "{error}");
        assert!(Endpoint::from_url("rediss://h", 1).unwrap_err().to_string().contains("TLS"));
    }
}
