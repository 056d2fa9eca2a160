//! A server's own compare-and-delete, and how it is learned which server has
//! one: by what it says of itself when it is greeted.
//!
//! Nothing rests on that: what a server does not know after all, or what it
//! does not let us use, is done by a script.

use super::{
    push::decode_word,
    wire::{self, Reply},
};
use crate::node_error::{NodeError, NodeErrorKind};

/// What a server calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// `DELIFEQ key token`: Valkey, from 9.0.
    DelIfEq,
    /// `DELEX key IFEQ token`: Redis, from 8.4.
    DelEx,
}

impl Native {
    /// What a server of this name and version has. Forks that go by another
    /// name, and by Redis's with an older version, have nothing.
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

/// What a server says of itself when it is greeted; empty what it does not.
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

/// Takes the answer to the greeting off the front of `buffer`, as
/// [`wire::decode`] takes a reply. An answer that is no refusal is a list.
pub(super) fn decode(buffer: &[u8]) -> Result<Option<(Reply<'_>, usize)>, NodeError> {
    if buffer.first() != Some(&b'*') {
        return wire::decode(buffer);
    }
    let Some((_, len)) = Hello::read(buffer)? else { return Ok(None) };
    Ok(buffer.get(..len).map(|list| (Reply::List(list), len)))
}

impl<'a> Hello<'a> {
    /// What a whole list says; nothing of what is none.
    pub(super) fn of(list: &'a [u8]) -> Self {
        Self::read(list).ok().flatten().map(|(hello, _)| hello).unwrap_or_default()
    }

    /// Reads names and values, some of them lists again: they are walked through
    /// by counting, and never fed to the parser, which recurses.
    fn read(buffer: &'a [u8]) -> Result<Option<(Self, usize)>, NodeError> {
        let (mut left, mut len) = (1_usize, 0_usize);
        let (mut hello, mut before) = (Self::default(), &b""[..]);
        while left > 0 {
            let rest = buffer.get(len..).unwrap_or_default();
            let (more, word, taken) = if rest.first() == Some(&b'*') {
                let Some((count, taken)) = decode_count(rest)? else { return Ok(None) };
                (count, &b""[..], taken)
            } else {
                let Some((word, taken)) = decode_word(rest)? else { return Ok(None) };
                (0, word, taken)
            };
            // The first of each name: modules have versions, too.
            let told = match before {
                b"server" => Some(&mut hello.server),
                b"version" => Some(&mut hello.version),
                b"role" => Some(&mut hello.role),
                _ => None,
            };
            if let Some(told) = told.filter(|told| told.is_empty()) {
                *told = word;
            }
            before = word;
            left = (left - 1).checked_add(more).ok_or_else(garbage)?;
            len = len.saturating_add(taken);
        }
        Ok(Some((hello, len)))
    }
}

/// How many values a list has, and how long that was to say.
fn decode_count(buffer: &[u8]) -> Result<Option<(usize, usize)>, NodeError> {
    /// Of a list that anyone could send us, and what ends the line.
    const MOST_DIGITS: usize = 9;
    let Some(end) = buffer.windows(2).position(|ends| ends == b"\r\n") else {
        return if buffer.len() <= MOST_DIGITS + 2 { Ok(None) } else { Err(garbage()) };
    };
    let digits = buffer.get(1..end).filter(|digits| digits.len() <= MOST_DIGITS);
    let count = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    Ok(Some((count.ok_or_else(garbage)?, end.saturating_add(2))))
}

fn garbage() -> NodeError {
    NodeError::new(NodeErrorKind::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Valkey 9.1 says it, with the modules that it has.
    const VALKEY: &[u8] =
        b"*14\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n9.1.2\r\n\
        $5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
        $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*1\r\n*8\r\n$4\r\nname\r\n$3\r\nlua\r\n\
        $3\r\nver\r\n:1\r\n$4\r\npath\r\n$0\r\n\r\n$4\r\nargs\r\n*0\r\n";

    #[test]
    fn a_greetings_answer_is_taken_whole_whatever_is_in_it() {
        let stream = [VALKEY, b"+OK\r\n"].concat();
        let (Reply::List(list), len) = decode(&stream).unwrap().unwrap() else { panic!() };
        let hello = Hello::of(list);
        assert_eq!((hello.native(), len), (Some(Native::DelIfEq), VALKEY.len()));
        assert_eq!((hello.version, hello.role), (&b"9.1.2"[..], &b"master"[..]));
        for cut in 0..VALKEY.len() {
            assert_eq!(decode(&VALKEY[..cut]).unwrap(), None, "cut at {cut}");
        }
        let refused = decode(b"-ERR unknown command 'HELLO'\r\n+OK\r\n").unwrap().unwrap();
        assert_eq!(refused, (Reply::Error("ERR unknown command 'HELLO'"), 30));
    }

    #[test]
    fn what_is_no_list_of_this_world_is_garbage_and_bounded() {
        for bytes in
            [&b"*x\r\n"[..], b"*-2\r\n", b"*9999999999\r\n", b"*1\r\n*111111111111", b"*1\r\n?\r\n"]
        {
            assert!(decode(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert_eq!(decode(&b"*1\r\n".repeat(100_000)).unwrap(), None);
        assert_eq!(decode(b"*999999999\r\n:1\r\n").unwrap(), None);
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
