//! `/openapi.json` tells the truth: its routes are the router's, its answers
//! those that are given, and clients can be generated from it.

use std::collections::{BTreeMap, BTreeSet};

use redlock_quorum::testing::Cluster;
use serde_json::Value;

use crate::{
    http_stand::{Answer, FORM, Served, send, settings},
    support::{finish, run_on, start},
};

/// What is served for people, which no client is generated for.
const PAGE: [&str; 4] = ["/", "/page.css", "/page.js", "/v1/events"];

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

async fn served(cluster: &Cluster) -> (Served, Value) {
    let served = Served::with(cluster, settings().max_waiters(1)).await;
    let answer = served.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.value();
    (served, document)
}

/// Path, method and operation of each.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            all.push((path.as_str(), method.as_str(), operation));
        }
    }
    all
}

/// All values at `name`, however deep.
fn all_at<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(name));
            fields.values().for_each(|value| all_at(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| all_at(value, name, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_a_whole_openapi_3_1_document() {
    let cluster = start(1).await;
    let (served, document) = served(&cluster).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{document}");
    for field in ["title", "version", "description"] {
        assert!(document["info"][field].is_string(), "{field}");
    }
    let mut references = Vec::new();
    all_at(&document, "$ref", &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let path = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(path).is_some(), "{path} is nowhere");
    }
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}: twice");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{what}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)));
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_path: Vec<_> = parameters.filter(|p| p["in"] == "path").collect();
        assert_eq!(in_path.len(), path.matches('{').count(), "{what}");
        assert!(in_path.iter().all(|p| p["required"] == true), "{what}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(status.parse::<u16>().is_ok_and(|s| (200..600).contains(&s)), "{what}");
            assert!(response["description"].is_string(), "{what}: {status}");
        }
    }
    let key = &document["components"]["schemas"]["LockBody"];
    assert_eq!(key["required"], serde_json::json!(["key"]), "{key}");
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn its_routes_are_those_of_the_router() {
    let cluster = start(1).await;
    let (served, document) = served(&cluster).await;
    // The router has no list of them, but shows itself.
    let shown = format!("{:?}", served.service.router());
    let routed = shown.split('"').filter(|text| text.starts_with('/'));
    // The fallback is one of axum's own.
    let routed: BTreeSet<_> = routed.filter(|text| !text.contains("__private")).collect();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    let page: BTreeSet<_> = PAGE.into_iter().collect();
    assert_eq!(routed.difference(&page).copied().collect::<BTreeSet<_>>(), documented);

    let all: Vec<_> = operations(&document).iter().map(|(p, m, _)| (*p, *m)).collect();
    for path in documented {
        for method in METHODS {
            let real = path.replace("{key}", "a");
            let answer = send(served.request(&method.to_uppercase(), &real)).await;
            let is_there = !matches!(answer.status, 404 | 405);
            assert_eq!(is_there, all.contains(&(path, method)), "{method} {path}: {answer:?}");
        }
    }
    // What was taken to see that it can be.
    run_on(cluster.nodes(), "DEL a").await;
    finish(&served.redlock, &cluster).await;
}

#[tokio::test]
async fn every_answer_it_tells_of_is_given_and_no_other() {
    let cluster = start(3).await;
    let (open, document) = served(&cluster).await;
    let guarded = Served::with(&cluster, settings().bearer_token("s3cret")).await;
    let mut seen: BTreeMap<(&str, &str), BTreeSet<u16>> = BTreeMap::new();
    for (path, method, operation) in operations(&document) {
        let real = path.replace("{key}", "job");
        let request = |served: &Served| served.request(&method.to_uppercase(), &real);
        let mut answers = vec![send(request(&guarded)).await];
        let elsewhere = request(&open).header("origin", "https://evil.example");
        answers.push(send(elsewhere.header("sec-fetch-site", "cross-site")).await);
        if path != "/healthz" && path != "/openapi.json" && path != "/metrics" {
            answers.extend(bad(&open, path, method).await);
        }
        for answer in answers {
            check(&document, operation, &answer);
            seen.entry((path, method)).or_default().insert(answer.status);
        }
    }
    good_and_busy(&open, &document, &mut seen).await;
    cluster.nodes()[0].kill().await.unwrap();
    cluster.nodes()[1].kill().await.unwrap();
    for (path, method, operation) in operations(&document) {
        let answer = ask(&open, path, method, "t", "").await;
        check(&document, operation, &answer);
        seen.entry((path, method)).or_default().insert(answer.status);
    }
    for (path, method, operation) in operations(&document) {
        let told = operation["responses"].as_object().unwrap().keys();
        let told: BTreeSet<u16> = told.map(|status| status.parse().unwrap()).collect();
        assert_eq!(seen[&(path, method)], told, "{method} {path}");
    }
}

/// Asks for the lock `job`, by whatever endpoint, with more fields if there may
/// be any.
async fn ask(served: &Served, path: &str, method: &str, token: &str, more: &str) -> Answer {
    let real = path.replace("{key}", "job");
    let request = served.request(&method.to_uppercase(), &real).header("lock-token", token);
    match (path, method) {
        ("/lock" | "/unlock", _) => {
            let body = format!("key=job{more}");
            send(request.header("content-type", FORM).body(body)).await
        }
        (_, "post" | "put") if !more.is_empty() => {
            let (name, value) = more.trim_start_matches('&').split_once('=').unwrap();
            let body = format!(r#"{{"{name}":{value}}}"#);
            send(request.header("content-type", "application/json").body(body)).await
        }
        _ => send(request).await,
    }
}

/// What each may be asked wrongly.
async fn bad(served: &Served, path: &str, method: &str) -> Vec<Answer> {
    let method = method.to_uppercase();
    let real = path.replace("{key}", "job");
    let token = |path: &str| served.request(&method, path).header("lock-token", "t");
    let large = "x".repeat(17 * 1024);
    let mut answers = Vec::new();
    if path.contains("{key}") {
        answers.push(send(token(&path.replace("{key}", "%"))).await);
        answers.push(send(token(&path.replace("{key}", &"k".repeat(1025)))).await);
    } else if path != "/readyz" {
        answers.push(send(token(&real).header("content-type", FORM).body("key=")).await);
        answers.push(send(token(&real).header("content-type", FORM).body("key=%")).await);
    }
    if matches!(&*method, "POST" | "PUT") {
        let json = token(&real).header("content-type", "application/json");
        answers.push(send(json.body(large)).await);
        answers.push(send(token(&real).header("content-type", "text/plain").body("x")).await);
    }
    answers
}

/// Each with success, and as it is when the lock is not to be had.
async fn good_and_busy<'a>(
    served: &Served,
    document: &'a Value,
    seen: &mut BTreeMap<(&'a str, &'a str), BTreeSet<u16>>,
) {
    let all = operations(document);
    let mut token = String::from("t");
    let lock = "/v1/locks/{key}";
    for (path, method, more) in [
        ("/unlock", "post", ""),
        (lock, "put", ""),
        (lock, "delete", ""),
        (lock, "post", ""),
        (lock, "get", ""),
        (lock, "post", ""),
        (lock, "put", "&ttl_ms=60000"),
        (lock, "delete", ""),
        (lock, "post", "&fenced=true"),
        (lock, "put", ""),
        (lock, "delete", ""),
        ("/lock", "post", "&fenced=true"),
        ("/unlock", "post", ""),
        ("/lock", "post", "&ttl_ms=600000"),
        ("/lock", "post", ""),
        ("/lock", "post", "WAIT"),
        (lock, "post", "WAIT"),
        ("/unlock", "post", ""),
        ("/readyz", "get", ""),
        ("/metrics", "get", ""),
        ("/healthz", "get", ""),
        ("/openapi.json", "get", ""),
    ] {
        let answer = if more == "WAIT" {
            let waiting = served.wait_for("job", 1).await;
            let answer = ask(served, path, method, &token, "&wait_ms=1").await;
            waiting.abort();
            served.shows("redlock_waiting 0").await;
            answer
        } else {
            ask(served, path, method, &token, more).await
        };
        if answer.status == 200 && method == "post" && path != "/unlock" {
            token = answer.token();
        }
        let at = |(p, m, operation): &(&'a str, &'a str, &'a Value)| {
            (*p == path && *m == method).then_some((*p, *m, *operation))
        };
        let (path, method, operation) = all.iter().find_map(at).unwrap();
        check(document, operation, &answer);
        seen.entry((path, method)).or_default().insert(answer.status);
    }
}

/// The answer is one of those that the operation has: its type, and of its body
/// each field, and what is required.
fn check(document: &Value, operation: &Value, answer: &Answer) {
    let what = format!("{}: {answer:?}", operation["operationId"]);
    let told = &operation["responses"][answer.status.to_string()];
    assert!(told.is_object(), "not told of: {what}");
    if let Some(headers) = told["headers"].as_object() {
        for (name, header) in headers {
            let may_lack = header["schema"]["type"].to_string().contains("null");
            assert!(may_lack || answer.headers.contains_key(name), "{name}: {what}");
        }
    }
    let Some(content) = told["content"].as_object() else {
        return assert_eq!(answer.body, "", "{what}");
    };
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = &content.get(kind).unwrap_or_else(|| panic!("{kind}: {what}"))["schema"];
    let Some(name) = schema["$ref"].as_str() else { return };
    let schema = document.pointer(name.trim_start_matches('#')).unwrap();
    let fields = schema["properties"].as_object().unwrap();
    let value = answer.value();
    for (name, value) in value.as_object().unwrap() {
        let told = fields.get(name).unwrap_or_else(|| panic!("{name}: {what}"));
        let kinds = told["type"].to_string();
        let kind = match value {
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Array(_) => "array",
            _ => panic!("{what}"),
        };
        assert!(kinds.contains(kind), "{name} is {kinds}: {what}");
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{name}: {what}");
    }
}
