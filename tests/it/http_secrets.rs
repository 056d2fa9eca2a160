//! No token in what anyone but its owner sees: not in the log, the metrics, the
//! probes, nor when a lock is looked at. And in the log no key, but at debug.

use crate::{
    http_stand::{FORM, Served, send, settings},
    printed::Printed,
    support::{finish, start},
};

const BEARER: &str = "b3arer-b3arer";
const KEY: &str = "s3cret-key";

/// All that can be done with a lock, with and without success.
async fn everything(served: &Served) -> Vec<String> {
    let request = |method: &str, path: &str| served.request(method, path).bearer_auth(BEARER);
    let form = |path: &str, body: String| {
        send(request("POST", path).header("content-type", FORM).body(body))
    };
    let path = format!("/v1/locks/{KEY}?key={KEY}");
    let taken = form("/lock", format!("key={KEY}&owner=me")).await;
    let token = taken.token();
    let mut said = Vec::new();
    for answer in [
        form("/lock", format!("key={KEY}")).await,
        form("/lock", format!("key={KEY}&wait_ms=20")).await,
        form("/unlock", format!("key={KEY}&token=wrong-{token}")).await,
        form("/unlock", format!("key={KEY}&tokken={token}")).await,
        send(request("GET", &path)).await,
        send(request("POST", &path)).await,
        send(request("PUT", &path).header("lock-token", &token)).await,
        send(request("DELETE", &path).header("lock-token", &token)).await,
        send(request("DELETE", &path).header("lock-token", &token)).await,
        served.form("/unlock", format!("key={KEY}&token={token}")).await,
    ] {
        assert!(!format!("{answer:?}").contains(&token), "{answer:?}");
        said.push(answer.status.to_string());
    }
    assert_eq!(said, ["409", "409", "500", "422", "200", "409", "200", "204", "409", "401"]);
    let again = form("/lock", format!("key={KEY}")).await.token();
    form("/unlock", format!("key={KEY}"))
        .await
        .is(200, r#"{"code":0,"message":"release lock success"}"#);
    let metrics = send(request("GET", "/metrics")).await.body;
    for secret in [KEY, BEARER, &token, &again] {
        assert!(!metrics.contains(secret), "{metrics}");
    }
    vec![token, again]
}

#[tokio::test]
async fn no_token_is_logged_at_any_level() {
    let printed = Printed::default();
    let _logging = printed.log(tracing::Level::TRACE);
    let cluster = start(3).await;
    let settings = settings().bearer_token(BEARER).allow_tokenless_unlock();
    let served = Served::with(&cluster, settings).await;
    printed.debug(&served.service);
    let tokens = everything(&served).await;
    assert_eq!(printed.lines_with(&["answered", "POST", "route=\"/lock\"", "status=409"]), 2);
    assert!(printed.contains("handed out"), "the log was captured");
    printed.assert_without(BEARER.as_bytes());
    for token in tokens {
        printed.assert_without(token.as_bytes());
    }
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn no_key_is_logged_at_info_and_the_old_failure_is_none() {
    let printed = Printed::default();
    let _logging = printed.log(tracing::Level::INFO);
    let cluster = start(3).await;
    let settings = settings().bearer_token(BEARER).allow_tokenless_unlock();
    let served = Served::with(&cluster, settings).await;
    everything(&served).await;
    printed.assert_without(KEY.as_bytes());
    assert_eq!(printed.lines_with(&["WARN", "unsafe"]), 1, "once, at the start");
    assert_eq!(printed.lines_with(&["INFO", "unsafe"]), 1, "at each use");
    assert_eq!(printed.lines_with(&["ERROR"]), 0);
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn the_metrics_are_those_that_are_documented() {
    let cluster = start(1).await;
    let served = Served::new(&cluster).await;
    let token = served.lock("job").await;
    served.form("/lock", "key=job").await;
    served.shows("redlock_handed_out 1").await;
    served.form("/unlock", format!("key=job&token={token}")).await;
    served.form("/unlock", format!("key=job&token={token}")).await;
    let answer = served.get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(kind));
    let node = cluster.nodes()[0].address();
    for line in [
        r#"redlock_acquire_total{outcome="acquired"} 1"#,
        r#"redlock_acquire_total{outcome="busy"} 1"#,
        r#"redlock_acquire_total{outcome="timed_out"} 0"#,
        r#"redlock_acquire_total{outcome="no_quorum"} 0"#,
        r#"redlock_acquire_total{outcome="too_many"} 0"#,
        r#"redlock_acquire_total{outcome="cancelled"} 0"#,
        r#"redlock_acquire_duration_seconds_count{outcome="acquired"} 1"#,
        r#"redlock_release_total{outcome="ok"} 1"#,
        r#"redlock_release_total{outcome="lost"} 1"#,
        r#"redlock_extend_total{outcome="ok"} 0"#,
        "redlock_waiting 0",
        "redlock_handed_out 0",
        &format!(r#"redlock_node_up{{node="{node}"}} 1"#),
        concat!("redlock_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# EOF",
    ] {
        let line = line.replace("0.0.0", "0.1.0");
        assert!(answer.body.lines().any(|shown| shown == line), "{line}: {}", answer.body);
    }
    assert!(answer.body.contains(&format!("redlock_node_latency_seconds{{node=\"{node}\"}} 0.")));
    finish(&served.redlock, &cluster).await;
}
