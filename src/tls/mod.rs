//! TLS to the nodes: which authorities to trust, which certificate to show, and what
//! its failures mean.
//!
//! The handshake is rustls's; nothing of rustls is in the public API. The check
//! of the server's certificate is never turned off.

mod errors;
mod session;

use std::{fmt, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

pub(crate) use self::{
    errors::explain,
    session::{Session, secure},
};
use crate::error::{Error, ErrorKind};

/// How to speak TLS with the nodes whose URLs begin with `rediss://`: which
/// certificates to trust, and which one to show.
///
/// Without it, the client trusts the servers whose certificates are signed by an
/// authority that this system trusts. It is needed for an authority of your own, and
/// for servers that want to see a client's certificate (`tls-auth-clients yes`, the
/// default of Redis and Valkey).
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use redlock_quorum::{Redlock, Tls};
/// use std::fs;
///
/// let tls = Tls::new()
///     .root_pem(fs::read("ca.crt")?)?
///     .client_pem(fs::read("client.crt")?, fs::read("client.key")?)?;
/// let redlock = Redlock::builder()
///     .nodes(["rediss://a:6379", "rediss://b:6379", "rediss://c:6379"])
///     .tls(tls)
///     .build()?;
/// # Ok(()) }
/// ```
///
/// A server's certificate must bear the host name, or the IP address, that is in its
/// URL. Certificates and keys are read once, when they are given: for new ones, build
/// a new client. `Debug` shows no key.
#[derive(Clone)]
#[must_use = "these settings do nothing until they are given to `Builder::tls`"]
pub struct Tls {
    roots: RootCertStore,
    identity: Option<Arc<CertifiedKey>>,
}

impl Tls {
    /// Returns settings that trust what the system trusts, and show no certificate.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, Tls};
    /// let nodes = ["rediss://a:6379", "rediss://b:6379", "rediss://c:6379"];
    /// let builder = Redlock::builder().nodes(nodes).tls(Tls::new()); // as without `tls`
    /// ```
    pub fn new() -> Self {
        Self { roots: RootCertStore::empty(), identity: None }
    }

    /// Trusts the authorities whose certificates are in the PEM text `pem`, one or
    /// more, and no longer those of the system. Further calls add further authorities.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if `pem` has no certificate, or one that can't be
    /// read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Tls};
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new()
    ///     .root_pem(std::fs::read("old-ca.crt")?)?
    ///     .root_pem(std::fs::read("new-ca.crt")?)?;
    /// # Ok(()) }
    ///
    /// let refused = Tls::new().root_pem("not a certificate").unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    /// ```
    pub fn root_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        for root in certificates("the root", pem.as_ref())? {
            let refused = |_| invalid("the root: it can't be read as a certificate");
            self.roots.add(root).map_err(refused)?;
        }
        Ok(self)
    }

    /// Shows the servers a certificate: the first one in the PEM text
    /// `certificates_pem`, which may be followed by those that lead to the authority
    /// that signed it. `key` is its private key, as PEM text (PKCS#8, PKCS#1 or SEC1,
    /// not encrypted).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if there is no certificate or no key, or if they
    /// do not belong together.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::Tls;
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let certificate = std::fs::read("client.crt")?;
    /// let tls = Tls::new().client_pem(certificate, std::fs::read("client.key")?)?;
    /// # Ok(()) }
    /// ```
    pub fn client_pem(
        mut self,
        certificates_pem: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        let chain = certificates("the client's certificate", certificates_pem.as_ref())?;
        // The parser's own words could repeat the key.
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|_| {
            invalid("the client's key: there is none in the PEM text, or it is encrypted")
        })?;
        let identity = CertifiedKey::from_der(chain, key, &session::provider()).map_err(|_| {
            invalid(
                "the client's key: it does not belong to the certificate, or is of no known kind",
            )
        })?;
        self.identity = Some(Arc::new(identity));
        Ok(self)
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.len())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(invalid(&format!("{what}: there is no certificate in the PEM text"))),
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("TLS: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_and_no_key_is_refused_and_not_repeated() {
        let bad = ["", "s3cret", "-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----"];
        for pem in bad {
            for error in [
                Tls::new().root_pem(pem).unwrap_err(),
                Tls::new().client_pem(pem, pem).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                let text = format!("{error} {error:?}");
                assert!(text.contains("TLS") && !text.contains("s3cret"), "{text}");
            }
        }
        assert_eq!(format!("{:?}", Tls::new()), "Tls { roots: 0, has_identity: false }");
    }
}
