//! Percent-decoding, to bytes: a key need not be text. Nothing malformed is ever
//! let through.

use percent_encoding::percent_decode;

use super::refusal::Refusal;

/// The bytes that `text` stands for. A percent sign without two digits is refused
/// here; `percent_decode` would leave it as it is.
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at.saturating_add(1)..).and_then(|rest| rest.split_first_chunk());
        let Some((digits @ [_, _], after)) = digits else { return Err(malformed()) };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        rest = after;
    }
    Ok(percent_decode(text).collect())
}

/// Like [`decode`], but a plus stands for a space.
pub(super) fn decode_form(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    if !text.contains(&b'+') {
        return decode(text);
    }
    let spaced: Vec<_> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    decode(&spaced)
}

fn malformed() -> Refusal {
    Refusal::malformed("a percent sign must be followed by two hexadecimal digits: write it as %25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_can_be_written() {
        let written: String = (0..=255u8).map(|byte| format!("%{byte:02x}")).collect();
        let all: Vec<_> = (0..=255).collect();
        assert_eq!(decode(written.as_bytes()).unwrap(), all);
        assert_eq!(decode(b"a+b%2Fc").unwrap(), b"a+b/c");
        assert_eq!(decode_form(b"a+b%2Bc").unwrap(), b"a b+c");
        assert_eq!(decode(b"").unwrap(), b"");
    }

    #[test]
    fn a_percent_sign_without_digits_is_refused() {
        for text in ["%", "a%", "a%2", "%g0", "%0g", "%25%"] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
            assert!(decode_form(text.as_bytes()).is_err(), "{text}");
        }
    }
}
