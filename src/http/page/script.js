// The live page: it reads the stream of snapshots and shows each. Anything that the
// server says is put in as text, never as markup.
"use strict";

const RETRY_MS = { first: 500, most: 15000 };
// The server sends something every 15 s at least; longer silence is a dead line.
const SILENCE_MS = 20000;
const SECONDS = 300;
const SVG = "http://www.w3.org/2000/svg";
const TOKEN = "redlock-token";

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Text is only touched where it changes: what a reader selected stays selected.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(element, visible) {
  element.hidden = !visible;
}

function node(parent, name, space) {
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  return parent.appendChild(made);
}

// --- Words ---

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function headline({ able, needed, quorum, nodes }) {
  const votes = `${able} of ${nodes.length} nodes can vote, ${needed} ${needed === 1 ? "is" : "are"} needed`;
  if (!quorum) return `No quorum: ${votes}. No lock can be taken.`;
  return `Quorum: ${votes}. ${able - needed || "No"} more may fail.`;
}

function verdict({ able, quorum, nodes }) {
  if (!quorum) return "bad";
  return able < nodes.length ? "warn" : "good";
}

function standing({ up, able, warnings }) {
  if (!up) return ["down", "bad"];
  if (!able) return ["up, can’t vote", "warn"];
  return warnings.length > 0 ? ["up, at risk", "warn"] : ["up", "good"];
}

function lastError({ up, error }) {
  if (!error) return "";
  return up ? `${error.message}, ${span(error.age_s)} ago` : error.message;
}

// What threatens the guarantee at a node goes before what has failed there.
function remarks(node) {
  return [...node.warnings, lastError(node)].filter((text) => text !== "").join("; ");
}

// --- Tables ---

// One row for each item; a cell is a text, or a text and more.
function fill(table, items, cells) {
  const body = table.tBodies[0];
  const labels = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent);
  while (body.rows.length > items.length) body.deleteRow(-1);
  while (body.rows.length < items.length) {
    const row = body.insertRow();
    labels.forEach((label) => { row.insertCell().dataset.label = label; });
  }
  items.forEach((item, at) => cells(item).forEach((cell, column) => {
    const { text, kind = "", state = "" } = typeof cell === "string" ? { text: cell } : cell;
    const place = body.rows[at].cells[column];
    // The text is in an element of its own: on a phone its label stands beside it.
    write(place.firstChild ?? node(place, "span"), text);
    if (place.className !== kind) place.className = kind;
    if ((place.firstChild.dataset.state ?? "") !== state) place.firstChild.dataset.state = state;
  }));
}

function showNodes(nodes) {
  fill(byId("nodes"), nodes, (node) => {
    const [text, state] = standing(node);
    const latency = node.latency_us === null ? "" : `${(node.latency_us / 1000).toFixed(2)} ms`;
    return [
      { text: node.address, kind: "name" },
      { text, state },
      node.role ?? "",
      node.server ?? "",
      { text: latency, kind: "number" },
      remarks(node),
    ];
  });
}

// Between snapshots the remaining times go on by this page's own clock.
let locks = { list: [], total: 0, at: 0 };

function showLocks() {
  const gone = performance.now() - locks.at;
  const left = locks.list
    .map((lock) => ({ ...lock, ms: lock.remaining_ms - gone }))
    .filter((lock) => lock.ms > 0)
    .sort((a, b) => a.ms - b.ms);
  fill(byId("locks"), left, ({ key, owner, ms }) => [
    { text: key, kind: "name" },
    owner ?? "",
    { text: span(Math.ceil(ms / 1000)), kind: "number" },
  ]);
  const more = locks.total - locks.list.length;
  write(byId("count"), left.length + more > 0 ? `(${left.length + more})` : "");
  write(byId("more"), `and ${more} more, which end sooner`);
  show(byId("more"), more > 0);
  show(byId("none"), left.length + more === 0);
  show(byId("locks"), left.length > 0);
}

// --- Charts ---

