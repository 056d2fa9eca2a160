//! Spans of time as people read them (`300ms`, `4.9s`, `90s`, `65min`), and what others wrote
//! as it may be shown. For texts only: what programs read has its milliseconds.

use std::{fmt, time::Duration};

/// A span in two or three digits, rounded down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelled(pub(crate) Duration);

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TENTH: u128 = 100;
        let millis = self.0.as_millis();
        let (seconds, tenths) = (millis / 1_000, millis % 1_000 / TENTH);
        match seconds {
            _ if millis == 0 && !self.0.is_zero() => f.write_str("under 1ms"),
            0 => write!(f, "{millis}ms"),
            1..10 if tenths > 0 => write!(f, "{seconds}.{tenths}s"),
            1..120 => write!(f, "{seconds}s"),
            120..7_200 => write!(f, "{}min", seconds / 60),
            7_200.. => write!(f, "{}h", seconds / 3_600),
        }
    }
}

/// A span that somebody has set: in whole days, hours or minutes where it is that, and never
/// rounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact(pub(crate) Duration);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds, self.0.subsec_nanos()) {
            (172_800.., 0) if seconds.is_multiple_of(86_400) => write!(f, "{}d", seconds / 86_400),
            (3_600.., 0) if seconds.is_multiple_of(3_600) => write!(f, "{}h", seconds / 3_600),
            (120.., 0) if seconds.is_multiple_of(60) => write!(f, "{}min", seconds / 60),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// Bytes that others chose, for one line of text: what is written in any language as it is, and
/// what a terminal would take for something else escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match u8::try_from(letter) {
                    Ok(byte) if byte.is_ascii() => write!(f, "{}", byte.escape_ascii())?,
                    _ => write!(f, "{}", letter.escape_debug())?,
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_that_was_set_is_told_as_it_is() {
        let ms = Duration::from_millis;
        for (span, text) in [
            (ms(10), "10ms"),
            (ms(1_500), "1.5s"),
            (ms(60_000), "60s"),
            (ms(5_400_000), "90min"),
            (ms(3_600_000), "1h"),
            (ms(3_601_000), "3601s"),
            (ms(36 * 3_600_000), "36h"),
            (ms(30 * 24 * 3_600_000), "30d"),
        ] {
            assert_eq!(Exact(span).to_string(), text);
        }
    }

    #[test]
    fn a_span_is_read_at_a_glance() {
        for (micros, text) in [
            (0, "0ms"),
            (40, "under 1ms"),
            (300_999, "300ms"),
            (4_988_270, "4.9s"),
            (5_000_000, "5s"),
            (90_500_000, "90s"),
            (3_900_000_000, "65min"),
            (86_400_000_000, "24h"),
        ] {
            assert_eq!(Spelled(Duration::from_micros(micros)).to_string(), text);
        }
    }
}
