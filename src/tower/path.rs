//! A request's path as the name of a lock.

use ::http::Request;
use percent_encoding::percent_decode_str;

/// The path of a request as a key, percent-decoded, without the query: however it
/// is percent-encoded, one path is one lock. A router decodes what it gives to a
/// handler, so that of a path as it was sent, two spellings of one order would be
/// inside together.
///
/// It undoes that alone. To a handler that parses what it gets, `01` and `1` may be
/// one order still: then make the key of the parsed id.
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
