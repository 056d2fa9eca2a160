//! The messages that releases publish, and what comes on a connection that
//! listens for them.
//!
//! It only reads and writes bytes. That a message is a hint and no more, and
//! what follows from one, is not decided here.

use super::resp::{self, Reply, Taken};
use crate::exchange::News;

impl News {
    pub(super) fn to_text(self) -> NewsText {
        let (mut number, mut age) = (itoa::Buffer::new(), itoa::Buffer::new());
        let words = [number.format(self.number), " ", age.format(self.age)];
        let mut text = NewsText { bytes: [0; NewsText::LONGEST], len: 0 };
        for word in words {
            let rest = text.bytes.get_mut(text.len..).unwrap_or_default();
            if let Some(room) = rest.get_mut(..word.len()) {
                room.copy_from_slice(word.as_bytes());
                text.len = text.len.saturating_add(word.len());
            }
        }
        text
    }

    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let (number, age) = str::from_utf8(text).ok()?.split_once(' ')?;
        Some(Self { number: number.parse().ok()?, age: age.parse().ok()? })
    }
}

/// News as text.
pub(super) struct NewsText {
    bytes: [u8; Self::LONGEST],
    len: usize,
}

impl NewsText {
    /// The longest text: twenty digits, a space, and ten digits.
    const LONGEST: usize = 31;

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What the name of a channel begins with; the key's own bytes follow.
pub(super) const CHANNEL: &[u8] = b"redlock:";

/// Appends the command that begins, or ends, the subscription to a key's channel.
pub(super) fn encode(out: &mut Vec<u8>, begin: bool, key: &[u8]) {
    let name = if begin { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
    redis::cmd(name).arg([CHANNEL, key].concat()).write_packed_command(out);
}

/// What comes on a connection that listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Push<'a> {
    /// The server has confirmed that we are subscribed to this channel.
    Subscribed(&'a [u8]),
    /// The server has confirmed that a subscription is over.
    Unsubscribed,
    /// On this channel, this text was published.
    Message(&'a [u8], &'a [u8]),
    Error(&'a str),
    Other,
}

/// Takes one push off the front of `buffer`.
pub(super) fn decode(buffer: &[u8]) -> Taken<Push<'_>> {
    if buffer.first() != Some(&b'*') {
        return Ok(resp::decode(buffer)?.map(|(reply, len)| match reply {
            Reply::Error(text) => (Push::Error(text), len),
            _ => (Push::Other, len),
        }));
    }
    let Some((words, len)) = resp::decode_words::<3>(buffer)? else { return Ok(None) };
    let push = match words {
        [b"subscribe", channel, _] => Push::Subscribed(channel),
        [b"unsubscribe", ..] => Push::Unsubscribed,
        [b"message", channel, text] => Push::Message(channel, text),
        _ => Push::Other,
    };
    Ok(Some((push, len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_are_taken_whole_and_news_survives_the_wire() {
        let most = News { number: u64::MAX, age: u32::MAX };
        assert_eq!(most.to_text().as_bytes(), b"18446744073709551615 4294967295");
        let news = News { number: u64::MAX, age: 7 };
        let text = news.to_text();
        assert_eq!(News::from_text(text.as_bytes()), Some(news));
        for bad in ["", "7", "x 7", "7 x", "7 -1", "1 4294967296", "18446744073709551616 1"] {
            assert_eq!(News::from_text(bad.as_bytes()), None, "{bad}");
        }
        let stream = b"*3\r\n$9\r\nsubscribe\r\n$2\r\nab\r\n:1\r\n\
                       *3\r\n$7\r\nmessage\r\n$2\r\nab\r\n$1\r\n7\r\n-NOPERM no\r\n";
        let mut rest = &stream[..];
        let mut seen = Vec::new();
        while let Some((push, len)) = decode(rest).unwrap() {
            seen.push(push);
            rest = &rest[len..];
        }
        let message = Push::Message(b"ab", b"7");
        assert_eq!(seen, [Push::Subscribed(b"ab"), message, Push::Error("NOPERM no")]);
        for cut in 0..31 {
            assert_eq!(decode(&stream[..cut]).unwrap(), None, "cut at {cut}");
        }
        assert!(decode(b"*2\r\n").is_err());
        assert!(decode(&[b"*3\r\n", &b"*1\r\n".repeat(100_000)[..]].concat()).is_err());
    }
}
