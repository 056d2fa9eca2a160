//! Takes what a server sends off the front of a buffer: replies, words, lists.
//!
//! Common replies are recognized at a glance, lists are walked through here, and
//! all else is redis-protocol's to parse. It does not know what was asked.

use redis_protocol::resp2::{decode::decode_range, types::RangeFrame};

use crate::node_error::{NodeError, NodeErrorKind};

/// One reply, borrowed from the buffer it came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Ok,
    Nil,
    Int(i64),
    Error(&'a str),
    Bulk(&'a [u8]),
    /// A list's bytes as they came, for [`walk`].
    List(&'a [u8]),
    Other,
}

/// What was taken, and how many bytes that is; `None` if it has not all arrived.
pub(super) type Taken<T> = Result<Option<(T, usize)>, NodeError>;

/// Takes one reply that is no list.
pub(super) fn decode(buffer: &[u8]) -> Taken<Reply<'_>> {
    match buffer {
        // Nearly all replies are one of these, which need no parser.
        [b'+', b'O', b'K', b'\r', b'\n', ..] => return Ok(Some((Reply::Ok, 5))),
        [b'$', b'-', b'1', b'\r', b'\n', ..] => return Ok(Some((Reply::Nil, 5))),
        [b':', digit @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Ok(Some((Reply::Int((digit - b'0').into()), 4)));
        }
        _ => {}
    }
    let Some((frame, len)) = parse(buffer)? else { return Ok(None) };
    let bytes = |(start, end): (usize, usize)| buffer.get(start..end).unwrap_or_default();
    let reply = match frame {
        RangeFrame::SimpleString(range) if bytes(range) == b"OK" => Reply::Ok,
        RangeFrame::Null => Reply::Nil,
        RangeFrame::Integer(value) => Reply::Int(value),
        RangeFrame::Error(range) => Reply::Error(str::from_utf8(bytes(range)).unwrap_or("")),
        RangeFrame::BulkString(range) => Reply::Bulk(bytes(range)),
        _ => Reply::Other,
    };
    Ok(Some((reply, len)))
}

/// Takes one reply, which may be a list: only a greeting and a look by script are
/// answered by one.
pub(super) fn decode_any(buffer: &[u8]) -> Taken<Reply<'_>> {
    if buffer.first() != Some(&b'*') {
        return decode(buffer);
    }
    let Some(len) = walk(buffer, |_| {})? else { return Ok(None) };
    Ok(buffer.get(..len).map(|list| (Reply::List(list), len)))
}

/// Walks through one list, shows its words to `see` and returns the list's
/// length. A word that is no bulk string is shown as an empty one, and so is the
/// beginning of a list, the outermost included. Lists in the list are counted
/// here and never fed to the parser, which recurses.
pub(super) fn walk<'a>(
    buffer: &'a [u8],
    mut see: impl FnMut(&'a [u8]),
) -> Result<Option<usize>, NodeError> {
    let (mut left, mut len) = (1_usize, 0_usize);
    while left > 0 {
        let rest = buffer.get(len..).unwrap_or_default();
        let (more, word, taken) = if rest.first() == Some(&b'*') {
            let Some((count, taken)) = decode_count(rest)? else { return Ok(None) };
            (count, &b""[..], taken)
        } else {
            let Some((word, taken)) = decode_word(rest)? else { return Ok(None) };
            (0, word, taken)
        };
        see(word);
        left = (left - 1).checked_add(more).ok_or_else(garbage)?;
        len = len.saturating_add(taken);
    }
    Ok(Some(len))
}

/// Takes a list of `N` words with no list among them. Any other is an error.
pub(super) fn decode_words<const N: usize>(buffer: &[u8]) -> Taken<[&[u8]; N]> {
    let Some((count, mut len)) = decode_count(buffer)? else { return Ok(None) };
    if count != N {
        return Err(garbage());
    }
    let mut words = [&[][..]; N];
    for word in &mut words {
        let rest = buffer.get(len..).unwrap_or_default();
        let Some((bytes, taken)) = decode_word(rest)? else { return Ok(None) };
        *word = bytes;
        len = len.saturating_add(taken);
    }
    Ok(Some((words, len)))
}

