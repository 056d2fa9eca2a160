//! Stands in for `tls` where the feature is off: it refuses nodes that want TLS.

use std::io;

use crate::{
    error::{Error, ErrorKind},
    node::Endpoint,
    node_error::{NodeError, NodeErrorKind},
    world::Stream,
};

/// The settings of TLS, of which there are none.
#[derive(Debug)]
pub(crate) enum Tls {}

/// Refuses if any node wants TLS.
pub(crate) fn secure(_tls: Option<Tls>, endpoints: &mut [Endpoint]) -> Result<(), Error> {
    match endpoints.iter().position(Endpoint::wants_tls) {
        None => Ok(()),
        Some(place) => {
            let message = format!(
                "node {}: TLS is not compiled in: switch on the feature `tls` of redlock-quorum",
                place.saturating_add(1)
            );
            Err(Error::new(ErrorKind::InvalidConfig, message))
        }
    }
}

/// A session of TLS, of which there are none.
#[derive(Debug)]
pub(crate) enum Session {}

impl Session {
    pub(crate) async fn secure(&self, _stream: Stream) -> Result<Stream, NodeError> {
        match *self {}
    }
}

pub(crate) fn explain(kind: NodeErrorKind, error: io::Error) -> NodeError {
    NodeError::io(kind, error)
}
