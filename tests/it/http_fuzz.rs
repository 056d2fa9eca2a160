//! Requests by chance to the real program: valid ones, ones that are nearly so,
//! and garbage. None of them makes it panic, none is answered 500 but by what
//! the old unlock answers so, and when all is over no key is left.
//!
//! `REDLOCK_FUZZ_SECONDS` says for how long, `REDLOCK_FUZZ_SEED` with which seed;
//! without, it is a few thousand requests, always others.

#![expect(clippy::disallowed_methods, reason = "how long it goes on is no claim")]

use std::{
    env, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    program::Program,
    support::{LIMIT, assert_no_keys, start, within},
};

/// How many ask at once, and how often each of them where no time is said.
const CALLERS: u64 = 8;
const REQUESTS: u64 = 500;

const SECRET: &str = "fuzz-s3cret";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_it_panic_or_say_that_it_failed() {
    let cluster = start(3).await;
    let flags =
        ["--max-ttl", "2s", "--ttl", "1s", "--max-wait", "50ms", "--allow-tokenless-unlock"];
    let environment = [("REDLOCK_BEARER_TOKEN", SECRET)];
    let served = Program::start(&cluster, &flags, &environment).await;
    let seed = number("REDLOCK_FUZZ_SEED").unwrap_or_else(rand::random);
    println!("REDLOCK_FUZZ_SEED={seed}");
    let seconds = number("REDLOCK_FUZZ_SECONDS");
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let address = served.address();
        callers.spawn(async move {
            let mut chance = Chance::new(seed.wrapping_add(caller));
            let mut asked = 0;
            let goes_on = |asked| match seconds {
                Some(seconds) => begun.elapsed().as_secs() < seconds,
                None => asked < REQUESTS,
            };
            let mut done = 0;
            while goes_on(asked) {
                let request = chance.request();
                let answer = within(LIMIT, "an answer", ask(address, &request)).await;
                let body = check(&request, &answer);
                done += u64::from(body.is_some());
                chance.learn(body.as_deref());
                asked += 1;
            }
            (asked, done)
        });
    }
    let done = callers.join_all().await;
    let (asked, done) = done.into_iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{asked} requests, {done} of them locked, extended or unlocked");
    assert!(done > asked / 20, "too few get past the checks");
    let health = ask(served.address(), b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(health.starts_with(b"HTTP/1.0 200"), "{}", health.escape_ascii());
    let log = served.stderr();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    assert!(served.terminate().await.success());
    assert_no_keys(&cluster).await;
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// How long it may take until it is taken for one that the service waits for the
/// rest of: above what the service itself may wait for a lock.
const REST: Duration = Duration::from_millis(150);

/// Sends it and reads until the connection ends, or an event has come of those
/// that do not.
async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // It may be refused, and hung up on, before it is read to its end.
    let _ = stream.write_all(request).await;
    let mut is_all = false;
    loop {
        let read = match timeout(REST, stream.read_buf(&mut answer)).await {
            Ok(read) => read,
            Err(_) if is_all => continue,
            Err(_) => {
                is_all = true;
                // There is no more to come.
                let _ = stream.shutdown().await;
                continue;
            }
        };
        match read {
            Ok(0) => return answer,
            Ok(_) if find(&answer, b"text/event-stream") && find(&answer, b"data:") => {
                return answer;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("{error} after {}", answer.escape_ascii()),
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What was answered, if something was locked, extended or unlocked.
fn check(request: &[u8], answer: &[u8]) -> Option<String> {
    let told = || format!("{}\n---\n{}", request.escape_ascii(), answer.escape_ascii());
    let text = String::from_utf8_lossy(answer);
    assert!(!text.contains(SECRET), "{}", told());
    // Where the request could not be read to its end, there may be no answer.
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        assert!(answer.is_empty(), "{}", told());
        return None;
    };
    let status: u16 =
        head.split(' ').nth(1).unwrap_or_else(|| panic!("{}", told())).parse().unwrap();
    if status >= 500 && status != 503 {
        assert_eq!(status, 500, "{}", told());
        assert_eq!(body, r#"{"code":2,"message":"release lock failed"}"#, "{}", told());
    }
    let is_done = status == 204 || body.contains("lock success") || body.contains("validity_ms");
    is_done.then(|| body.to_owned())
}

/// What comes next, by chance: for the same seed and answers always the same.
struct Chance {
    rng: StdRng,
    /// Whose keys no other caller asks for, as a rule.
    caller: u64,
    /// What was asked for last, and the last lock with its token.
    asked: String,
    held: (String, String),
}

impl Chance {
    fn new(seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, caller: seed % CALLERS, asked: String::new(), held: Default::default() }
    }

    fn learn(&mut self, body: Option<&str>) {
        let token = body.and_then(|body| body.split_once(r#""token":""#)?.1.split('"').next());
        if let Some(token) = token {
            self.held = (self.asked.clone(), token.to_owned());
        }
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.rng.random_range(0..from.len())]
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_ratio(1, count)
    }

    fn garbage(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.rng.random_range(0..=most)];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn request(&mut self) -> Vec<u8> {
        if self.one_in(2) {
            return self.sane();
        }
        let method =
            self.pick(&["POST", "POST", "POST", "PUT", "DELETE", "GET", "HEAD", "PATCH", "BREW"]);
        let path = self.path();
        let body = self.body();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: fuzz\r\nconnection: close\r\n");
        head.push_str(self.pick(&[
            "content-type: application/x-www-form-urlencoded\r\n",
            "content-type: application/x-www-form-urlencoded\r\n",
            "content-type: application/json\r\n",
            "content-type: application/json; charset=utf-16\r\n",
            "content-type: multipart/form-data; boundary=x\r\n",
            "content-type: \r\n",
            "",
        ]));
        let mut request = head.into_bytes();
        if !self.one_in(8) {
            request.extend(format!("authorization: Bearer {SECRET}\r\n").bytes());
        }
        self.headers(&mut request);
        let length = if self.one_in(20) { self.rng.random_range(0..100_000) } else { body.len() };
        if !self.one_in(30) {
            request.extend(format!("content-length: {length}\r\n").bytes());
        }
        request.extend(b"\r\n");
        request.extend(body);
        if self.one_in(6) {
            self.damage(&mut request);
        }
        request
    }

    /// One that may succeed, with something odd in it now and then.
    fn sane(&mut self) -> Vec<u8> {
        let own = format!("{}-{}", self.caller, self.rng.random_range(0..6));
        let key = if self.one_in(8) { self.key() } else { own };
        let (held, mut token) = self.held.clone();
        if self.one_in(8) {
            token.push('x');
        }
        let number = self.number();
        let (method, path, body) = match self.rng.random_range(0..8) {
            0 | 1 => ("POST", "/lock".to_owned(), format!("key={key}")),
            2 => ("POST", "/lock".to_owned(), format!("key={key}&wait_ms={number}")),
            3 | 4 => ("POST", "/unlock".to_owned(), format!("key={held}&token={token}")),
            5 => ("PUT", format!("/v1/locks/{held}"), String::new()),
            6 => ("DELETE", format!("/v1/locks/{held}"), String::new()),
            _ => ("POST", format!("/v1/locks/{key}"), String::new()),
        };
        self.asked = key;
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: fuzz\r\nconnection: close\r\n\
             authorization: Bearer {SECRET}\r\ncontent-length: {length}\r\n"
        );
        if length > 0 {
            request.push_str("content-type: application/x-www-form-urlencoded\r\n");
        } else {
            request.push_str(&format!("lock-token: {token}\r\n"));
        }
        format!("{request}\r\n{body}").into_bytes()
    }

    fn damage(&mut self, request: &mut Vec<u8>) {
        for _ in 0..self.rng.random_range(1..4) {
            let place = self.rng.random_range(0..request.len());
            match self.rng.random_range(0..3) {
                0 => request[place] = self.rng.random(),
                1 => drop(request.remove(place)),
                _ => request.insert(place, self.rng.random()),
            }
        }
    }

    fn path(&mut self) -> String {
        let key = self.key();
        match self.rng.random_range(0..12) {
            0..4 => "/lock".to_owned(),
            4..6 => "/unlock".to_owned(),
            6..10 => format!("/v1/locks/{key}"),
            10 => format!("/v1/locks/{key}/{key}?{key}"),
            _ => self
                .pick(&[
                    "/",
                    "/page.css",
                    "/page.js",
                    "/metrics",
                    "/healthz",
                    "/readyz",
                    "/openapi.json",
                    "/v1/events",
                    "/v1/locks/",
                    "/v1/locks",
                    "//lock",
                    "/lock/",
                    "*",
                    "/%",
                    "/lock?key=a",
                ])
                .to_owned(),
        }
    }

    /// Percent-encoded, or wrongly so.
    fn key(&mut self) -> String {
        match self.rng.random_range(0..8) {
            0..4 => self.pick(&["a", "b", "c"]).to_owned(),
            4 => self.garbage(8).iter().map(|byte| format!("%{byte:02X}")).collect(),
            5 => "x".repeat(self.rng.random_range(0..1100)),
            6 => self
                .pick(&["%", "%G0", "%2", "a%2Fb", "%00", "%FF", "..", "%2e%2e", "+", "a+b"])
                .to_owned(),
            _ => String::new(),
        }
    }

    fn number(&mut self) -> String {
        match self.rng.random_range(0..6) {
            0..3 => self.rng.random_range(0..2500).to_string(),
            3 => self.rng.random::<u64>().to_string(),
            4 => self
                .pick(&[
                    "-1",
                    "1e3",
                    "1.5",
                    "",
                    "ten",
                    "0x10",
                    "99999999999999999999999",
                    "null",
                    "\u{663}",
                ])
                .to_owned(),
            _ => "20".to_owned(),
        }
    }

    fn token(&mut self) -> Vec<u8> {
        match self.rng.random_range(0..4) {
            0 => self.garbage(300),
            1 => b"AAAAAAAAAAAAAAAAAAAAAA".to_vec(),
            2 => Vec::new(),
            _ => b"t".to_vec(),
        }
    }

    fn body(&mut self) -> Vec<u8> {
        let fields: Vec<_> = (0..self.rng.random_range(0..5)).map(|_| self.field()).collect();
        match self.rng.random_range(0..10) {
            0..5 => fields
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("&"),
            5..8 => {
                let pair = |(name, value): &(String, String)| match value.parse::<u64>() {
                    Ok(number) => format!("{name:?}:{number}"),
                    Err(_) => format!("{name:?}:{value:?}"),
                };
                format!("{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(","))
            }
            8 => return self.garbage(200),
            _ => self
                .pick(&[
                    "",
                    "{",
                    "[]",
                    "null",
                    "{\"key\":{}}",
                    "key",
                    "=",
                    "&&&",
                    "key=%",
                    "\u{feff}{}",
                ])
                .to_owned(),
        }
        .into_bytes()
    }

    fn field(&mut self) -> (String, String) {
        match self.rng.random_range(0..9) {
            0..4 => ("key".to_owned(), self.key()),
            4 => ("ttl_ms".to_owned(), self.number()),
            5 => ("wait_ms".to_owned(), self.number()),
            6 => ("owner".to_owned(), "o".repeat(self.rng.random_range(0..300))),
            7 => ("token".to_owned(), String::from_utf8_lossy(&self.token()).into_owned()),
            _ => (self.pick(&["ttl", "KEY", "", "key%00", "a"]).to_owned(), self.number()),
        }
    }

    fn headers(&mut self, request: &mut Vec<u8>) {
        for _ in 0..self.rng.random_range(0..3) {
            let (name, value) = match self.rng.random_range(0..7) {
                0..3 => (b"lock-token".to_vec(), self.token()),
                3 => (b"origin".to_vec(), self.garbage(20)),
                4 => (b"sec-fetch-site".to_vec(), self.pick(&["cross-site", "none", "x"]).into()),
                5 => (b"accept".to_vec(), self.garbage(20)),
                _ => (self.garbage(10), self.garbage(40)),
            };
            let line = [&name[..], b": ", &value, b"\r\n"].concat();
            request.extend(line);
        }
    }
}
