//! The key in a path: any bytes, percent-encoded in one segment.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{encoding::decode, refusal::Refusal};

/// The last segment of the path as it was sent: axum's own extractor wants
/// text.
pub(super) struct PathKey(pub(super) Vec<u8>);

impl<S: Send + Sync> FromRequestParts<S> for PathKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let path = parts.uri.path();
        let segment = path.rsplit_once('/').map_or(path, |(_, segment)| segment);
        decode(segment.as_bytes()).map(Self)
    }
}
