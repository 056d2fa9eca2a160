//! Requests by chance, for the fuzzing of the lock service: half of them valid or
//! nearly so, the others anything. Sends nothing.

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

/// The bearer token that the service wants.
pub const SECRET: &str = "fuzz-s3cret";

/// What comes next, by chance: for the same seed and answers always the same.
pub struct Chance {
    rng: StdRng,
    /// Whose keys no other caller asks for, as a rule.
    caller: u64,
    /// What was asked for last, and the last lock with its token.
    asked: String,
    held: (String, String),
}

impl Chance {
    pub fn new(seed: u64, caller: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(caller));
        Self { rng, caller, asked: String::new(), held: Default::default() }
    }

    /// Takes the token out of an answer, if there is one.
    pub fn learn(&mut self, body: Option<&str>) {
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

    /// The bytes of the next request.
    pub fn request(&mut self) -> Vec<u8> {
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
