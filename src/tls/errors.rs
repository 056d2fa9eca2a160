//! From a failure of TLS to the kind that says what to change at the node.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use crate::node_error::{NodeError, NodeErrorKind};

/// Makes a connection's error a node's: of `kind`, unless TLS says more.
pub(crate) fn explain(kind: NodeErrorKind, error: io::Error) -> NodeError {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    NodeError::io(cause.and_then(kind_of).unwrap_or(kind), error)
}

/// What someone has to change, if it is that: a handshake that was merely cut is a broken
/// connection, which is made anew soon.
fn kind_of(error: &Error) -> Option<NodeErrorKind> {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            Some(NodeErrorKind::WrongHost)
        }
        Error::InvalidCertificate(_) => Some(NodeErrorKind::Untrusted),
        // The answer was not TLS.
        Error::InvalidMessage(_) => Some(NodeErrorKind::NoTls),
        Error::PeerIncompatible(_) => Some(NodeErrorKind::TlsRefused),
        Error::AlertReceived(alert) if is_about_settings(*alert) => Some(NodeErrorKind::TlsRefused),
        _ => None,
    }
}

/// Whether an alert is about certificates, names, versions or ciphers, by RFC 8446, section 6.2.
fn is_about_settings(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::HandshakeFailure
            | A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError
            | A::ProtocolVersion
            | A::InsufficientSecurity
            | A::UnrecognisedName
            | A::NoApplicationProtocol
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: Error) -> NodeErrorKind {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        explain(NodeErrorKind::Unreachable, error).kind()
    }

    #[test]
    fn a_handshake_that_is_cut_is_no_matter_of_settings() {
        for alert in [AlertDescription::CertificateRequired, AlertDescription::ProtocolVersion] {
            assert_eq!(kind(Error::AlertReceived(alert)), NodeErrorKind::TlsRefused, "{alert:?}");
        }
        for alert in [AlertDescription::CloseNotify, AlertDescription::InternalError] {
            assert_eq!(kind(Error::AlertReceived(alert)), NodeErrorKind::Unreachable, "{alert:?}");
        }
        assert_eq!(kind(Error::General("cut".into())), NodeErrorKind::Unreachable);
    }
}