function chart(id) {
  const figure = byId(id);
  const line = node(figure, "p");
  const now = node(line, "strong");
  const most = node(line, "span");
  const svg = node(figure, "svg", SVG);
  svg.setAttribute("role", "img");
  svg.setAttribute("viewBox", `0 0 ${SECONDS - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  const area = node(svg, "polygon", SVG);
  const curve = node(svg, "polyline", SVG);
  const title = figure.querySelector("figcaption").textContent;
  return (values) => draw(values, { title, now, most, svg, area, curve });
}

// The newest value is at the right edge; a past that is not known is left out.
function draw(values, { title, now, most, svg, area, curve }) {
  const top = Math.max(...values, 0);
  const last = values.at(-1) ?? 0;
  const left = SECONDS - values.length;
  const points = values.map((value, at) => `${left + at},${100 - (value / Math.max(top, 1)) * 96}`);
  curve.setAttribute("points", points.join(" "));
  area.setAttribute("points", [`${left},100`, ...points, `${SECONDS - 1},100`].join(" "));
  write(now, String(last));
  write(most, `most: ${top}`);
  svg.setAttribute("aria-label", `${title}: now ${last}, at most ${top} in the last five minutes`);
}

const charts = {
  acquired: chart("acquired"),
  refused: chart("refused-chart"),
  waiting: chart("waiting"),
};

function showSeries(series) {
  for (const [name, drawn] of Object.entries(charts)) drawn(series[name]);
  const unavailable = series.unavailable.reduce((sum, count) => sum + count, 0);
  write(byId("unavailable"), `Answered without a quorum in this time: ${unavailable}.`);
  show(byId("unavailable"), unavailable > 0);
}

// --- The stream ---

// The time of the snapshot that is shown.
let shownAt;

function showSnapshot(snapshot) {
  const { able, nodes, locks: list, locks_total: total } = snapshot;
  write(byId("state"), headline(snapshot));
  byId("state").dataset.state = verdict(snapshot);
  document.title = `${able}/${nodes.length} ${snapshot.quorum ? "" : "no quorum "}· Redlock`;
  showNodes(nodes);
  showSeries(snapshot.series);
  locks = { list, total, at: performance.now() };
  showLocks();
  write(byId("about"), `redlock ${snapshot.version}, up ${span(snapshot.uptime_s)}`);
  show(byId("view"), true);
  shownAt = new Date();
  showLink("live", "Live");
}

function showLink(state, text) {
  document.body.dataset.link = state;
  write(byId("link"), text);
}

// Calls `seen` with each event's data, until the stream ends.
async function readEvents(body, seen) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      seen(lines.map((line) => line.slice("data:".length).trimStart()).join("\n"));
    }
  }
}

async function follow(token, heard) {
  const dead = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => dead.abort(new Error("the service fell silent")), SILENCE_MS);
  };
  alive();
  try {
    // The token goes in a header, which EventSource could not send.
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch("v1/events", { headers, cache: "no-store", signal: dead.signal });
    if (response.status === 401) return "unauthorized";
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
    await readEvents(response.body, (data) => {
      alive();
      if (data === "") return; // a comment, to keep the line open
      showSnapshot(JSON.parse(data));
      heard();
    });
    return "ended";
  } finally {
    clearTimeout(timer);
  }
}

// Resolves when a token was typed. `refused` is why the last one was not taken.
function askToken(refused) {
  const form = byId("ask");
  write(byId("refused"), refused);
  show(byId("view"), false);
  show(form, true);
  showLink("asking", "A token is needed");
  byId("token").focus();
  return new Promise((typed) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const token = byId("token").value.trim();
      byId("token").value = "";
      // Other characters can't stand in a header, nor in a bearer token.
      if (!/^[\x21-\x7e]+$/.test(token)) return write(byId("refused"), "That is no bearer token.");
      sessionStorage.setItem(TOKEN, token);
      show(form, false);
      showLink("connecting", "Connecting …");
      typed();
    };
  });
}

async function run() {
  for (let delay = RETRY_MS.first; ;) {
    const token = sessionStorage.getItem(TOKEN);
    let why = "the service ended the stream";
    try {
      const end = await follow(token, () => { delay = RETRY_MS.first; });
      if (end === "unauthorized") {
        sessionStorage.removeItem(TOKEN);
        await askToken(token ? "That token was refused." : "");
        continue;
      }
    } catch (error) {
      why = error.name === "TypeError" ? "no connection" : error.message;
    }
    const since = shownAt ? ` since ${shownAt.toLocaleTimeString()}` : "";
    showLink("down", `Disconnected${since}: ${why}. Next try within ${Math.ceil(delay / 1000)} s.`);
    // Not all pages of an instance come back in the same moment.
    await sleep(delay * (0.5 + Math.random() / 2));
    delay = Math.min(delay * 2, RETRY_MS.most);
  }
}

setInterval(showLocks, 1000);
run();
