//! Bad input, each with its status, its code or kind, and what it says. Nothing
//! of it reaches a server.

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::{
    http_stand::{Answer, FORM, Served, send, settings},
    support::{asked, finish, start},
};

const BEARER: &str = "s3cret-bearer";

/// A request, with the right bearer unless it has one of its own.
struct Bad {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Bad {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    fn body(mut self, kind: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self.with("content-type", kind)
    }

    async fn send(&self, served: &Served) -> Answer {
        let mut request = served.request(self.method, &self.path).body(self.body.clone());
        if !self.headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(BEARER);
        }
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).unwrap();
            request = request.header(HeaderName::from_static(name), value);
        }
        send(request).await
    }
}

fn form(path: &str, body: impl AsRef<[u8]>) -> Bad {
    Bad::new("POST", path).body(FORM, body)
}

fn json(path: &str, body: impl AsRef<[u8]>) -> Bad {
    Bad::new("POST", path).body("application/json", body)
}

fn v1(method: &'static str) -> Bad {
    Bad::new(method, "/v1/locks/job")
}

/// What the drop-in endpoints refuse: the code, and a part of the message.
fn drop_in() -> Vec<(Bad, u16, u64, &'static str)> {
    let long = "k".repeat(1025);
    let large = "k".repeat(17 * 1024);
    let lock = |body: &str| form("/lock", format!("key=job&{body}"));
    vec![
        (form("/lock", ""), 400, 5, "the field key is missing"),
        (form("/unlock", "token=t"), 400, 5, "the field key is missing"),
        (json("/lock", "{}"), 400, 5, "the field key is missing"),
        (json("/lock", ""), 400, 5, "the field key is missing"),
        (form("/lock", "key="), 422, 5, "key is empty"),
        (form("/unlock", "key=&token=t"), 422, 5, "key is empty"),
        (form("/lock", format!("key={long}")), 422, 5, "1025 bytes"),
        (form("/unlock", format!("key={long}&token=t")), 422, 5, "1025 bytes"),
        (lock("ttl_ms=0"), 422, 5, "ttl_ms is 0: it must be from 10 to 3600000"),
        (lock("ttl_ms=9"), 422, 5, "ttl_ms is 9"),
        (lock("ttl_ms=3600001"), 422, 5, "ttl_ms is 3600001"),
        (lock("ttl_ms=18446744073709551615"), 422, 5, "it must be from 10 to 3600000"),
        (lock("ttl_ms=99999999999999999999"), 422, 5, "ttl_ms must be a whole number"),
        (lock("ttl_ms=abc"), 422, 5, "ttl_ms must be a whole number"),
        (lock("ttl_ms=-1"), 422, 5, "ttl_ms must be a whole number"),
        (lock("wait_ms=60001"), 422, 5, "wait_ms is 60001: it must be at most 60000"),
        (lock("wait_ms=1e3"), 422, 5, "wait_ms must be a whole number"),
        (lock(&format!("owner={}", &large[..257])), 422, 5, "it has 257 bytes"),
        (lock("owner=%FF"), 422, 5, "owner must be UTF-8"),
        (lock("tll_ms=10"), 422, 5, "unknown field `tll_ms`: the fields are key, ttl_ms"),
        (form("/unlock", "key=a&ttl_ms=10"), 422, 5, "the fields are key, token"),
        (lock("key=job"), 400, 5, "the field key is there twice"),
        (lock("ttl_ms=10&ttl_ms=10"), 400, 5, "the field ttl_ms is there twice"),
        (form("/lock", "key=%"), 400, 5, "percent sign"),
        (form("/lock", "key=%4x"), 400, 5, "percent sign"),
        (json("/lock", "{"), 400, 5, "not the JSON"),
        (json("/lock", "key=job"), 400, 5, "not the JSON"),
        (json("/lock", b"{\"key\":\"\xff\"}"), 400, 5, "not the JSON"),
        (json("/lock", r#"{"key":"a"} {}"#), 400, 5, "trailing characters"),
        (json("/lock", r#"{"key":"a","key":"a"}"#), 400, 5, "duplicate field `key`"),
        (json("/lock", "[1]"), 400, 5, "an object"),
        (json("/lock", r#"{"key":7}"#), 422, 5, "expected a string"),
        (json("/lock", r#"{"key":""}"#), 422, 5, "key is empty"),
        (json("/lock", r#"{"key":"a","ttl_ms":"10"}"#), 422, 5, "expected u64"),
        (json("/lock", r#"{"key":"a","ttl_ms":-1}"#), 422, 5, "expected u64"),
        (json("/lock", r#"{"key":"a","ttl_ms":1e30}"#), 422, 5, "expected u64"),
        (json("/lock", r#"{"key":"a","wait_ms":1.5}"#), 422, 5, "expected u64"),
        (json("/lock", r#"{"key":"a","tll_ms":10}"#), 422, 5, "expected one of `key`, `ttl_ms`"),
        (json("/lock", "[".repeat(16_000)), 400, 5, "an object"),
        (Bad::new("POST", "/lock"), 415, 5, "Content-Type: application/x-www-form-urlencoded"),
        (Bad::new("POST", "/lock").body("text/plain", "key=a"), 415, 5, "send a form"),
        (Bad::new("POST", "/lock").body("\u{fc}", "key=a"), 415, 5, "send a form"),
        (form("/lock", format!("key={large}")), 413, 5, "at most 16384 bytes"),
        (json("/unlock", format!("{{\"key\":\"{large}\"}}")), 413, 5, "at most 16384 bytes"),
        (Bad::new("GET", "/lock"), 405, 5, "GET is not possible here"),
        (Bad::new("DELETE", "/unlock"), 405, 5, "DELETE is not possible here"),
        (form("/unlock", "key=job"), 400, 3, "token required"),
        (form("/unlock", "key=job&token="), 400, 3, "token required"),
        (form("/unlock", "key=job").with("lock-token", ""), 400, 3, "token required"),
        (form("/unlock", "key=a&token=a").with("lock-token", "b"), 400, 5, "two different tokens"),
        (form("/unlock", format!("key=a&token={}", &large[..257])), 422, 5, "1 to 256 bytes"),
        (form("/lock", "key=a").with("authorization", ""), 401, 7, "unauthorized"),
        (form("/lock", "key=a").with("authorization", "Bearer wrong"), 401, 7, "bearer token"),
        (form("/lock", "key=a").with("authorization", BEARER), 401, 7, "unauthorized"),
        (form("/unlock", "").with("authorization", b"Bearer \xff\x80"), 401, 7, "unauthorized"),
        (form("/lock", "key=a").with("origin", "https://evil.example"), 403, 8, "another site"),
        (form("/lock", "key=a").with("sec-fetch-site", "cross-site"), 403, 8, "another site"),
    ]
}

/// A stream that a page of another site asks for, which nobody else would get then.
fn events(dest: &str) -> Bad {
    let bad = Bad::new("GET", "/v1/events").with("sec-fetch-site", "cross-site");
    bad.with("sec-fetch-dest", dest)
}

/// What the other paths refuse: the kind, and a part of the detail.
fn others() -> Vec<(Bad, u16, &'static str, &'static str)> {
    let long = "k".repeat(257);
    let json = |method, body: &str| v1(method).body("application/json", body);
    vec![
        (Bad::new("POST", format!("/v1/locks/{}", "k".repeat(1025))), 422, "invalid", "1025 bytes"),
        (Bad::new("GET", format!("/v1/locks/{}", "k".repeat(1025))), 422, "invalid", "1025 bytes"),
        (Bad::new("POST", "/v1/locks/a%2"), 400, "invalid", "percent sign"),
        (Bad::new("GET", "/v1/locks/%zz"), 400, "invalid", "percent sign"),
        (Bad::new("POST", "/v1/locks/"), 404, "not_found", "/openapi.json"),
        (Bad::new("POST", "/v1/locks/a/b"), 404, "not_found", "%2F"),
        (Bad::new("GET", "/nothing"), 404, "not_found", "/openapi.json"),
        (events("empty"), 403, "cross_site", "another site"),
        (events("iframe"), 403, "cross_site", "another site"),
        (v1("PATCH"), 405, "method_not_allowed", "PATCH is not possible here"),
        (Bad::new("POST", "/healthz"), 405, "method_not_allowed", "header Allow"),
        (Bad::new("POST", "/metrics"), 405, "method_not_allowed", "header Allow"),
        (json("POST", r#"{"ttl_ms":0}"#), 422, "invalid", "from 10 to 3600000"),
        (json("POST", r#"{"wait_ms":60001}"#), 422, "invalid", "at most 60000"),
        (json("POST", r#"{"key":"a"}"#), 422, "invalid", "expected one of `ttl_ms`, `wait_ms`"),
        (json("POST", r#"{"ttl_ms":10,"ttl_ms":10}"#), 400, "invalid", "duplicate field"),
        (json("POST", "[]"), 400, "invalid", "an object"),
        (json("POST", "{"), 400, "invalid", "not the JSON"),
        (json("POST", &" ".repeat(17 * 1024)), 413, "too_large", "16384"),
        (
            v1("POST").body(FORM, "ttl_ms=10"),
            415,
            "unsupported_media_type",
            "send no body, or JSON",
        ),
        (v1("PUT"), 400, "token_required", "Lock-Token"),
        (v1("DELETE"), 400, "token_required", "Lock-Token"),
        (v1("DELETE").with("lock-token", ""), 400, "token_required", "Lock-Token"),
        (v1("DELETE").with("lock-token", &long), 422, "invalid", "1 to 256 bytes"),
        (
            v1("PUT").with("lock-token", "a").with("lock-token", "b"),
            400,
            "invalid",
            "two different",
        ),
        (json("PUT", r#"{"ttl_ms":9}"#).with("lock-token", "a"), 422, "invalid", "ttl_ms is 9"),
        (json("PUT", r#"{"wait_ms":9}"#).with("lock-token", "a"), 422, "invalid", "`ttl_ms`"),
        (v1("GET").with("authorization", "Bearer"), 401, "unauthorized", "bearer token"),
        (v1("POST").with("authorization", "Basic czNjcmV0"), 401, "unauthorized", "bearer token"),
        (Bad::new("GET", "/metrics").with("authorization", ""), 401, "unauthorized", "bearer"),
        (Bad::new("GET", "/nothing").with("authorization", ""), 401, "unauthorized", "bearer"),
        (v1("DELETE").with("origin", "null"), 403, "cross_site", "another site"),
    ]
}

#[tokio::test]
async fn every_bad_input_has_its_status_and_says_what_to_change() {
    let cluster = start(1).await;
    let served = Served::with(&cluster, settings().bearer_token(BEARER)).await;
    let before = asked(&cluster).await;
    for (bad, status, code, words) in drop_in() {
        let answer = bad.send(&served).await;
        let said = (bad.method, &bad.path, String::from_utf8_lossy(&bad.body), &answer);
        assert_eq!(answer.status, status, "{said:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{said:?}");
        let value = answer.value();
        assert_eq!(value["code"], code, "{said:?}");
        assert!(value["message"].as_str().unwrap().contains(words), "{said:?}, not {words}");
        common(&answer);
    }
    for (bad, status, kind, words) in others() {
        let answer = bad.send(&served).await;
        let said = (bad.method, &bad.path, &answer);
        assert_eq!(answer.status, status, "{said:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{said:?}");
        let value = answer.value();
        assert_eq!(value["kind"], kind, "{said:?}");
        assert_eq!(value["type"], format!("urn:redlock-quorum:{kind}"), "{said:?}");
        assert_eq!(value["status"], status, "{said:?}");
        assert!(value["detail"].as_str().unwrap().contains(words), "{said:?}, not {words}");
        common(&answer);
    }
    assert_eq!(asked(&cluster).await, before, "no server was asked to change anything");
    finish(&served.redlock, &cluster).await;
}

fn common(answer: &Answer) {
    assert_eq!(answer.header("www-authenticate"), (answer.status == 401).then_some("Bearer"));
    assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{answer:?}");
    assert!(!answer.body.contains(BEARER));
}

#[tokio::test]
async fn a_wrong_token_and_that_of_another_key_release_nothing() {
    let cluster = start(3).await;
    let served = Served::new(&cluster).await;
    let (a, b) = (served.lock("a").await, served.lock("b").await);
    for token in [&*b, "wrong", "%FF%00", &"x".repeat(256)] {
        let answer = served.form("/unlock", format!("key=a&token={token}")).await;
        answer.is(500, r#"{"code":2,"message":"release lock failed"}"#);
    }
    let odd = HeaderValue::from_bytes(b"\xff\x80 \xc3").unwrap();
    for method in ["PUT", "DELETE"] {
        for token in [HeaderValue::from_str(&b).unwrap(), odd.clone()] {
            let request = served.request(method, "/v1/locks/a").header("lock-token", token);
            let answer = send(request).await;
            assert_eq!((answer.status, &answer.value()["kind"]), (409, &json!("lost")));
        }
    }
    for (key, token) in [("a", a), ("b", b)] {
        let unlocked = served.form("/unlock", format!("key={key}&token={token}")).await;
        assert_eq!(unlocked.status, 200, "it was held all along: {unlocked:?}");
    }
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn a_page_of_another_site_may_send_a_visitor_here_and_see_what_is_open() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    for (path, dest, status) in [
        ("/healthz", "empty", 200),
        ("/", "document", 200),
        ("/v1/locks/a", "document", 200),
        ("/v1/locks/a", "image", 403),
        ("/metrics", "script", 403),
        ("/v1/events", "document", 403),
    ] {
        let asked = served.request("GET", path).header("sec-fetch-site", "cross-site");
        let answer = send(asked.header("sec-fetch-dest", dest)).await;
        assert_eq!(answer.status, status, "{path} for {dest}: {answer:?}");
    }
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn the_right_bearer_opens_and_probes_need_none() {
    let cluster = start(1).await;
    let served = Served::with(&cluster, settings().bearer_token(BEARER)).await;
    let lock = served.request("POST", "/lock").header("content-type", FORM).body("key=a");
    let taken = send(lock.bearer_auth(BEARER)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        let answer = served.get(path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let address = cluster.nodes()[0].address();
        assert!(!answer.body.contains(&address), "who has no token sees no address: {answer:?}");
    }
    let ready = send(served.request("GET", "/readyz").bearer_auth(BEARER)).await.value();
    assert_eq!(ready["nodes"][0]["node"], cluster.nodes()[0].address(), "{ready}");
    assert_eq!(ready["nodes"][0]["role"], "master", "{ready}");
    let same = served
        .request("DELETE", "/v1/locks/a")
        .header("origin", format!("http://{}", served.address));
    let released = send(same.bearer_auth(BEARER).header("lock-token", taken.token())).await;
    assert_eq!(released.status, 204, "the service's own page may: {released:?}");
    finish(&served.redlock, &cluster).await;
}

/// Whoever owns a name can let it lead to his visitor's host: then page and service
/// are of one site, for the browser.
#[tokio::test]
async fn a_page_under_a_name_may_only_use_a_service_that_wants_a_token() {
    const NAME: &str = "rebound.example:5625";
    let cluster = start(1).await;
    let page = |served: &Served, key: &str| {
        let request = served.request("POST", "/lock").header("content-type", FORM);
        let request = request.header("host", NAME).header("origin", format!("http://{NAME}"));
        request.bearer_auth(BEARER).body(format!("key={key}"))
    };
    let open = Served::new(&cluster).await;
    let refused = send(page(&open, "a")).await;
    assert_eq!((refused.status, &refused.value()["code"]), (403, &json!(8)), "{refused:?}");
    assert!(refused.body.contains("bearer token"), "{refused:?}");
    let guarded = Served::with(&cluster, settings().bearer_token(BEARER)).await;
    let taken = send(page(&guarded, "b")).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let released = guarded.request("DELETE", "/v1/locks/b").bearer_auth(BEARER);
    assert_eq!(send(released.header("lock-token", taken.token())).await.status, 204);
    finish(&guarded.redlock, &cluster).await;
}

/// An alarm for trouble with the nodes must not ring for a caller's mistake.
#[tokio::test]
async fn what_cannot_be_asked_is_not_counted_as_no_quorum() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    let long = "x".repeat(1025);
    let token = |request: reqwest::RequestBuilder| request.header("lock-token", "t");
    for request in [
        served.request("POST", "/unlock").header("content-type", FORM).body("key=&token=t"),
        token(served.request("DELETE", &format!("/v1/locks/{long}"))),
        token(served.request("PUT", &format!("/v1/locks/{long}"))),
        served.request("POST", &format!("/v1/locks/{long}")),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    for family in ["release", "extend", "acquire"] {
        served.shows(&format!("redlock_{family}_total{{outcome=\"no_quorum\"}} 0")).await;
    }
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nothing() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"POST /lock HTTP/1.1\r\nhost: a\r\nlock-token: \x00\r\n\r\n",
        b"POST /lock HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/locks/\xff HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n\r\n",
    ] {
        let answer = served.answer_to(garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{answer}");
    }
    assert_eq!(served.get("/healthz").await.body, "ok\n");
    finish(&served.redlock, &cluster).await;
}
