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

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    http_chance::{Chance, SECRET},
    program::Program,
    support::{LIMIT, assert_no_keys, start, within},
};

/// How many ask at once, and how often each of them where no time is said.
const CALLERS: u64 = 8;
const REQUESTS: u64 = 500;

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
            let mut chance = Chance::new(seed, caller);
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
