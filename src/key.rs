//! The name of a lock: any bytes, checked once. Nothing here reads a meaning into
//! them.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    error::{Error, ErrorKind},
    spelled::Shown,
};

/// The longest key, prefix included: long enough for any name, and short enough to
/// catch a body that was pasted by mistake.
pub(crate) const MAX_KEY_BYTES: usize = 1024;

/// A valid key as the servers see it: the client's prefix, then the user's
/// bytes. Cheap to clone, and small: there may be very many.
#[derive(Clone)]
pub(crate) struct Key(Bytes);

/// A key's bytes, after the length of its prefix.
#[derive(Clone)]
enum Bytes {
    /// Most keys are short, and kept in place.
    Short {
        len: u8,
        bytes: [u8; Key::SHORT],
    },
    Long(Arc<[u8]>),
}

/// What stands behind a lock's key in that of its fence.
const FENCE: &[u8] = b":fence";

/// The key at which strict nodes note which server they are, so that one that has forgotten knows.
pub(crate) const EPOCH: &[u8] = b"redlock:epoch";

/// Why no lock may have this key, if it may not: the nodes keep something else there.
fn reserved(prefix: &[u8], name: &[u8]) -> Option<&'static str> {
    // Nearly all names end otherwise.
    if !matches!(name.last(), Some(b'e' | b'h')) {
        return None;
    }
    let key = || prefix.iter().chain(name);
    if key().rev().take(FENCE.len()).eq(FENCE.iter().rev()) {
        return Some("ends in :fence, where the fencing number of another lock may be kept");
    }
    key().eq(EPOCH).then_some("is redlock:epoch, which is reserved")
}

/// How many bytes the length of a prefix takes.
const HEAD: usize = size_of::<u16>();

impl Key {
    /// How many bytes, head included, take no more room in place than a pointer to
    /// them would.
    const SHORT: usize = 22;

    /// A placeholder that belongs to no lock.
    pub(crate) const NONE: Self = Self(Bytes::Short { len: 0, bytes: [0; Self::SHORT] });

    /// The key of the epoch, which no lock may have.
    pub(crate) fn epoch() -> Self {
        Self(Bytes::from([&0_u16.to_ne_bytes()[..], EPOCH, b""]))
    }

    pub(crate) fn new(prefix: &[u8], name: &[u8]) -> Result<Self, Error> {
        let len = prefix.len().saturating_add(name.len());
        if name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the lock's key is empty: name it"));
        }
        if len > MAX_KEY_BYTES {
            let message = format!(
                "the lock's key has {len} bytes, prefix included; at most {MAX_KEY_BYTES} are \
                 allowed: use a shorter name, or a hash of it"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if let Some(what) = reserved(prefix, name) {
            let message =
                format!("the lock's key, prefix included, {what}: choose another name or prefix");
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        // The prefix is no longer than a key, so its length fits.
        let prefix_len = u16::try_from(prefix.len()).unwrap_or(0).to_ne_bytes();
        Ok(Self(Bytes::from([&prefix_len[..], prefix, name])))
    }

    /// The key of the lock's fence, as the servers see it. The limit of a key's length is not for
    /// this one, since it is there to catch mistakes, and servers take far longer ones.
    pub(crate) fn fence_of(key: &[u8]) -> Vec<u8> {
        [key, FENCE].concat()
    }

    fn all(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }

    /// The bytes that the servers see: prefix and name.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.all().get(HEAD..).unwrap_or_default()
    }

    /// The name that the user gave, without the prefix.
    pub(crate) fn name(&self) -> &[u8] {
        let head = self.all().first_chunk().copied().unwrap_or_default();
        self.as_bytes().get(usize::from(u16::from_ne_bytes(head))..).unwrap_or_default()
    }
}

impl From<[&[u8]; 3]> for Bytes {
    fn from(parts: [&[u8]; 3]) -> Self {
        let mut bytes = [0; Key::SHORT];
        let mut len = 0;
        for part in parts {
            let Some(room) = bytes.get_mut(len..).and_then(|rest| rest.get_mut(..part.len()))
            else {
                return Self::Long(parts.concat().into());
            };
            room.copy_from_slice(part);
            len = len.saturating_add(part.len());
        }
        Self::Short { len: u8::try_from(len).unwrap_or(0), bytes }
    }
}

/// Two keys are equal if the servers see the same bytes.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A key is hashed by itself, so its length need not be.
        state.write(self.as_bytes());
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Shown(self.name()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_key_and_the_prefix_is_not_shown() {
        let key = Key::new(b"app:", b"\x00\xffjob").unwrap();
        assert_eq!(key.as_bytes(), b"app:\x00\xffjob");
        assert_eq!(key.name(), b"\x00\xffjob");
        assert_eq!(key.to_string(), r"`\x00\xffjob`");
        let key = Key::new(b"", "grüße\n\u{202e}\u{85}".as_bytes()).unwrap();
        assert_eq!(key.to_string(), r"`grüße\n\u{202e}\u{85}`", "as text, and no tricks");
    }

    #[test]
    fn short_and_long_keys_are_the_same_but_for_where_they_are() {
        assert_eq!(size_of::<Key>(), size_of::<[usize; 3]>());
        for len in 1..40 {
            let name = vec![b'n'; len];
            let (key, same) = (
                Key::new(b"p:", &name).unwrap(),
                Key::new(b"", &[b"p:", &name[..]].concat()).unwrap(),
            );
            assert_eq!((key.name(), key.as_bytes()), (&name[..], same.as_bytes()));
            assert_eq!(matches!(key.0, Bytes::Short { .. }), HEAD + 2 + len <= Key::SHORT);
            assert!(key == same && key.clone() == key);
        }
    }

    #[test]
    fn what_nodes_keep_at_a_key_is_no_locks_whatever_is_prefix_and_whatever_is_name() {
        for (prefix, name) in [("", "k:fence"), ("k:", "fence"), ("k:fe", "nce"), ("", ":fence")] {
            let error = Key::new(prefix.as_bytes(), name.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("ends in :fence"), "{error}");
        }
        for (prefix, name) in [("", "redlock:epoch"), ("redlock:", "epoch")] {
            let error = Key::new(prefix.as_bytes(), name.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("is redlock:epoch"), "{error}");
        }
        for name in ["fence", "k:fence:1", "k:Fence", "redlock:epochs", "app:redlock:epoch"] {
            assert!(Key::new(b"", name.as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn empty_and_over_long_keys_are_refused() {
        assert!(Key::new(b"app:", b"").unwrap_err().to_string().contains("empty"));
        assert!(Key::new(b"", &[b'k'; MAX_KEY_BYTES]).is_ok());
        let error = Key::new(b"p", &[b'k'; MAX_KEY_BYTES]).unwrap_err();
        assert!(error.to_string().contains("1025 bytes"), "{error}");
    }
}
