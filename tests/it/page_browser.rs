//! A real browser: headless Chromium, driven by chromedriver over WebDriver. Each
//! test has its own, in a directory of its own. None outlives the test process,
//! in whatever way that ends.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::{LIMIT, eventually, within};

const MISSING: &str = "the page is tested in Chromium, driven by chromedriver: \
     `sh tests/setup.sh` installs both, or `apt-get install chromium chromium-driver`, \
     `dnf install chromium chromedriver`, `brew install --cask chromium chromedriver`";

/// Waits until its input closes, which it does when the test process ends, and
/// ends driver and browser: they are one process group, the driver's.
const WATCHDOG: &str = r#"
read -r _
kill -s KILL -- "-$1"
for try in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$2" 2>/dev/null && exit
  sleep 0.1
done
"#;

/// So often chromedriver may find its port taken.
const MOST_STARTS: usize = 10;

/// chromedriver, and by it the browser. Dropping it ends both.
struct Driver {
    child: Child,
    watchdog: Child,
    leash: Option<ChildStdin>,
    home: PathBuf,
    url: String,
}

impl Driver {
    async fn start() -> Self {
        for _ in 0..MOST_STARTS {
            let mut driver = Self::spawn();
            if let Some(port) = driver.port().await {
                driver.url = format!("http://127.0.0.1:{port}");
                return driver;
            }
        }
        panic!("chromedriver finds no free port, {MOST_STARTS} times in a row")
    }

    fn spawn() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("redlock-page-{}-{number}", process::id()));
        fs::create_dir(&home).unwrap();
        let log = fs::File::create(home.join("driver.log")).unwrap();
        let child = Command::new("chromedriver")
            .arg("--port=0")
            // Chromium leaves things there when it is killed.
            .env("TMPDIR", &home)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                let _ = fs::remove_dir_all(&home);
                panic!("chromedriver does not start: {error}; {MISSING}")
            });
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(&home)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let leash = watchdog.stdin.take();
        Self { child, watchdog, leash, home, url: String::new() }
    }

    /// The port that it took, as it prints it; `None` if that was taken by another. It asks for
    /// a free one of IPv6, and then for the same of IPv4.
    async fn port(&self) -> Option<u16> {
        eventually("chromedriver says its port", async || {
            let log = fs::read_to_string(self.home.join("driver.log")).unwrap();
            let port = log.split_once("successfully on port ").and_then(|(_, rest)| {
                let (port, _) = rest.split_once('.')?;
                port.parse().ok()
            });
            if port.is_some() || log.contains("port not available") { Ok(port) } else { Err(log) }
        })
        .await
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

/// A browser with one tab.
pub struct Browser {
    client: Client,
    http: reqwest::Client,
    session: String,
    _driver: Driver,
}

impl Browser {
    pub async fn start() -> Self {
        let driver = Driver::start().await;
        let profile = driver.home.join("profile");
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                // It ends when this pipe to its driver breaks.
                "--remote-debugging-pipe",
                format!("--user-data-dir={}", profile.display()),
            ]},
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.url)
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}; {MISSING}"));
        let id = client.session_id().await.unwrap().unwrap();
        let session = format!("{}/session/{id}", driver.url);
        Self { client, http: reqwest::Client::new(), session, _driver: driver }
    }

    /// A browser that shows `url`.
    pub async fn at(url: &str) -> Self {
        let browser = Self::start().await;
        browser.goto(url).await;
        browser
    }

    pub async fn goto(&self, url: &str) {
        within(LIMIT, "the page is loaded", self.client.goto(url)).await.unwrap();
    }

    /// What a script gives that runs in the page.
    pub async fn run(&self, script: &str, argument: Value) -> Value {
        let running = self.client.execute(script, vec![argument]);
        within(LIMIT, "a script in the page", running).await.unwrap()
    }

    /// The texts that a reader sees in what `css` selects; none from what is hidden.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return Array.from(document.querySelectorAll(arguments[0]))
            .filter((found) => found.checkVisibility()).map((found) => found.innerText)";
        serde_json::from_value(self.run(script, json!(css)).await).unwrap()
    }

    /// The one such text.
    pub async fn text(&self, css: &str) -> String {
        self.texts(css).await.join("\n")
    }

    /// Waits until that text is as wanted, and gives it.
    pub async fn sees(&self, css: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(&format!("the text of {css}"), async || {
            let text = self.text(css).await;
            if wanted(&text) { Ok(text) } else { Err(text) }
        })
        .await
    }

    pub async fn type_into(&self, css: &str, text: &str) {
        let place = self.client.find(fantoccini::Locator::Css(css)).await.unwrap();
        place.send_keys(text).await.unwrap();
    }

    pub async fn reload(&self) {
        within(LIMIT, "the page is loaded again", self.client.refresh()).await.unwrap();
    }

    /// What Chromium has logged since the last call: errors of scripts, refused
    /// loads, violations of the page's policy.
    pub async fn log(&self) -> Vec<String> {
        let entries = self.ask("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a command of Chromium's own protocol.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        self.ask("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}/{path}", self.session)).json(&body);
        let answer = within(LIMIT, path, request.send()).await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        answer["value"].take()
    }
}
