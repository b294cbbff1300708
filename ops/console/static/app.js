// The page: signing in, which view is shown, and one line that says what is wrong.

import { ask, heard, keepKey, keptKey, rest } from "./api.js";
import { showBase, tiles } from "./base.js";
import { showCustomer } from "./card.js";
import { el, empty } from "./dom.js";
import { showFeed } from "./feed.js";
import { forgetAll, recent, remember, searchField } from "./search.js";
import { showState } from "./state.js";
import { ordered, plural, sayOne, settle } from "./words.js";

const STANDING_MS = 3_000;
const TRY_AGAIN_MS = 2_000;
const HOME_MS = 5_000;

const $ = (id) => document.getElementById(id);
let me = null;
let segments = [];
let showing = new AbortController();

// --- what is wrong

function trouble(words) {
  if ($("trouble").textContent !== (words ?? "")) $("trouble").textContent = words ?? "";
  $("trouble").hidden = !words;
}

heard.addEventListener("answered", () => trouble(null));
heard.addEventListener("refused", ({ detail: refusal }) => {
  if (refusal.kind === "away") trouble(refusal.message);
  else if (refusal.status === 401 && me) signOut("Your key was refused: it has expired or was revoked. Ask your operator for another one.");
  else if (refusal.status === 429) trouble(`Too many requests. ${refusal.message}`);
  else if (refusal.status >= 500) trouble(refusal.message);
});

const oneMoment = () => el("p", { class: "empty waiting" }, "One moment …");

function wordsOf(error) {
  if (error.status === 403) return `${error.message} Sign out, and use a key of such a role.`;
  return error.message;
}

// --- signing in

function signIn(words = null) {
  me = null;
  showing.abort();
  for (const id of ["search", "views", "leave"]) $(id).hidden = true;
  $("standing").replaceChildren();
  document.title = "Sign in · Everscore";
  const said = el("p", { class: "said", role: "alert" }, words ?? "");
  const field = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "evs_…", "aria-describedby": "key-help" });
  const go = el("button", { type: "submit" }, "Sign in");
  const form = el("form", { class: "sign-in", submit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    said.textContent = "";
    try {
      const key = field.value.trim();
      if (!/^[\x21-\x7e]+$/.test(key)) throw Object.assign(new Error(), { status: 401 }); // no header can carry it
      const welcome = await ask("/welcome", { key });
      keepKey(key);
      begin(welcome);
    } catch (error) {
      said.textContent = error.status === 401 ? "That key opens nothing: it is mistyped, expired or revoked. Paste it anew, or ask your operator for another one." : error.message;
      field.select();
    } finally {
      go.disabled = false;
    }
  } },
  el("h1", {}, "Sign in"),
  el("label", { for: "key" }, "API key"), field, go, said,
  el("p", { id: "key-help", class: "note" }, "It stays in this tab and is forgotten with it. An operator makes one by ", el("code", {}, "everscore key create NAME --role pii-reader"), "."));
  $("content").replaceChildren(form);
  field.focus();
}

function signOut(words = null) {
  keepKey(null);
  forgetAll();
  signIn(words);
}

// --- views

async function showHome(root, { signal }) {
  document.title = "Everscore";
  const seen = recent();
  const base = el("section", { "aria-label": "Segments now" });
  root.replaceChildren(
    el("section", { class: "hollow" },
      el("h1", {}, "Who is it?"),
      el("p", {}, "Type the customer's id into the field above. ",
        el("span", { class: "keys" }, el("kbd", {}, "/"), " goes there, ", el("kbd", {}, "↑"), " ", el("kbd", {}, "↓"), " choose, ", el("kbd", {}, "Enter"), " opens, ", el("kbd", {}, "Esc"), " closes.")),
      seen.length ? el("p", { class: "recent" }, "Lately: ", seen.map((id) => [el("a", { href: `#/customer/${encodeURIComponent(id)}` }, id), " "])) : null),
    base);
  const look = async () => {
    const found = await ask("/segments", { signal });
    segments = ordered(found.segments.map((one) => one.name));
    base.replaceChildren(found.customers ? tiles(found) : empty("No customer has been counted yet. Start a worker and send purchases: everscore worker, everscore replay."));
  };
  await look();
  const again = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, HOME_MS);
  signal.addEventListener("abort", () => clearInterval(again));
}