/// Takes one word: a bulk string's bytes, and nothing of what is none.
fn decode_word(buffer: &[u8]) -> Taken<&[u8]> {
    let Some((frame, len)) = parse(buffer)? else { return Ok(None) };
    let bytes = match frame {
        RangeFrame::BulkString((start, end)) => buffer.get(start..end).unwrap_or_default(),
        _ => &[],
    };
    Ok(Some((bytes, len)))
}

/// Takes the head of a list: how many values follow.
fn decode_count(buffer: &[u8]) -> Taken<usize> {
    /// No list that is meant for us is longer than nine digits can say.
    const MOST_DIGITS: usize = 9;
    let Some(end) = buffer.windows(2).position(|ends| ends == b"\r\n") else {
        return if buffer.len() <= MOST_DIGITS + 2 { Ok(None) } else { Err(garbage()) };
    };
    let digits = buffer.get(1..end).filter(|digits| digits.len() <= MOST_DIGITS);
    let count = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    Ok(Some((count.ok_or_else(garbage)?, end.saturating_add(2))))
}

/// Takes one value that is no list: the parser recurses, and must not be fed a
/// hostile one.
fn parse(buffer: &[u8]) -> Taken<RangeFrame> {
    if buffer.first() == Some(&b'*') {
        return Err(garbage());
    }
    decode_range(buffer).map_err(|_| garbage())
}

fn garbage() -> NodeError {
    NodeError::new(NodeErrorKind::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_one_at_a_time_and_whole() {
        let stream = b"+OK\r\n$-1\r\n:-1\r\n-NOSCRIPT No\r\n$2\r\nhi\r\n";
        let mut rest = &stream[..];
        let mut seen = Vec::new();
        while let Some((reply, len)) = decode(rest).unwrap() {
            seen.push(reply);
            rest = &rest[len..];
        }
        let (error, bulk) = (Reply::Error("NOSCRIPT No"), Reply::Bulk(b"hi"));
        assert_eq!(seen, [Reply::Ok, Reply::Nil, Reply::Int(-1), error, bulk]);
        for cut in 0..5 {
            assert_eq!(decode(&stream[..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_reply_is_garbage() {
        assert!(decode(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(decode(&b"*1\r\n".repeat(100_000)).is_err());
        assert_eq!(decode(b"$4611686018427387904\r\n").unwrap_or(None), None);
    }

    #[test]
    fn a_list_is_taken_whole_whatever_is_in_it() {
        let list = b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n";
        let stream = [&list[..], b"+OK\r\n"].concat();
        assert_eq!(decode_any(&stream).unwrap(), Some((Reply::List(list), list.len())));
        let mut words = Vec::new();
        walk(&stream, |word| words.push(word)).unwrap();
        assert_eq!(words, [&b""[..], b"a", b"", b"", b""]);
        for cut in 0..list.len() {
            assert_eq!(decode_any(&list[..cut]).unwrap(), None, "cut at {cut}");
        }
        let refused = decode_any(b"-ERR unknown command 'HELLO'\r\n+OK\r\n").unwrap().unwrap();
        assert_eq!(refused, (Reply::Error("ERR unknown command 'HELLO'"), 30));
    }

    #[test]
    fn what_is_no_list_of_this_world_is_garbage_and_bounded() {
        for bytes in
            [&b"*x\r\n"[..], b"*-2\r\n", b"*9999999999\r\n", b"*1\r\n*111111111111", b"*1\r\n?\r\n"]
        {
            assert!(decode_any(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert_eq!(decode_any(&b"*1\r\n".repeat(100_000)).unwrap(), None);
        assert_eq!(decode_any(b"*999999999\r\n:1\r\n").unwrap(), None);
    }
}
