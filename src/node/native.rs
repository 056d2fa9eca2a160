//! A server's own compare-and-delete command, and which server has one, by what
//! it says of itself when it is greeted.
//!
//! Nothing relies on that: where a server does not know the command after all,
//! or does not let us use it, a script does the same.

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
    pub(super) fn of(server: &[u8], version: &[u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
