//! The live page, as one sees it in a browser.

use redlock_quorum::http::Settings;
use serde_json::{Value, json};

use crate::{
    page_browser::Browser,
    page_site::Site,
    support::{eventually, start},
};

/// A browser that shows the page of `site`, which is live.
async fn open(site: &Site) -> Browser {
    let browser = Browser::at(&site.url("/")).await;
    browser.sees("#link", |text| text == "Live").await;
    browser
}

/// What a reader sees of each row in a table's body, cell by cell.
async fn rows(browser: &Browser, table: &str) -> Vec<Vec<String>> {
    let script = "return Array.from(document.querySelectorAll(arguments[0] + ' tbody tr'))
        .filter((row) => row.checkVisibility())
        .map((row) => Array.from(row.cells, (cell) => cell.innerText))";
    serde_json::from_value(browser.run(script, json!(table)).await).unwrap()
}

/// Waits until a table's rows are as wanted, and gives them.
async fn until_rows(
    browser: &Browser,
    table: &str,
    wanted: impl Fn(&[Vec<String>]) -> bool,
) -> Vec<Vec<String>> {
    eventually(table, async || {
        let rows = rows(browser, table).await;
        if wanted(&rows) { Ok(rows) } else { Err(rows) }
    })
    .await
}

/// What is wrong in the browser's own eyes.
async fn assert_no_complaints(browser: &Browser) {
    assert_eq!(browser.log().await, [""; 0]);
}

/// The seconds in `4 min 3 s`.
fn seconds(span: &str) -> u64 {
    let words: Vec<_> = span.split(' ').collect();
    let parts = words.chunks(2).map(|part| {
        let unit = match part[1] {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            other => panic!("{other} in {span}"),
        };
        part[0].parse::<u64>().unwrap() * unit
    });
    parts.sum()
}

#[tokio::test]
async fn it_opens_and_shows_all_nodes_up_with_a_quorum() {
    let site = Site::start(5).await;
    let browser = open(&site).await;
    let headline = "Quorum: 5 of 5 nodes can vote, 3 are needed. 2 more may fail.";
    browser.sees("#state", |text| text == headline).await;
    let rows = rows(&browser, "#nodes").await;
    assert_eq!(rows.len(), 5);
    for (row, node) in rows.iter().zip(site.cluster.nodes()) {
        let [name, state, role, server, latency, error] = &row[..] else { panic!("{row:?}") };
        assert_eq!(*name, node.address());
        assert_eq!((&**state, &**role, &**error), ("up", "master", ""));
        assert!(server.starts_with("redis ") || server.starts_with("valkey "), "{server}");
        assert!(latency.ends_with(" ms") && !latency.starts_with("0.00"), "{latency}");
    }
    assert_eq!(browser.text("#none").await, "Nothing is held.");
    assert_eq!(browser.text("form").await, "", "no token is asked for");
    assert_no_complaints(&browser).await;
    site.end().await;
}

#[tokio::test]
async fn a_lock_of_another_client_comes_counts_down_and_goes() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    let form = [("key", "orders/2041"), ("owner", "billing"), ("ttl_ms", "600000")];
    let token = site.lock(&form).await;
    let rows = until_rows(&browser, "#locks", |rows| rows.len() == 1).await;
    assert_eq!(rows[0][..2], ["orders/2041", "billing"]);
    let before = seconds(&rows[0][2]);
    assert!((1..=600).contains(&before), "{rows:?}");
    until_rows(&browser, "#locks", |rows| seconds(&rows[0][2]) < before).await;

    // What ends first stands first.
    let sooner = site.lock(&[("key", "sooner"), ("ttl_ms", "300000")]).await;
    let rows = until_rows(&browser, "#locks", |rows| rows.len() == 2).await;
    assert_eq!(rows[0][..2], ["sooner", ""]);
    assert_eq!(browser.text("#count").await, "(2)");

    site.unlock("orders/2041", &token).await;
    site.unlock("sooner", &sooner).await;
    browser.sees("#none", |text| text == "Nothing is held.").await;
    assert_eq!(browser.texts("#locks").await, [""; 0]);
    assert_no_complaints(&browser).await;
    site.end().await;
}