const VIEWS = {
  "": [showHome, "segments"],
  customer: [showCustomer, "customers"],
  live: [showFeed, "changes"],
  base: [showBase, "segments"],
  service: [showState, "service"],
};

async function show() {
  if (!me) return;
  const [, name = "", further = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
  const [view, right] = VIEWS[name] ?? VIEWS[""];
  let id = further;
  try {
    id = decodeURIComponent(further);
  } catch {
    // A hand-written address: the text as it is will be nobody's id.
  }
  showing.abort();
  showing = new AbortController();
  const { signal } = showing;
  const root = $("content");
  for (const link of $("views").querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!me.may.has(right)) {
    root.replaceChildren(el("section", { class: "hollow" }, el("h1", {}, "Not with this key"),
      el("p", {}, `Its role, ${me.role}, has no right to ${right}: sign out, and use a key that has.`)));
    return;
  }
  root.replaceChildren(oneMoment());
  scrollTo(0, 0);
  while (!signal.aborted) {
    try {
      await view(root, { id, signal, me, segments, remember });
      // Who was typing an id reads on here; who is elsewhere stays there.
      if (document.activeElement === document.body) root.focus({ preventScroll: true });
      return;
    } catch (error) {
      if (signal.aborted || error.name === "AbortError" || error.status === 401) return;
      root.replaceChildren(empty(error.kind === "away" ? "Waiting for the API …" : wordsOf(error)));
      if (error.status === 403 || error.status === 404 || error.status === 422) return;
      await rest(TRY_AGAIN_MS, signal);
    }
  }
}

async function standing() {
  for (;;) {
    if (me?.may.has("service") && !document.hidden) {
      try {
        const { lag_records: lag, events_per_second: pace } = await ask("/service");
        const [look, words] = lag === null ? ["warn", "lag not known"] : lag > 0 ? ["busy", `${plural(lag, "record")} behind`] : ["good", "up to date"];
        $("standing").replaceChildren(el("i", { class: `dot ${look}`, "aria-hidden": "true" }), words, pace ? el("span", { class: "pace" }, `, ${sayOne(pace)} events/s`) : "");
      } catch {
        if (me) $("standing").replaceChildren(el("i", { class: "dot bad", "aria-hidden": "true" }), "no answer");
      }
    }
    await rest(STANDING_MS);
  }
}

let woken = false;
async function begin(welcome) {
  me = { ...welcome, may: new Set(welcome.may) };
  settle(welcome);
  trouble(null);
  $("content").replaceChildren(oneMoment()); // or what is typed next would go into the field of the key
  $("search").hidden = !me.may.has("customers");
  $("views").hidden = false;
  $("leave").hidden = !keptKey();
  $("leave").title = `Signed in as ${me.key}, role ${me.role}`;
  if (!woken) {
    woken = true;
    searchField({ mayList: () => me?.may.has("members") && me.ids === "clear" });
    standing();
  }
  if (me.may.has("segments")) segments = await ask("/segments").then((found) => ordered(found.segments.map((one) => one.name)), () => []);
  show();
}

async function start() {
  for (;;) {
    try {
      const needed = (await ask("/health/live", { key: null })).authentication;
      if (needed && !keptKey()) return signIn();
      return begin(await ask("/welcome"));
    } catch (error) {
      if (error.status === 401) return signOut("Your key was refused: it has expired or was revoked. Ask your operator for another one.");
      $("content").replaceChildren(empty(error.message));
      await rest(TRY_AGAIN_MS);
    }
  }
}

$("skip").addEventListener("click", () => $("content").focus());
$("leave").addEventListener("click", () => signOut());
addEventListener("hashchange", show);
start();
