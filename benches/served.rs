//! The lock service's client as it should be: one connection for each task, kept
//! open, and requests written by hand, so that what is measured is the service.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
};

use crate::{common::Result, contenders::Locker};

/// `redlock serve` at an address. A clone has a connection of its own.
pub struct Served {
    address: SocketAddr,
    what: What,
    connection: Mutex<Option<Connection>>,
}

/// What is asked of it.
#[derive(Clone, Copy)]
enum What {
    Locks,
    /// Only whether it runs: what two requests cost that lock nothing.
    Nothing,
}

/// What to unlock, and the proof that it is ours.
pub struct Token {
    key: String,
    token: String,
}

impl Served {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, what: What::Locks, connection: Mutex::new(None) }
    }

    /// One whose locks are none.
    pub fn idle(address: SocketAddr) -> Self {
        Self { what: What::Nothing, ..Self::new(address) }
    }

    /// The answer's status and body.
    async fn ask(&self, path: &str, form: &str) -> Result<(u16, String)> {
        let mut connection = self.connection.lock().await;
        // One that failed is not used again.
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(self.address).await?,
        };
        let answer = match self.what {
            What::Locks => open.ask("POST", path, form).await?,
            What::Nothing => open.ask("GET", "/healthz", "").await?,
        };
        *connection = Some(open);
        Ok(answer)
    }
}

impl Clone for Served {
    fn clone(&self) -> Self {
        Self { what: self.what, ..Self::new(self.address) }
    }
}

impl Locker for Served {
    type Held = Token;

    async fn acquire(&self, key: &str) -> Result<Token> {
        let (status, body) = self.ask("/lock", &format!("key={key}")).await?;
        let token = body.split_once("\"token\":\"").and_then(|(_, rest)| rest.split_once('"'));
        match (status, token) {
            (200, Some((token, _))) => Ok(Token { key: key.to_owned(), token: token.to_owned() }),
            (200, None) if matches!(self.what, What::Nothing) => {
                Ok(Token { key: String::new(), token: String::new() })
            }
            _ => Err(format!("{status}: {body}").into()),
        }
    }

    async fn release(&self, Token { key, token }: Token) -> Result<()> {
        match self.ask("/unlock", &format!("key={key}&token={token}")).await? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("{status}: {body}").into()),
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1024) })
    }

    async fn ask(&mut self, method: &str, path: &str, form: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            form.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

/// Status and body, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(u16, String)>> {
    let text = str::from_utf8(bytes)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.ok_or("no content-length")?.parse()?;
    Ok(body.get(..length).map(|body| (status, body.to_owned())))
}