#[tokio::test]
async fn of_more_locks_than_are_listed_it_says_how_many_more() {
    let site = Site::start(1).await;
    for number in 0..203 {
        site.lock(&[("key", &number.to_string()), ("ttl_ms", "600000")]).await;
    }
    let browser = open(&site).await;
    browser.sees("#more", |text| text == "and 3 more, which end sooner").await;
    until_rows(&browser, "#locks", |rows| rows.len() == 200).await;
    assert_eq!(browser.text("#count").await, "(203)");
    site.end().await;
}

#[tokio::test]
async fn a_node_that_is_killed_is_shown_down_and_up_again_when_it_is() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    let killed = &site.cluster.nodes()[1];
    killed.kill().await.unwrap();
    let headline = "Quorum: 2 of 3 nodes can vote, 2 are needed. No more may fail.";
    browser.sees("#state", |text| text == headline).await;
    let rows = until_rows(&browser, "#nodes", |rows| rows[1][1] == "down").await;
    assert_eq!(rows[1][0], killed.address());
    assert!(!rows[1][5].is_empty(), "why: {rows:?}");
    assert!(rows[0][1] == "up" && rows[2][1] == "up", "{rows:?}");

    killed.restart().await.unwrap();
    let headline = "Quorum: 3 of 3 nodes can vote, 2 are needed. 1 more may fail.";
    browser.sees("#state", |text| text == headline).await;
    let rows = until_rows(&browser, "#nodes", |rows| rows[1][1] == "up").await;
    assert!(rows[1][5].ends_with(" s ago"), "the last error is remembered: {rows:?}");
    assert_no_complaints(&browser).await;
    site.end().await;
}

#[tokio::test]
async fn a_node_that_hangs_is_shown_down() {
    let site = Site::impatient(3).await;
    let browser = open(&site).await;
    let hung = &site.cluster.nodes()[0];
    hung.pause().await.unwrap();
    let rows = until_rows(&browser, "#nodes", |rows| rows[0][1] == "down").await;
    // The next look finds that it owes that answer.
    let why = ["no answer", "not asked"];
    assert!(why.iter().any(|why| rows[0][5].starts_with(why)), "{rows:?}");
    hung.resume().await.unwrap();
    until_rows(&browser, "#nodes", |rows| rows[0][1] == "up").await;
    site.end().await;
}

#[tokio::test]
async fn a_replica_is_shown_as_one_that_cannot_vote() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    let [node, other, _] = site.cluster.nodes() else { panic!("three") };
    let address = other.address();
    let (host, port) = address.rsplit_once(':').unwrap();
    node.command(&["REPLICAOF", host, port]).await.unwrap();
    let rows = until_rows(&browser, "#nodes", |rows| rows[0][1] == "up, can’t vote").await;
    assert_eq!(rows[0][2], "replica");
    browser.sees("#state", |text| text.starts_with("Quorum: 2 of 3 nodes can vote")).await;
    node.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    until_rows(&browser, "#nodes", |rows| rows[0][1] == "up").await;
    site.end().await;
}

/// A node votes, and something there threatens the guarantee.
#[tokio::test]
async fn a_node_that_is_at_risk_is_shown_with_what_threatens_it() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    let node = &site.cluster.nodes()[0];
    node.command(&["SET", "job", "somebody", "PX", "7200000"]).await.unwrap();
    assert_eq!(site.post("/lock", &[("key", "job")]).await.status(), 200);
    let found = reqwest::get(site.url("/v1/locks/job")).await.unwrap();
    assert_eq!(found.status(), 200);
    let rows = until_rows(&browser, "#nodes", |rows| rows[0][1] == "up, at risk").await;
    assert!(rows[0][5].contains("lives for longer than max_ttl"), "{rows:?}");
    assert_eq!((&*rows[1][1], &*rows[1][5]), ("up", ""));
    let ready = reqwest::get(site.url("/readyz")).await.unwrap().text().await.unwrap();
    assert_eq!(ready.matches("lives for longer than max_ttl").count(), 1, "{ready}");
    node.command(&["DEL", "job"]).await.unwrap();
    site.end().await;
}

