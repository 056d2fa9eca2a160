//! The proof that a lock is ours: the value at its key. It is never printed.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::error::{Error, ErrorKind};

/// The proof of ownership of one acquisition. It is a secret, since anyone who has it
/// can extend and release the lock; `Debug` does not show it.
///
/// A token is any 1 to 256 bytes. A token that this library makes has 22 letters,
/// digits, `-` and `_`, which are 132 random bits: at a million locks a second for
/// ten years, the chance that two are ever equal is about one in a hundred thousand
/// million.
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
    /// Each of these bytes carries six random bits, so that a token has more than 128
    /// and takes no more room than a pointer to it would.
    const OWN_BYTES: usize = 22;

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
        Self(Bytes::Own(digits))
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
    /// let token = Token::from_bytes("n1Tg6HsPq9WcUf4o_EzKxA")?;
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
        assert_eq!(a.as_bytes().len(), 22);
        assert!(a.as_bytes().iter().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c)));
        assert_eq!(size_of::<Token>(), size_of::<[usize; 3]>());
        assert_eq!(format!("{a:?}"), "Token(<redacted>)");
    }

    #[test]
    fn foreign_tokens_are_any_bytes_within_bounds() {
        assert_eq!(Token::from_bytes([0, 255]).unwrap().as_bytes(), [0, 255]);
        assert!(Token::from_bytes([]).is_err());
        assert!(Token::from_bytes([1; 257]).is_err());
    }
}
