//! A run as a page: a lane for each client and node, where time goes from left to
//! right, and below them every entry of the trace.

use std::fmt::Write as _;

use crate::{
    stage::Truth,
    trace::{Entry, Kind, Lane},
};

const WIDTH: f64 = 1600.0;
const LANE: f64 = 34.0;
const LEFT: f64 = 80.0;

const STYLE: &str = "body{font:13px system-ui,sans-serif;margin:1em;color:#222}
svg{border:1px solid #ccc;background:#fff}
table{border-collapse:collapse;font:12px ui-monospace,monospace}
td{padding:0 .8em;vertical-align:top;white-space:nowrap}
tr.violation{background:#fdd}tr.held{background:#dfd}tr.fault{background:#fed}
p.wrong{color:#b00;font-weight:bold}";

/// The page of a recorded run.
pub fn page(truth: &Truth, seed: u64, level: &str) -> String {
    let entries = truth.trace.entries.as_deref().unwrap_or_default();
    let verdict = truth.verdict();
    let mut page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>seed {seed}</title><style>{STYLE}</style>\n\
         <h1>Seed {seed}, level {level}, profile {}</h1>\n<p class=\"wrong\">{}</p>\n\
         <p>Green: a client believes that it holds. Grey: calls and answers. Blue: commands that a \
         node carried out. Orange: something goes wrong, or is healed. Red: a violation. \
         Point at anything to read it.</p>\n",
        truth.plan.profile,
        escape(verdict)
    );
    draw(&mut page, truth, entries);
    page.push_str("<table>\n");
    for entry in entries {
        let class = format!("{:?}", entry.kind).to_lowercase();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            page,
            "<tr class=\"{class}\"><td>{:.3} ms<td>{}<td>{class}<td>{}",
            entry.at as f64 / 1e6,
            entry.lane,
            escape(&entry.text)
        );
    }
    page.push_str("</table>\n");
    page
}

fn draw(page: &mut String, truth: &Truth, entries: &[Entry]) {
    let clients = truth.clients.len();
    let lanes = 1 + clients + truth.nodes.len();
    let row = |lane: Lane| match lane {
        Lane::World => 0,
        Lane::Client(client) => 1 + client,
        Lane::Node(node) => 1 + clients + node,
    };
    let end = entries.iter().map(|entry| entry.at).max().unwrap_or(1).max(1);
    let x = |at: u64| LEFT + at as f64 / end as f64 * (WIDTH - LEFT - 20.0);
    let y = |lane: Lane| (row(lane) as f64 + 0.5) * LANE;
    let height = lanes as f64 * LANE + 20.0;
    let _ = writeln!(page, "<svg width=\"{WIDTH}\" height=\"{height}\">");
    let all = (0..clients).map(Lane::Client).chain((0..truth.nodes.len()).map(Lane::Node));
    for lane in std::iter::once(Lane::World).chain(all) {
        let y = y(lane);
        let _ = writeln!(
            page,
            "<text x=\"6\" y=\"{}\">{lane}</text><line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" \
             y2=\"{y}\" stroke=\"#ddd\"/>",
            y + 4.0
        );
    }
    for (place, entry) in entries.iter().enumerate() {
        if entry.kind == Kind::Held {
            let until = ended(&entries[place..], entry).unwrap_or(end);
            let (from, width) = (x(entry.at), (x(until) - x(entry.at)).max(1.0));
            let _ = writeln!(
                page,
                "<rect x=\"{from}\" y=\"{}\" width=\"{width}\" height=\"12\" fill=\"#3a3\" \
                 opacity=\".6\"><title>{}</title></rect>",
                y(entry.lane) - 6.0,
                escape(&entry.text)
            );
        }
    }
    for entry in entries {
        let (radius, colour) = match entry.kind {
            Kind::Held | Kind::Ended => continue, // drawn above
            Kind::Call | Kind::Answer => (3, "#888"),
            Kind::Command => (3, "#36c"),
            Kind::Fault | Kind::Healed => (3, "#e80"),
            Kind::Violation => (8, "#d00"),
        };
        let _ = writeln!(
            page,
            "<circle cx=\"{:.1}\" cy=\"{}\" r=\"{radius}\" fill=\"{colour}\"><title>{:.3} ms: \
             {}</title></circle>",
            x(entry.at),
            y(entry.lane),
            entry.at as f64 / 1e6,
            escape(&entry.text)
        );
    }
    page.push_str("</svg>\n");
}

/// When the lock of the entry `held` was over.
fn ended(after: &[Entry], held: &Entry) -> Option<u64> {
    let id = |text: &str| text.split(' ').next().map(str::to_owned);
    let is_it = |entry: &&Entry| {
        entry.kind == Kind::Ended && entry.lane == held.lane && id(&entry.text) == id(&held.text)
    };
    after.iter().find(is_it).map(|entry| entry.at)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