#[tokio::test]
async fn without_a_majority_the_headline_says_so() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    for node in &site.cluster.nodes()[..2] {
        node.kill().await.unwrap();
    }
    let headline = "No quorum: 1 of 3 nodes can vote, 2 are needed. No lock can be taken.";
    browser.sees("#state", |text| text == headline).await;
    assert!(
        browser.run("return document.title", Value::Null).await.to_string().contains("no quorum")
    );
    let answer = site.post("/lock", &[("key", "job")]).await;
    assert_eq!(answer.status(), 503);
    browser.sees("#unavailable", |text| text.ends_with(": 1.")).await;
    site.end().await;
}

/// What a chart says: the newest value, the highest, and what a screen reader is told.
async fn chart(browser: &Browser, id: &str) -> (u64, u64, String) {
    let number = |text: String| text.rsplit(' ').next().unwrap().parse().unwrap();
    let now = number(browser.text(&format!("#{id} strong")).await);
    let most = number(browser.text(&format!("#{id} p span")).await);
    let script = "return document.querySelector(arguments[0]).getAttribute('aria-label')";
    let label = browser.run(script, json!(format!("#{id} svg[role=img]"))).await;
    (now, most, label.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_charts_count_what_is_acquired_refused_and_waited_for() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    assert_eq!(chart(&browser, "acquired").await.1, 0);
    let token = site.lock(&[("key", "job"), ("ttl_ms", "600000")]).await;
    for _ in 0..3 {
        assert_eq!(site.post("/lock", &[("key", "job")]).await.status(), 409);
    }
    let waiting = site.post("/lock", &[("key", "job"), ("wait_ms", "60000")]);
    let waiting = async { assert_eq!(waiting.await.status(), 200) };
    let looking = async {
        for id in ["acquired", "refused-chart", "waiting"] {
            eventually(id, async || match chart(&browser, id).await {
                (_, most, label) if most > 0 && label.contains(&format!("at most {most}")) => {
                    Ok(())
                }
                other => Err(other),
            })
            .await;
        }
        assert_eq!(browser.text("#waiting strong").await, "1");
        site.unlock("job", &token).await;
    };
    tokio::join!(waiting, looking);
    browser.sees("#waiting strong", |text| text == "0").await;
    let script = "return document.querySelector('#refused-chart polyline').getAttribute('points')";
    let points = browser.run(script, Value::Null).await;
    assert!(points.as_str().unwrap().contains(",4 "), "the peak is drawn: {points}");
    assert_no_complaints(&browser).await;
    site.end().await;
}

#[tokio::test]
async fn a_key_with_markup_in_it_is_text() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    let key = "<img src=x onerror=\"document.title='broken in'\">";
    let owner = "<script>document.title = 'broken in'</script>";
    site.lock(&[("key", key), ("owner", owner), ("ttl_ms", "600000")]).await;
    let rows = until_rows(&browser, "#locks", |rows| rows.len() == 1).await;
    assert_eq!(rows[0][..2], [key, owner]);
    let made = browser
        .run("return document.querySelectorAll('main img, main script').length", Value::Null);
    assert_eq!(made.await, 0);
    assert_no_complaints(&browser).await;
    site.end().await;
}

