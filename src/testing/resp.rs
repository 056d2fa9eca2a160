//! RESP2 over blocking streams, for the raw client and the in-memory nodes. It shares
//! nothing with the library's own protocol code, so that a mistake there cannot hide
//! behind the same mistake here. It never reads past a limit.

use std::io::{self, BufRead, Read, Write};

use super::Reply;

const MAX_DEPTH: usize = 8;

/// Reads one value of at most `limit` bytes, or `None` if the stream has ended where a
/// value would begin.
pub(super) fn read(input: &mut impl BufRead, limit: usize) -> io::Result<Option<Reply>> {
    let mut reader = Reader { input, left: limit };
    if has_ended(reader.input)? {
        return Ok(None);
    }
    reader.value(MAX_DEPTH).map(Some)
}

/// Whether there is nothing more to read. Of all that reads here this alone is not begun again
/// by the standard library where a signal interrupts it.
fn has_ended(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            filled => return filled.map(<[u8]>::is_empty),
        }
    }
}

/// Reads one command of at most `limit` bytes: an array of bulk strings.
pub(super) fn read_command(
    input: &mut impl BufRead,
    limit: usize,
) -> io::Result<Option<Vec<Vec<u8>>>> {
    let Some(value) = read(input, limit)? else {
        return Ok(None);
    };
    let Reply::Array(items) = value else {
        return Err(invalid("a command must be an array"));
    };
    items
        .into_iter()
        .map(|item| match item {
            Reply::Bulk(bytes) => Ok(bytes),
            _ => Err(invalid("a command must hold bulk strings only")),
        })
        .collect::<io::Result<_>>()
        .map(Some)
}

/// Reads one command at the front of `buffer`. It returns the command and its length, or
/// `None` if it has not all arrived.
pub(crate) fn take_command(buffer: &[u8]) -> io::Result<Option<(Vec<Vec<u8>>, usize)>> {
    let mut rest = buffer;
    match read_command(&mut rest, usize::MAX >> 1) {
        Ok(Some(command)) => Ok(Some((command, buffer.len() - rest.len()))),
        Ok(None) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a command, and does not flush.
pub(super) fn write_command<S: AsRef<[u8]>>(out: &mut impl Write, args: &[S]) -> io::Result<()> {
    write!(out, "*{}\r\n", args.len())?;
    args.iter().try_for_each(|arg| write_bulk(out, arg.as_ref()))
}

/// Writes a reply, and does not flush.
pub(crate) fn write(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Nil => out.write_all(b"$-1\r\n"),
        Reply::Int(number) => write!(out, ":{number}\r\n"),
        Reply::Status(text) => write!(out, "+{}\r\n", one_line(text)),
        Reply::Error(text) => write!(out, "-{}\r\n", one_line(text)),
        Reply::Bulk(bytes) => write_bulk(out, bytes),
        Reply::Array(items) => {
            write!(out, "*{}\r\n", items.len())?;
            items.iter().try_for_each(|item| write(out, item))
        }
    }
}

/// The bytes of `replies`.
pub(super) fn encode(replies: &[Reply]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    replies.iter().for_each(|reply| drop(write(&mut bytes, reply)));
    bytes
}

fn write_bulk(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    write!(out, "${}\r\n", bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(b"\r\n")
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

struct Reader<'a, R> {
    input: &'a mut R,
    left: usize,
}

impl<R: BufRead> Reader<'_, R> {
    fn value(&mut self, depth: usize) -> io::Result<Reply> {
        let line = self.line()?;
        let Some((kind, rest)) = line.split_first() else {
            return Err(invalid("an empty line where a value should begin"));
        };
        match kind {
            b'+' => Ok(Reply::Status(text(rest))),
            b'-' => Ok(Reply::Error(text(rest))),
            b':' => number(rest).map(Reply::Int),
            b'$' => self.bulk(number(rest)?),
            b'*' => self.array(number(rest)?, depth),
            _ => Err(invalid("an unknown kind of value")),
        }
    }

    fn bulk(&mut self, length: i64) -> io::Result<Reply> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Reply::Nil);
        };
        // The buffer grows with what arrives, not with what was announced.
        self.spend(length.saturating_add(2))?;
        let mut bytes = Vec::new();
        self.input.take(length as u64 + 2).read_to_end(&mut bytes)?;
        if bytes.len() != length + 2 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !bytes.ends_with(b"\r\n") {
            return Err(invalid("a bulk string longer than announced"));
        }
        bytes.truncate(length);
        Ok(Reply::Bulk(bytes))
    }

    fn array(&mut self, length: i64, depth: usize) -> io::Result<Reply> {
        let Ok(length) = usize::try_from(length) else {
            return Ok(Reply::Nil);
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(invalid("arrays nested too deep"));
        };
        // Every element costs bytes, so the limit bounds this loop too.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth)?);
        }
        Ok(Reply::Array(items))
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let most = self.left as u64;
        let read = self.input.take(most).read_until(b'\n', &mut line)?;
        self.spend(read)?;
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            return Ok(line);
        }
        if self.left == 0 {
            return Err(too_long());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(too_long)?;
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(bytes: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid("a number that is none"))
}

fn too_long() -> io::Error {
    invalid("too long")
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("RESP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let reply = Reply::Array(vec![
            Reply::Nil,
            Reply::Int(-7),
            Reply::ok(),
            Reply::Bulk(b"a\r\n\0\xff".to_vec()),
            Reply::Array(Vec::new()),
            Reply::error("ERR no"),
        ]);
        let mut bytes = Vec::new();
        write(&mut bytes, &reply).unwrap();
        let limit = bytes.len();
        assert_eq!(read(&mut &bytes[..], limit).unwrap(), Some(reply));
        assert!(read(&mut &bytes[..], limit - 1).is_err());
        for cut in 1..bytes.len() {
            let kind = read(&mut &bytes[..cut], limit).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
        assert_eq!(read(&mut &b""[..], limit).unwrap(), None);
    }

    #[test]
    fn announced_sizes_are_not_believed() {
        for bytes in [
            &b"$2147483647\r\n"[..],
            b"$9223372036854775807\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            let kind = read(&mut &bytes[..], 1024).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::InvalidData);
        }
    }

    /// Each second read is interrupted, as by the end of a child.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let some = buffer.len().min(1);
            self.0.read(&mut buffer[..some])
        }
    }

    #[test]
    fn a_signal_is_no_error() {
        let interrupted = Interrupted(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", false);
        let mut input = io::BufReader::new(interrupted);
        let command = read_command(&mut input, 100).unwrap().unwrap();
        assert_eq!(command, [&b"GET"[..], b"k"]);
        assert!(read_command(&mut input, 100).unwrap().is_none());
    }
}
