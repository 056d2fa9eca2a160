//! Makes the settings into sessions: each secures the connections to one node. It
//! opens no connection itself.

use std::{fmt, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::ServerName,
        sign::SingleCertAndKey,
    },
};

use super::{Tls, errors::explain, invalid};
use crate::{
    error::Error,
    node::Endpoint,
    node_error::{NodeError, NodeErrorKind},
    world::Stream,
};

/// The provider is named here, since the process may have no default, or two.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Gives each node that wants TLS its session.
pub(crate) fn secure(tls: Option<Tls>, endpoints: &mut [Endpoint]) -> Result<(), Error> {
    let wanted = endpoints.iter().any(Endpoint::wants_tls);
    if !wanted && tls.is_some() {
        return Err(invalid(
            "it is set, and no node's URL begins with rediss://, so all would go in the clear",
        ));
    }
    if wanted {
        let connector = TlsConnector::from(Arc::new(tls.unwrap_or_default().config()?));
        for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.wants_tls()) {
            endpoint.session = Some(Session::new(&connector, endpoint)?);
        }
    }
    Ok(())
}

impl Tls {
    fn config(self) -> Result<ClientConfig, Error> {
        let roots = if self.roots.is_empty() { the_systems_roots()? } else { self.roots };
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&error.to_string()))?
            .with_root_certificates(roots);
        Ok(match self.identity {
            Some(identity) => {
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            None => config.with_no_client_auth(),
        })
    }
}

fn the_systems_roots() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // A certificate that can't be read is not trusted, and is no reason to stop.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(invalid(
            "this system trusts nobody: install ca-certificates, or name an authority by \
             `Tls::root_pem`",
        ));
    }
    Ok(roots)
}

/// Secures each connection to one node.
pub(crate) struct Session {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Session {
    fn new(connector: &TlsConnector, endpoint: &Endpoint) -> Result<Self, Error> {
        let host = endpoint.host().unwrap_or_default();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| invalid(&format!("no certificate can be for {}", endpoint.label())))?;
        Ok(Self { connector: connector.clone(), name })
    }

    /// Shakes hands with the server. This takes as long as the server lets it.
    pub(crate) async fn secure(&self, stream: Stream) -> Result<Stream, NodeError> {
        let shaking = self.connector.connect(self.name.clone(), stream);
        let secured = shaking.await.map_err(|error| explain(NodeErrorKind::Unreachable, error))?;
        Ok(Box::new(secured))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}
