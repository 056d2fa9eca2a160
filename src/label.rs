//! What a holder calls itself: the part of a lock's value that others are told. It is never
//! a secret, and nothing is decided by it.

use std::{fmt, sync::Arc};

use crate::error::{Error, ErrorKind};

/// A text that can stand in a value behind the secret: printable ASCII, at most
/// [`Label::MAX_BYTES`], without a blank at either end. So a value goes through an HTTP header
/// as it is, whoever writes and reads that.
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
            _ if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => {
                "only printable ASCII goes through HTTP headers as it is".to_owned()
            }
            _ if text.trim_matches(' ') != text => "it has a blank at an end".to_owned(),
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
    fn a_label_is_text_that_goes_through_a_header() {
        for good in ["worker-7", "a b.c/d~e", "x".repeat(232).as_str()] {
            assert_eq!(Label::new(good).unwrap().as_str(), good);
            assert_eq!(Label::in_bytes(good.as_bytes()), Some(good));
        }
        for bad in ["", " a", "a ", "\u{e4}", "a\nb", "\u{1b}[2J", &"x".repeat(233)] {
            assert_eq!(Label::new(bad).unwrap_err().kind(), ErrorKind::InvalidConfig, "{bad:?}");
            assert_eq!(Label::in_bytes(bad.as_bytes()), None);
        }
        assert_eq!(Label::in_bytes(&[0xff]), None);
    }
}
