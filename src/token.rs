//! The proof that a lock is ours: the value at its key. It is never printed.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    error::{Error, ErrorKind},
    label::Label,
};

/// The proof of ownership of one acquisition. It is a secret, since anyone who has it
/// can extend and release the lock; `Debug` does not show it.
///
/// A token is any 1 to 256 bytes. A token that this library makes has 22 letters,
/// digits, `-` and `_`, which are 132 random bits: at a million locks a second for
/// ten years, the chance that two are ever equal is about one in a hundred thousand
/// million. In the middle stands a `~`, by which a waiter knows that the holder is of
/// this library and tells of its release. Where the holder gave itself a label
/// ([`Acquire::owner`](crate::Acquire::owner)), a dot and the label come behind them; that
/// part alone is told to others.
#[doc(alias("value", "nonce", "WithGenValueFunc"))]
#[derive(Clone)]
pub struct Token(Bytes);

/// Tokens of our own are kept in place, since there may be very many.
#[derive(Clone)]
enum Bytes {
    Own([u8; Token::OWN_BYTES]),
    Foreign(Arc<[u8]>),
}

impl Token {
    const MAX_BYTES: usize = 256;
    /// Each of these bytes but one carries six random bits, so that a token has more
    /// than 128 and takes no more room than a pointer to it would.
    const OWN_BYTES: usize = 23;
    /// The byte in the middle, and where it stands. No lock library that we know of
    /// makes a value with it: they are UUIDs, hexadecimal or Base64, or 22 letters.
    const SEPARATOR: u8 = b'~';
    const MIDDLE: usize = 11;

    /// A placeholder that belongs to no lock.
    pub(crate) const NONE: Self = Self(Bytes::Own([b'-'; Self::OWN_BYTES]));

    /// A token that has never been used.
    pub(crate) fn random(source: &mut impl rand::Rng) -> Self {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut digits = [0; Self::OWN_BYTES];
        // One random word is enough for eight digits.
        for some in digits.chunks_mut(8) {
            let mut bits = source.next_u64();
            for digit in some {
                *digit = DIGITS.get((bits % 64) as usize).copied().unwrap_or_default();
                bits /= 64;
            }
        }
        if let Some(middle) = digits.get_mut(Self::MIDDLE) {
            *middle = Self::SEPARATOR;
        }
        Self(Bytes::Own(digits))
    }

    /// The same with a label that others are told.
    pub(crate) fn with_label(self, label: Option<&Label>) -> Self {
        let Some(label) = label else { return self };
        Self(Bytes::Foreign([self.as_bytes(), b".", label.as_str().as_bytes()].concat().into()))
    }

    /// Whether a holder with this label may have it, be it none.
    pub(crate) fn has_label(&self, label: Option<&Label>) -> bool {
        self.label() == label.map(Label::as_str)
    }

    /// What the holder calls itself; never anything of a value that other libraries make.
    pub(crate) fn label(&self) -> Option<&str> {
        let Bytes::Foreign(bytes) = &self.0 else { return None };
        let label = bytes.get(Self::OWN_BYTES + 1..)?;
        if self.is_of_our_shape() { Label::in_bytes(label) } else { None }
    }

    /// Whether it has the shape of the tokens that this library makes, perhaps with a
    /// label behind a dot.
    pub(crate) fn is_of_our_shape(&self) -> bool {
        let (own, label) = self.as_bytes().split_at_checked(Self::OWN_BYTES).unwrap_or_default();
        let is_own = |(place, byte): (usize, &u8)| match place {
            Self::MIDDLE => *byte == Self::SEPARATOR,
            _ => byte.is_ascii_alphanumeric() || b"-_".contains(byte),
        };
        !own.is_empty()
            && own.iter().enumerate().all(is_own)
            && (label.is_empty() || label.first() == Some(&b'.'))
    }