#[tokio::test]
async fn with_a_bearer_token_it_asks_for_it_and_says_when_it_is_wrong() {
    let settings = Settings::new().bearer_token("s3cret");
    let site = Site::with(start(3).await, settings).await;
    let browser = Browser::at(&site.url("/")).await;
    browser.sees("form label", |text| text.contains("Bearer token")).await;
    assert_eq!(browser.text("#refused").await, "", "nothing was wrong yet");
    assert_eq!(browser.texts("main").await, [""; 0], "and nothing is shown");

    browser.type_into("#token", "wr0ng\n").await;
    browser.sees("#refused", |text| text == "That token was refused.").await;
    browser.type_into("#token", "wröng\n").await;
    browser.sees("#refused", |text| text == "That is no bearer token.").await;

    browser.type_into("#token", "s3cret\n").await;
    browser.sees("#state", |text| text.starts_with("Quorum: 3 of 3")).await;
    assert_eq!(browser.texts("form").await, [""; 0]);
    assert_eq!(browser.run("return document.getElementById('token').value", Value::Null).await, "");

    // It is kept in the tab, and nowhere else.
    browser.reload().await;
    browser.sees("#state", |text| text.starts_with("Quorum: 3 of 3")).await;
    let kept =
        browser.run("return [localStorage.length, document.cookie, location.href]", Value::Null);
    assert_eq!(kept.await, json!([0, "", site.url("/")]));
    site.end().await;
}

#[tokio::test]
async fn it_says_when_it_is_disconnected_and_comes_back_by_itself() {
    let site = Site::start(3).await;
    let browser = open(&site).await;
    site.lock(&[("key", "before"), ("ttl_ms", "600000")]).await;
    until_rows(&browser, "#locks", |rows| rows.len() == 1).await;
    let address = site.address;
    let cluster = site.close().await;
    let down =
        |text: &str| text.starts_with("Disconnected since") && text.contains("Next try within");
    browser.sees("#link", down).await;
    let shown = browser.text("#state").await;
    assert!(shown.starts_with("Quorum: 3 of 3"), "what was last known: {shown}");
    let before = seconds(&rows(&browser, "#locks").await[0][2]);
    until_rows(&browser, "#locks", |rows| seconds(&rows[0][2]) < before).await;

    let site = Site::at(address, cluster).await;
    browser.sees("#link", |text| text == "Live").await;
    site.lock(&[("key", "job"), ("ttl_ms", "600000")]).await;
    until_rows(&browser, "#locks", |rows| rows.len() == 1 && rows[0][0] == "job").await;
    site.end().await;
}

#[tokio::test]
async fn it_fits_a_phone_and_is_dark_where_the_reader_wants_it() {
    let site = Site::start(5).await;
    let long = "long-".repeat(60);
    for (key, ttl) in [("orders/2041", "28000"), (&long, "600000"), ("report:nightly", "3000000")] {
        site.lock(&[("key", key), ("owner", "billing"), ("ttl_ms", ttl)]).await;
    }
    site.cluster.nodes()[3].kill().await.unwrap();
    let browser = open(&site).await;
    until_rows(&browser, "#nodes", |rows| rows[3][1] == "down").await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let mut grounds = Vec::new();
    for (scheme, width) in [("light", 1100), ("dark", 1100), ("light", 360), ("dark", 360)] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        let screen =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let wider = "const page = document.documentElement;
            return page.scrollWidth - page.clientWidth";
        let wider = browser.run(wider, Value::Null).await;
        assert_eq!(wider, 0, "{scheme}, {width}: no scrolling sideways");
        grounds.push(browser.run(ground, Value::Null).await);
        if let Ok(directory) = std::env::var("REDLOCK_TEST_SCREENSHOTS") {
            let shot = json!({ "captureBeyondViewport": true });
            let shot = browser.devtools("Page.captureScreenshot", shot).await;
            let path = format!("{directory}/{scheme}-{width}.base64");
            std::fs::write(path, shot["data"].as_str().unwrap()).unwrap();
        }
    }
    assert!(grounds[0] != grounds[1] && grounds[0] == grounds[2], "{grounds:?}");
    site.end().await;
}
