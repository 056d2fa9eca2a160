//! A request's path as the name of a lock. The query is never part of it.

use ::http::Request;
use percent_encoding::percent_decode_str;

/// The path of a request as a key, percent-decoded and without the query: however it
/// is percent-encoded, one path is one lock. A router decodes what it gives to a
/// handler. So if the key were the path as it was sent, one order could be handled
/// twice at once under two spellings.
///
/// Nothing but the percent-encoding is undone. If a handler parses its id, `01` and
/// `1` may still be one order: then make the key of the parsed id.
///
/// ```
/// use redlock_quorum::tower::path_key;
///
/// let spelt = |path: &str| path_key(&http::Request::post(path).body(()).unwrap());
/// assert_eq!(spelt("/orders/%31/pay?x"), spelt("/orders/1/pay"));
/// ```
pub fn path_key<B>(request: &Request<B>) -> Vec<u8> {
    percent_decode_str(request.uri().path()).collect()
}