    /// Makes a token of bytes that came from elsewhere: another process, another
    /// library.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if there are no bytes, or more than 256.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::Token;
    /// let token = Token::from_bytes("n1Tg6HsPq9W~cUf4o_EzKxA")?;
    /// assert!(Token::from_bytes("").is_err());
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if (1..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Ok(Self(Bytes::Foreign(bytes.into())));
        }
        let message = format!("a token has 1 to {} bytes, not {}", Self::MAX_BYTES, bytes.len());
        Err(Error::new(ErrorKind::InvalidConfig, message))
    }

    /// Returns the bytes themselves, which are a secret.
    ///
    /// ```
    /// # use redlock_quorum::Token;
    /// let token = Token::from_bytes([7, 0, 255])?;
    /// assert_eq!(token.as_bytes(), [7, 0, 255]);
    /// assert_eq!(format!("{token:?}"), "Token(<redacted>)");
    /// # Ok::<(), redlock_quorum::Error>(())
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Own(digits) => digits,
            Bytes::Foreign(bytes) => bytes,
        }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tokens_are_text_distinct_small_and_never_shown() {
        let a = Token::random(&mut rand::rng());
        let b = Token::random(&mut rand::rng());
        assert_ne!(a, b);
        assert_eq!(a.as_bytes().len(), 23);
        assert!(a.as_bytes().iter().all(|c| c.is_ascii_alphanumeric() || b"-_~".contains(c)));
        assert_eq!(a.as_bytes()[11], b'~');
        assert_eq!(size_of::<Token>(), size_of::<[usize; 3]>());
        assert_eq!(format!("{a:?}"), "Token(<redacted>)");
    }

    #[test]
    fn no_other_library_makes_a_value_of_our_shape() {
        let ours = Token::random(&mut rand::rng());
        let shape = |bytes: &[u8]| Token::from_bytes(bytes).unwrap().is_of_our_shape();
        assert!(ours.is_of_our_shape());
        let labelled = |label: &[u8]| [ours.as_bytes(), label].concat();
        assert!(shape(&labelled(b".worker-7")));
        assert!(!shape(&labelled(b"x")) && !shape(&ours.as_bytes()[1..]));
        // By docs/operations.md: redlock-py and our own before, redsync, node-redlock, rslock,
        // redlock-rb and others' UUIDs, Redisson's thread of a client.
        for others in [
            "n1Tg6HsPq9WcUf4o_EzKxA",
            "k8u2Zr0PpTqK1mVx3sYb7A==",
            "0f8fad5bd9cb469fa16570867728950e0a1b2c3d",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950e:1",
            "1732790400.5",
            "~",
        ] {
            assert!(!shape(others.as_bytes()), "{others}");
        }
        assert!(!shape(&[0xfe; 20]), "twenty bytes by chance");
    }

    #[test]
    fn a_label_is_told_and_the_secret_is_not() {
        let secret = Token::random(&mut rand::rng());
        let label = Label::new("worker-7.b").unwrap();
        let token = secret.clone().with_label(Some(&label));
        assert!(token.is_of_our_shape() && token != secret);
        assert_eq!((token.label(), secret.label()), (Some("worker-7.b"), None));
        assert_eq!(secret.clone().with_label(None), secret);
        let label_of = |bytes: &[u8]| Token::from_bytes(bytes).unwrap().label().map(str::to_owned);
        for others in ["n1Tg6HsPq9WcUf4o_EzKxA.me", "0f8fad5b-d9cb.469f", ".me", "a.b"] {
            assert_eq!(label_of(others.as_bytes()), None, "{others}");
        }
        let ours = |label: &[u8]| label_of(&[secret.as_bytes(), label].concat());
        assert_eq!([ours(b"."), ours(b".a\n"), ours(b".\xff"), ours(b"")], [const { None }; 4]);
    }

    #[test]
    fn foreign_tokens_are_any_bytes_within_bounds() {
        assert_eq!(Token::from_bytes([0, 255]).unwrap().as_bytes(), [0, 255]);
        assert!(Token::from_bytes([]).is_err());
        assert!(Token::from_bytes([1; 257]).is_err());
    }
}
