//! What a holder calls itself: the part of a lock's value that others are told. It is never
//! a secret, and nothing is decided by it.

use std::{fmt, sync::Arc};

use crate::error::{Error, ErrorKind};

/// A text that can stand in a value behind the secret: it has [`Label::MAX_BYTES`] at most,
/// and no control characters, since it goes into logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(Arc<str>);

impl Label {
    /// What a value of 256 bytes has room for behind the secret and a dot.
    pub(crate) const MAX_BYTES: usize = 232;

    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if the text can't be a label, and why.
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let why = match text.len() {
            0 => "it is empty".to_owned(),
            len if len > Self::MAX_BYTES => {
                format!("it has {len} bytes, where {} is the most", Self::MAX_BYTES)
            }
            _ if text.chars().any(char::is_control) => "it has control characters".to_owned(),
            _ => return Ok(Self(text.into())),
        };
        Err(Error::new(ErrorKind::InvalidConfig, format!("the owner's label can't be used: {why}")))
    }

    /// The label in the bytes that stand behind the dot, if one may be told of them: another
    /// program may have put anything there.
    pub(crate) fn in_bytes(bytes: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(bytes).ok()?;
        Self::new(text).is_ok().then_some(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_text_that_can_be_logged() {
        for good in ["worker-7", "ä b.c/d~e", "x".repeat(232).as_str()] {
            assert_eq!(Label::new(good).unwrap().as_str(), good);
            assert_eq!(Label::in_bytes(good.as_bytes()), Some(good));
        }
        let bad = ["", "a\nb", "\u{1b}[2J", "\u{85}", &"x".repeat(233)];
        for bad in bad {
            assert_eq!(Label::new(bad).unwrap_err().kind(), ErrorKind::InvalidConfig, "{bad:?}");
            assert_eq!(Label::in_bytes(bad.as_bytes()), None);
        }
        assert_eq!(Label::in_bytes(&[0xff]), None);
    }
}
