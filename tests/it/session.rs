//! The sessions that the README and docs/http.md show, as they stand there: each
//! line behind a `$` is run by a shell, and what it prints is what stands below.

use std::{collections::BTreeMap, process::Command};

use crate::{program::Program, support::start};

const README: &str = include_str!("../../README.md");
const HTTP: &str = include_str!("../../docs/http.md");

/// Where the documents say that the service listens.
const ADDRESS: &str = "localhost:5625";

/// So many letters and digits, with a `~` among them, are a token.
const TOKEN: usize = 23;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_session_goes_as_it_says() {
    let shown = run_session(README).await;
    // The session of old: had, refused, released, had again.
    assert_eq!(shown, [r#"{"code":0"#, r#"{"code":1"#, r#"{"code":0"#, r#"{"code":0"#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_of_the_http_page_go_as_they_say() {
    assert!(run_session(HTTP).await.len() > 4);
}

/// Runs the lines that call curl, and gives how each answer begins.
async fn run_session(document: &str) -> Vec<String> {
    let cluster = start(3).await;
    let served = Program::start(&cluster, &[], &[]).await;
    let address = served.address().to_string();
    let mut session = Session::default();
    let mut shown = Vec::new();
    for (command, expected) in calls(document) {
        let command = session.fill_in(&command.replace(ADDRESS, &address));
        let run = tokio::task::spawn_blocking(move || {
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert!(output.status.success(), "{command}: is curl installed? {output:?}");
            (String::from_utf8(output.stdout).unwrap(), command)
        });
        let (printed, command) = run.await.unwrap();
        session.learn(&expected, &printed);
        assert_eq!(blank(&printed), blank(&expected), "{command}");
        shown.push(printed.chars().take(9).collect());
    }
    shown
}

/// Each call of curl in a document, and what it is said to print.
fn calls(document: &str) -> Vec<(String, String)> {
    let blocks = document.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut calls: Vec<(String, String)> = Vec::new();
    for block in blocks {
        let mut is_call = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                is_call = command.starts_with("curl ");
                if is_call {
                    calls.push((command.to_owned(), String::new()));
                }
            } else if let Some((_, printed)) = calls.last_mut().filter(|_| is_call) {
                printed.push_str(line);
            }
        }
    }
    calls
}

/// The tokens that a document shows, and those that there were in their place.
#[derive(Default)]
struct Session(BTreeMap<String, String>);

impl Session {
    fn learn(&mut self, expected: &str, printed: &str) {
        self.0.extend(tokens(expected).zip(tokens(printed)));
    }

    fn fill_in(&self, command: &str) -> String {
        self.0.iter().fold(command.to_owned(), |text, (shown, real)| text.replace(shown, real))
    }
}

fn tokens(text: &str) -> impl Iterator<Item = String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
    text.split(move |c| !is_part(c)).filter(|word| word.len() == TOKEN).map(str::to_owned)
}

/// Without what differs from time to time.
fn blank(text: &str) -> String {
    let text = tokens(text).fold(text.to_owned(), |text, token| text.replace(&token, "<token>"));
    let mut blank = String::new();
    for c in text.trim_end().chars().filter(|c| !matches!(c, '\r' | '\n')) {
        match c {
            '0'..='9' if varies(&blank) => {
                if !blank.ends_with('#') {
                    blank.push('#');
                }
            }
            c => blank.push(c),
        }
    }
    blank
}

/// Times, and how many nodes had voted by then.
fn varies(before: &str) -> bool {
    let before = before.trim_end_matches('#');
    ["_ms\":", "\"votes\":"].iter().any(|name| before.ends_with(name))
}
