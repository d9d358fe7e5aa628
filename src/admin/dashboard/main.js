// The dashboard: takes the stream of snapshots and shows each.

import { findings, unknowns } from "./attention.js";
import { $, attribute, h, keep, show, text } from "./dom.js";
import { endpoints } from "./endpoints.js";
import { count, dateAndTime, duration, plural, time } from "./format.js";
import { History } from "./history.js";
import { Recent } from "./recent.js";
import { draw } from "./states.js";
import { Stream } from "./stream.js";
import * as subject from "./subject.js";
import * as tables from "./tables.js";
import * as tiles from "./tiles.js";

const TOKEN = "millpond-token";
/** Figures of this age are not shown as if they were new, whatever the stream says. */
const OLD_MS = 5000;

const recent = new Recent();
const history = new History();
/** When the last snapshot came; null before the first. */
let shownAt = null;
/** What the stream last said of itself, and when. */
let link = { state: "connecting", since: Date.now() };
let paused = false;

const stream = new Stream({ snapshot, state });
stream.token = sessionStorage.getItem(TOKEN);

function snapshot(value) {
  recent.add(value);
  shownAt = Date.now();
  render();
  document.body.classList.remove("waiting");
  history
    .refresh((path) => stream.get(path))
    .then(
      (news) => news && renderHistory(),
      () => {},
    );
}

function render() {
  if (shownAt === null) return;
  const { snapshot: now } = recent.now;
  text($("version"), now.version);
  text($("updated"), time(shownAt));
  attribute($("updated"), "datetime", new Date(shownAt).toISOString());
  text($("uptime"), duration(Math.floor(now.uptime_s)));
  text($("generation"), count(now.config.generation));
  text($("loaded"), dateAndTime(Date.parse(now.config.loaded_at)));
  attention(findings(recent));
  tiles.show(recent, history);
  subject.show(now);
  tables.listeners(recent, history, choose);
  endpoints(recent, history, choose);
  tables.ports(recent);
  tables.closeWait(recent);
  tables.budgets(recent);
  tables.kernel(recent);
  const note = () => {
    const element = h("li");
    return { element, update: (words) => text(element, words) };
  };
  keep($("note-list"), now.notes, (words) => words, note);
}

function renderHistory() {
  subject.showHistory(history);
  render();
}

function choose(key) {
  subject.choose(key, { go: true });
  renderHistory();
}

/** The list at the top. Only what is new in it is read out, not every number that changes. */
let announced = "";
function attention(list) {
  const acute = list.filter(({ severity }) => severity === "act").length;
  show($("attention-none"), list.length === 0);
  const unknown = unknowns(recent).join(", ");
  text(
    $("attention-none"),
    unknown
      ? `✓ Nothing that is known needs attention. Not known: ${unknown}.`
      : "✓ Nothing needs attention.",
  );
  show($("attention-list"), list.length > 0);
  keep($("attention-list"), list, ({ key }) => key, finding);
  const keys = list.map(({ key }) => key).join("\n");
  if (keys !== announced) {
    announced = keys;
    const words = list.map(({ title, severity }) => (severity === "act" ? `Act: ${title}` : title));
    text($("announcement"), list.length ? `${[...new Set(words)].join(". ")}.` : "Nothing needs attention.");
  }
  document.title = list.length ? `(${acute || list.length}${acute ? "!" : ""}) millpond` : "millpond";
}

function finding() {
  const [badge, title, detail, help] = [
    h("span"),
    h("strong"),
    h("span", { class: "what" }),
    h("span", { class: "muted" }),
  ];
  const link = h("a");
  const element = h("li", null, badge, h("p", null, title, " ", detail, " ", help, " ", link));
  let current = null;
  link.addEventListener("click", () => {
    if (current.subject) {
      subject.choose(current.subject);
      renderHistory();
    }
  });
  const update = (found) => {
    current = found;
    attribute(element, "class", found.severity);
    attribute(badge, "class", `badge ${found.severity}`);
    text(badge, found.severity);
    text(title, `${found.title}.`);
    text(detail, found.detail);
    text(help, found.help);
    attribute(link, "href", `#${found.target}`);
    text(link, "Show");
    attribute(link, "aria-label", `Show: ${found.title}`);
  };
  return { element, update };
}

const CHIPS = {
  connecting: "connecting",
  live: "live",
  lost: "no connection",
  full: "too many dashboards",
  ended: "millpond has ended",
  refused: "a token is needed",
  paused: "paused",
};

/** What the stream says of itself. */
function state(name, details = {}) {
  // While it tries again, what is known of the loss stays on the page.
  if (name === "connecting" && link.state !== "live" && link.state !== "connecting") return;
  // And while nobody answers after an end, that is still why.
  const isSame = name === link.state || (name === "lost" && link.state === "ended");
  if (!isSame) link = { state: name, since: Date.now() };
  link.next = details.seconds === undefined ? null : Date.now() + details.seconds * 1000;
  if (name === "refused") askForToken(details.tried);
  showLink();
}

function showLink() {
  const shown = paused ? "paused" : link.state;
  text($("connection"), CHIPS[shown]);
  attribute($("connection"), "class", `chip ${shown}`);
  const broken = ["lost", "full", "ended", "paused"].includes(shown);
  const isOld = shownAt !== null && Date.now() - shownAt > OLD_MS;
  document.body.classList.toggle("stale", isOld || (broken && shownAt !== null));
  show($("banner"), broken);
  if (!broken) {
    text($("banner-text"), "");
    return;
  }
  const since = shownAt ?? link.since;
  const what = {
    lost: shownAt
      ? `The connection to millpond was lost at ${time(link.since)}.`
      : "millpond does not answer.",
    full: "Too many dashboards are open: the server lets no more listen.",
    ended: `millpond ended at ${time(link.since)}.`,
    paused: "Paused.",
  }[shown];
  text($("banner-text"), shownAt ? `${what} All figures are of ${time(since)}.` : what);
  const age = duration(Math.max(1, Math.round((Date.now() - since) / 1000)));
  text($("banner-since"), `${shownAt ? `They are ${age} old.` : ""}${nextTry()}`);
  text($("retry"), paused ? "Go on" : "Try now");
}

function nextTry() {
  if (link.next === null || paused) return "";
  const seconds = Math.ceil((link.next - Date.now()) / 1000);
  return seconds > 0 ? ` Next try in ${plural(seconds, "second")}.` : " Trying now.";
}

function setPaused(value) {
  paused = value;
  attribute($("pause"), "aria-pressed", String(paused));
  if (paused) stream.stop();
  else stream.start();
  showLink();
}

function askForToken(tried) {
  text($("token-problem"), tried ? "That is not the token of this server." : "");
  if (!$("token-dialog").open) $("token-dialog").showModal();
  $("token").focus();
}

$("token-dialog").addEventListener("cancel", (event) => event.preventDefault());
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  if (!/^[!-~]+$/.test(token)) {
    text($("token-problem"), "A token has no spaces and only ASCII characters.");
    return;
  }
  sessionStorage.setItem(TOKEN, token);
  stream.token = token;
  $("token").value = "";
  $("token-dialog").close();
  stream.start();
});
$("pause").addEventListener("click", () => setPaused(!paused));
$("retry").addEventListener("click", () => (paused ? setPaused(false) : stream.retry()));
$("filter").addEventListener("input", render);
$("order").addEventListener("change", render);

draw();
subject.listen(renderHistory);
setInterval(showLink, 1000);
stream.start();
