//! What a server says of itself when it is greeted, and whether that speaks against its
//! vote. What it says may be a lie: nothing is granted because of it.

use std::sync::Arc;

use super::{native::Native, resp};
use crate::{
    exchange::{Greeted, Role},
    mutant::{self, Mutant},
    node_error::NodeErrorKind,
};

/// What a server says of itself when it is greeted. What it does not say is
/// empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    pub(super) server: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) role: &'a [u8],
    pub(super) mode: &'a [u8],
}

impl Hello<'_> {
    pub(super) fn native(&self) -> Option<Native> {
        Native::of(self.server, self.version)
    }

    pub(super) fn role(&self) -> Option<Role> {
        match self.role {
            b"master" => Some(Role::Master),
            b"replica" | b"slave" => Some(Role::Replica),
            _ => None,
        }
    }

    /// The server's name and version, such as `redis 7.4.1`.
    pub(super) fn name(&self) -> String {
        let words = [self.server, self.version].map(String::from_utf8_lossy);
        words.join(" ").trim_end().to_owned()
    }

    /// The same as a look at its health gives it.
    pub(super) fn greeted(&self) -> Greeted {
        let server = Some(self.name()).filter(|name| !name.is_empty()).map(Into::into);
        Greeted { role: self.role(), server, ..Greeted::default() }
    }

    /// What the server is: its name and version, what else than a server on its own it
    /// is, and its role.
    pub(super) fn describe(&self) -> Arc<str> {
        let mode = Some(self.mode).filter(|mode| !matches!(*mode, b"" | b"standalone"));
        let mode = mode.map(|mode| String::from_utf8_lossy(mode).into_owned());
        let role = self.role().map(|role| role.as_str().to_owned());
        let words = [Some(self.name()).filter(|name| !name.is_empty()), mode, role];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ").into()
    }

    fn is_replica(&self) -> bool {
        if mutant::is(Mutant::ReplicaVotes) {
            return false;
        }
        self.role() == Some(Role::Replica)
    }

    /// Why a server that says this of itself has no vote, where the URL names the database
    /// `db`.
    pub(super) fn objection(&self, db: i64) -> Option<NodeErrorKind> {
        // Envoy moves all clients of one of its workers at once.
        const SHARES_ITS_DATABASE: &[u8] = b"envoy-redis-proxy";
        if self.mode == b"sentinel" {
            return Some(NodeErrorKind::Sentinel);
        }
        if self.is_replica() {
            return Some(NodeErrorKind::ReadOnly);
        }
        let is_shared = db != 0 && self.server == SHARES_ITS_DATABASE;
        is_shared.then_some(NodeErrorKind::SharedDatabase)
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
                b"mode" => Some(&mut hello.mode),
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
    fn a_server_that_says_it_keeps_no_locks_is_believed() {
        let hello = |server, mode, role| Hello { server, version: b"7.2.4", mode, role };
        let master: Hello<'_> = hello(b"redis", b"standalone", b"master");
        assert_eq!((master.objection(3), &*master.describe()), (None, "redis 7.2.4, master"));
        let sentinel = hello(b"redis", b"sentinel", b"");
        assert_eq!(sentinel.objection(0), Some(NodeErrorKind::Sentinel));
        assert_eq!(&*sentinel.describe(), "redis 7.2.4, sentinel");
        let replica = hello(b"valkey", b"standalone", b"replica");
        assert_eq!(replica.objection(0), Some(NodeErrorKind::ReadOnly));
        let envoy = hello(b"envoy-redis-proxy", b"standalone", b"master");
        assert_eq!(envoy.objection(0), None);
        assert_eq!(envoy.objection(1), Some(NodeErrorKind::SharedDatabase));
        assert_eq!(&*Hello::default().describe(), "");
    }
}
