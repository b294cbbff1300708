// The live feed: every change as it comes, the newest on top.

import { follow } from "./api.js";
import { el, empty } from "./dom.js";
import { badge, CAUSE_NAMES, plural, sayCause, sayDay, sayOne, sayPercent } from "./words.js";

const ROWS_MAX = 200; // beyond it the page would be slower than the changes
const LAST = 200;
const PACE_MS = 5_000;

const STATES = {
  opening: ["", "Connecting …"],
  open: ["good", "Live"],
  closed: ["warn", "The stream ended; going on where it broke off …"],
  away: ["bad", "The API does not answer; going on where it broke off as soon as it does."],
  gap: ["warn", "Away for too long: some changes are no longer remembered. Beginning anew."],
  refused: ["bad", "This key may not follow changes. Ask for one by: everscore key create NAME --role pii-reader"],
};

function row(change) {
  return el("li", { class: "change" },
    el("time", { datetime: change.occurred_at }, sayDay(change.occurred_at)),
    el("a", { class: "id", href: `#/customer/${encodeURIComponent(change.customer_id)}` }, change.customer_id),
    el("span", { class: "move" },
      change.previous === null ? el("span", { class: "muted" }, "new") : badge(change.previous, change.kind),
      el("span", { class: "arrow", "aria-label": "to" }, "→"), badge(change.current, change.kind)),
    el("span", { class: "cause" }, sayCause(change.cause)),
    el("span", { class: "prob" }, el("small", {}, "P(alive) "), sayPercent(change.prob_alive)));
}

const select = (label, name, options, chosen) => el("label", { class: "field" }, label, el("select", { name },
  el("option", { value: "" }, "all"), options.map(([value, text]) => el("option", { value, selected: value === chosen }, text))));

/** Show the feed until the signal ends it. */
export async function showFeed(root, { signal, segments }) {
  document.title = "Live · Everscore";
  const list = el("ol", { class: "feed", "aria-label": "Changes, the newest first" });
  const state = el("p", { class: "state", role: "status" });
  const pace = el("p", { class: "note" });
  const hint = empty("No change yet. They appear here as purchases come, and as silence does its work.");
  const hold = el("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Pause");
  const form = el("form", { class: "filters", "aria-label": "Filters", submit: (event) => event.preventDefault() },
    select("Kind", "kind", [["segment", "segment"], ["lifecycle", "lifecycle"]], "segment"),
    select("Into segment", "segment", segments.map((name) => [name, name])),
    select("Cause", "cause", CAUSE_NAMES.map((name) => [name, sayCause(name)])), hold);
  root.replaceChildren(el("h1", {}, "Changes as they come"), form, el("div", { class: "line" }, state, pace), hint, list);

  let waiting = [];
  let seen = [];
  let total = 0;
  let paused = false;
  let frame = 0;
  const paint = () => {
    frame = 0;
    if (paused || !waiting.length) return;
    const fresh = waiting.slice(-ROWS_MAX).reverse().map(row);
    waiting = [];
    const held = list.contains(document.activeElement) ? document.activeElement : null;
    list.prepend(...fresh);
    while (list.children.length > ROWS_MAX && !list.lastElementChild.contains(held)) list.lastElementChild.remove();
    hint.hidden = true;
  };
  const sayPace = () => {
    const now = performance.now();
    seen = seen.filter((at) => now - at < PACE_MS);
    pace.textContent = `${plural(total, "change")} here, ${sayOne(seen.length / (PACE_MS / 1000))} a second`
      + (paused ? `; ${waiting.length >= ROWS_MAX ? `${ROWS_MAX} or more` : waiting.length} waiting` : "");
  };
  const onEvent = (change) => {
    waiting.push(change);
    if (waiting.length > 2 * ROWS_MAX) waiting = waiting.slice(-ROWS_MAX);
    total += 1;
    seen.push(performance.now());
    if (!frame) frame = requestAnimationFrame(paint);
  };
  const onState = (name) => {
    const [look, words] = STATES[name];
    state.className = `state ${look}`;
    state.textContent = words;
  };

  let inner = new AbortController();
  const begin = () => {
    inner.abort();
    inner = new AbortController();
    list.replaceChildren();
    waiting = [];
    seen = [];
    total = 0;
    hint.hidden = false;
    onState("opening");
    const query = new URLSearchParams({ last: String(LAST) });
    for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
    follow(`/changes?${query}`, { signal: inner.signal, onEvent, onState });
  };
  form.addEventListener("change", begin);
  hold.addEventListener("click", () => {
    paused = !paused;
    hold.setAttribute("aria-pressed", String(paused));
    hold.textContent = paused ? "Go on" : "Pause";
    paint();
    sayPace();
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const next = step && event.target.closest("li")?.[step];
    if (!next) return;
    next.querySelector("a").focus();
    event.preventDefault();
  });
  const clock = setInterval(sayPace, 1_000);
  signal.addEventListener("abort", () => { inner.abort(); clearInterval(clock); cancelAnimationFrame(frame); });
  begin();
}
