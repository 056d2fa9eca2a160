//! A server's own compare-and-delete command, and which server has one, by what
//! it says of itself when it is greeted.
//!
//! Nothing relies on that: where a server does not know the command after all,
//! or does not let us use it, a script does the same.

use super::resp;

/// A server's own compare-and-delete command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// `DELIFEQ key token`: Valkey, from 9.0.
    DelIfEq,
    /// `DELEX key IFEQ token`: Redis, from 8.4.
    DelEx,
}

impl Native {
    /// What a server of this name and version has. Any other fork has nothing,
    /// whether it goes by a name of its own or by Redis's with an older version.
    fn of(server: &[u8], version: &[u8]) -> Option<Self> {
        let version = str::from_utf8(version).ok()?;
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        let version = (numbers.next()?, numbers.next()?);
        match server {
            b"valkey" if version >= (9, 0) => Some(Self::DelIfEq),
            b"redis" if version >= (8, 4) => Some(Self::DelEx),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DelIfEq => "DELIFEQ",
            Self::DelEx => "DELEX",
        }
    }
}

/// What a server says of itself when it is greeted. What it does not say is
/// empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    pub(super) server: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) role: &'a [u8],
}

impl Hello<'_> {
    pub(super) fn native(&self) -> Option<Native> {
        Native::of(self.server, self.version)
    }
}

impl<'a> Hello<'a> {
    /// Reads a greeting's answer. If it is no whole list, all fields are empty.
    pub(super) fn of(list: &'a [u8]) -> Self {
        let (mut hello, mut before) = (Self::default(), &b""[..]);
        let walked = resp::walk(list, |word| {
            // Only the first of each name counts: modules have versions, too.
            let said = match before {
                b"server" => Some(&mut hello.server),
                b"version" => Some(&mut hello.version),
                b"role" => Some(&mut hello.role),
                _ => None,
            };
            if let Some(said) = said.filter(|said| said.is_empty()) {
                *said = word;
            }
            before = word;
        });
        if matches!(walked, Ok(Some(_))) { hello } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::resp::Reply, *};

    /// Valkey 9.1's answer, with the modules that it has.
    const VALKEY: &[u8] =
        b"*14\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n9.1.2\r\n\
        $5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
        $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*1\r\n*8\r\n$4\r\nname\r\n$3\r\nlua\r\n\
        $3\r\nver\r\n:1\r\n$4\r\npath\r\n$0\r\n\r\n$4\r\nargs\r\n*0\r\n";

    #[test]
    fn a_server_is_known_by_what_it_says_and_not_by_what_its_modules_are() {
        let stream = [VALKEY, b"+OK\r\n"].concat();
        let Some((Reply::List(list), len)) = resp::decode_any(&stream).unwrap() else { panic!() };
        let hello = Hello::of(list);
        assert_eq!((hello.native(), len), (Some(Native::DelIfEq), VALKEY.len()));
        assert_eq!((hello.version, hello.role), (&b"9.1.2"[..], &b"master"[..]));
        for cut in 0..VALKEY.len() {
            assert_eq!(resp::decode_any(&VALKEY[..cut]).unwrap(), None, "cut at {cut}");
        }
        for half in [&VALKEY[..VALKEY.len() - 1], b"*x\r\n", b""] {
            assert_eq!(Hello::of(half), Hello::default());
        }
    }

    #[test]
    fn only_a_name_and_a_version_that_are_known_to_have_it_do() {
        for (server, version, has) in [
            ("valkey", "9.0.0", Some(Native::DelIfEq)),
            ("valkey", "9.1.0-rc1", Some(Native::DelIfEq)),
            ("valkey", "255.255.255", Some(Native::DelIfEq)),
            ("valkey", "8.1.4", None),
            ("redis", "8.4.0", Some(Native::DelEx)),
            ("redis", "10.0.1", Some(Native::DelEx)),
            ("redis", "8.2.3", None),
            ("redis", "7.2.4", None), // Valkey, where it is told to pass for it
            ("redis", "9", None),
            ("redis", "df-1.30", None),
            ("dragonfly", "9.9.9", None),
            ("keydb", "9.9.9", None),
            ("", "", None),
        ] {
            assert_eq!(
                Native::of(server.as_bytes(), version.as_bytes()),
                has,
                "{server} {version}"
            );
        }
    }
}
