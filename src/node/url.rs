//! Reads a node's URL, and refuses what it does not understand: nothing that was asked for is
//! left out in silence. No text here repeats what may be a secret.

use redis::{ConnectionInfo, IntoConnectionInfo as _};

/// How a URL is written, and what a password must not have as it is.
const FORM: &str = "write redis://[user:password@]host[:port][/db], or rediss:// for TLS, or \
     unix:///path/to/socket[?db=1&user=name&pass=password]; in a user or a password write % as %25, \
     / as %2F, # as %23, ? as %3F, @ as %40, : as %3A";

pub(super) const INSECURE: &str = "`#insecure` turns off the check of the certificate, so anyone \
     could answer: remove it, and trust the server's authority by `Builder::tls`; in a password, \
     # is %23";

/// Parameters that other clients know, so that their names are no secrets.
const KNOWN: [&str; 20] = [
    "client_name",
    "connect_timeout",
    "connection_timeout",
    "database",
    "db",
    "pass",
    "passwd",
    "password",
    "pool_size",
    "protocol",
    "read_timeout",
    "retry",
    "socket_timeout",
    "ssl",
    "ssl_cert_reqs",
    "timeout",
    "tls",
    "ttl",
    "user",
    "username",
];

/// What a URL may begin with.
const SCHEMES: [&str; 7] =
    ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];

/// What the URL says, and whether it wants TLS.
pub(super) fn read(url: &str) -> Result<(ConnectionInfo, bool), String> {
    if url.starts_with(['"', '\'']) || url.ends_with(['"', '\'']) {
        return Err("there are quotes around the URL, which some readers of env files leave \
             there: remove them"
            .into());
    }
    // redis-rs reads a URL with TLS only if it has TLS of its own.
    let plain = in_the_clear(url);
    if plain.is_some() && url.contains('#') {
        return Err(INSECURE.into());
    }
    let text = plain.as_deref().unwrap_or(url);
    let no_url = || format!("this is no Redis URL, {}: {FORM}", why_not(text));
    let parsed = redis::parse_redis_url(text).ok_or_else(no_url)?;
    if parsed.fragment().is_some() {
        return Err(format!("what follows a # in the URL is not understood: {FORM}"));
    }
    let is_socket = parsed.scheme().contains("unix");
    if is_socket && parsed.has_authority() && !parsed.authority().is_empty() {
        return Err(format!("a socket's URL has no user and no host before its path: {FORM}"));
    }
    let mut before = Vec::new();
    for (name, value) in parsed.query_pairs() {
        check_parameter(&name, &value, is_socket)?;
        if before.contains(&name) {
            return Err(format!("the URL's parameter `{name}` is there twice: leave one"));
        }
        before.push(name);
    }
    let info = parsed.into_connection_info().map_err(|_| no_url())?;
    if info.redis_settings().db() < 0 {
        return Err("the number of the database is below 0".into());
    }
    Ok((info, plain.is_some()))
}

/// What keeps `text` from being a URL, without a word of it.
fn why_not(text: &str) -> &'static str {
    let Some((scheme, rest)) = text.split_once("://") else {
        return "it has no `redis://` before the host";
    };
    if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return "it begins with none of `redis://`, `rediss://`, `valkey://`, `valkeys://` and \
             `unix://`";
    }
    if scheme.to_ascii_lowercase().contains("unix") {
        return "its path or its `db` is none";
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    // The colons of an address in brackets are before those.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    let db = path.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    if host.is_empty() {
        "it names no host"
    } else if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
        "its port is no number up to 65535"
    } else if !db.is_empty() && db.parse::<i64>().is_err() {
        "the database behind the host is no number"
    } else {
        "its host is none"
    }
}

fn check_parameter(name: &str, value: &str, is_socket: bool) -> Result<(), String> {
    match name {
        "db" | "user" | "pass" if is_socket => Ok(()),
        "protocol" if matches!(value, "2" | "resp2") => Ok(()),
        "protocol" => {
            Err("the URL asks for another protocol than RESP2, which locks need no more \
             than: remove `protocol`"
                .into())
        }
        name if KNOWN.contains(&name) => {
            Err(format!("the URL's parameter `{name}` is not understood: {FORM}"))
        }
        // It may be the rest of a password.
        _ => Err(format!("what follows the ? in the URL is not understood: {FORM}")),
    }
}

/// The same URL without TLS, if it is one with TLS.
fn in_the_clear(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    (is("rediss") || is("valkeys")).then(|| format!("redis:{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused_by_its_name() {
        for (url, said) in [
            ("redis://h?db=3", "`db`"),
            ("redis://h/?password=s3cret", "`password`"),
            ("rediss://h?timeout=5", "`timeout`"),
            ("valkey://h?protocol=resp3", "RESP2"),
            ("unix:///tmp/s.sock?password=s3cret", "`password`"),
            ("unix:///tmp/s.sock?db=1&db=2", "`db` is there twice"),
            ("unix://user:s3cret@localhost/s.sock", "no user and no host"),
            ("redis://h#s3cret", "#"),
            ("redis://user:12#s3cret@h", "%23"),
            ("redis://user:12?s3cret@h", "%3F"),
            ("redis://user:s3/cret@h", "%2F"),
            ("redis://user:12/s3cret@h", "%2F"),
            ("redis://h/-1", "below 0"),
            ("redis://h/one", "no Redis URL, the database behind the host is no number"),
            ("redis://h:s3cret", "its port is no number"),
            ("rediss://u:p@[::1]:66666/1", "its port is no number"),
            ("redis://:6379", "no host"),
            ("redis://u:s3cret@", "no host"),
            ("redis://u:s3cret@h h", "its host is none"),
            ("h:6379", "no `redis://`"),
            ("u:s3cret@h", "no `redis://`"),
            ("http://h", "begins with none of"),
            ("unix:///tmp/s.sock?db=one", "its path or its `db` is none"),
            ("\"redis://:s3cret@h\"", "quotes"),
            ("'redis://:s3cret@h", "quotes"),
            ("redis://:s3cret@h'", "quotes"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.contains(said) && !error.contains("s3"), "{url}: {error}");
        }
    }

    #[test]
    fn what_is_understood_is_read() {
        let login = |url| {
            let (info, tls) = read(url).unwrap();
            let settings = info.redis_settings();
            let word = |word: Option<&str>| word.unwrap_or("-").to_owned();
            (word(settings.username()), word(settings.password()), settings.db(), tls)
        };
        let of = |user: &str, pass: &str, db, tls| (user.to_owned(), pass.to_owned(), db, tls);
        assert_eq!(login("redis://locks@h/2"), of("locks", "-", 2, false));
        assert_eq!(login("redis://u:%25%2F%23%3F%40%3A@h"), of("u", "%/#?@:", 0, false));
        assert_eq!(login("valkeys://:p@h?protocol=resp2"), of("-", "p", 0, true));
        assert_eq!(login("unix:///s.sock?db=1&user=u&pass=p"), of("u", "p", 1, false));
    }
}
