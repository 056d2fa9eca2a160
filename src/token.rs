//! What proves that a lock is ours: the value stored at its key.

use std::{fmt, sync::Arc};

use crate::error::{Error, ErrorKind};

/// The proof of ownership of one acquisition: whoever has it can extend and
/// release the lock, so it is a secret, and `Debug` does not show it.
///
/// A token is any 1 to 256 bytes. Those this library makes are 32 hexadecimal
/// digits, 128 random bits: at a million locks a second for ten years, the
/// chance that two are ever equal is about one in six thousand million.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Arc<[u8]>);

impl Token {
    const MAX_BYTES: usize = 256;

    /// A token that has never been used.
    pub(crate) fn random(source: &mut impl rand::Rng) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bits = [0; 16];
        source.fill_bytes(&mut bits);
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let digits = bits.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        Self(digits.collect())
    }

    /// A token that came from elsewhere: another process, another library.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] for no bytes, or more than 256.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if (1..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Ok(Self(bytes.into()));
        }
        let message = format!("a token has 1 to {} bytes, not {}", Self::MAX_BYTES, bytes.len());
        Err(Error::new(ErrorKind::InvalidConfig, message))
    }

    /// The bytes themselves: a secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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
    fn random_tokens_are_hexadecimal_distinct_and_never_shown() {
        let a = Token::random(&mut rand::rng());
        let b = Token::random(&mut rand::rng());
        assert_ne!(a, b);
        assert_eq!(a.as_bytes().len(), 32);
        assert!(a.as_bytes().iter().all(u8::is_ascii_hexdigit));
        assert_eq!(format!("{a:?}"), "Token(<redacted>)");
    }

    #[test]
    fn foreign_tokens_are_any_bytes_within_bounds() {
        assert_eq!(Token::from_bytes([0, 255]).unwrap().as_bytes(), [0, 255]);
        assert!(Token::from_bytes([]).is_err());
        assert!(Token::from_bytes([1; 257]).is_err());
    }
}
