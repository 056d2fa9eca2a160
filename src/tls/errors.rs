//! From a failure of TLS to the kind that says what to change at the node.

use std::io;

use tokio_rustls::rustls::{CertificateError, Error};

use crate::node_error::{NodeError, NodeErrorKind};

/// Makes a connection's error a node's: of `kind`, unless TLS says more.
pub(crate) fn explain(kind: NodeErrorKind, error: io::Error) -> NodeError {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    NodeError::io(cause.map_or(kind, kind_of), error)
}

fn kind_of(error: &Error) -> NodeErrorKind {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            NodeErrorKind::WrongHost
        }
        Error::InvalidCertificate(_) => NodeErrorKind::Untrusted,
        // The answer was not TLS.
        Error::InvalidMessage(_) => NodeErrorKind::NoTls,
        _ => NodeErrorKind::TlsRefused,
    }
}
