//! How far the making of a connection came.

use std::fmt;

/// The steps on the way to a connection that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    LookUp,
    Connect,
    Tls,
    /// The login, at the command that was not answered.
    Login(&'static str),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookUp => f.write_str("looking up its name"),
            Self::Connect => f.write_str("connecting"),
            Self::Tls => f.write_str("in the TLS handshake"),
            Self::Login(command) => write!(f, "logging in, at {command}"),
        }
    }
}
