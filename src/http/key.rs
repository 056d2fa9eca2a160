//! The key in a path: any bytes, percent-encoded in one segment. Its length is not
//! checked here.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{encoding::decode, refusal::Refusal};

/// The last segment of the path, from the bytes that were sent: axum's own extractor
/// takes nothing but text.
pub(super) struct PathKey(pub(super) Vec<u8>);

impl<S: Send + Sync> FromRequestParts<S> for PathKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path();
        let segment = path.rsplit_once('/').map_or(path, |(_, segment)| segment);
        decode(segment.as_bytes()).map(Self)
    }
}
