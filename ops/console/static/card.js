// The card of one customer: what to say on the phone first, then why, then everything.

import { ask, customerPath, fitsPath } from "./api.js";
import { curveOf } from "./curve.js";
import { el, empty, table } from "./dom.js";
import {
  badge, because, daysBetween, plural, sayCause, sayCount, sayDay, sayDays, sayMoment, sayMoney, sayOdds, sayPercent, saySmall,
} from "./words.js";

const TICK_MS = 1_000;
const BEHIND_MS = 3_000;
const FRESH_MS = 15_000; // each look is a line in the audit log
const AHEAD_DAYS = { least: 30, most: 730, margin: 1.15 };
const COURSE_DAYS = 1_830;
const CHANGES_SHOWN = 12;

const daysAhead = (profile) => {
  const last = profile.next_changes.at(-1);
  const until = last ? daysBetween(profile.as_of, last.at) ?? 180 : 90;
  const wanted = Math.max(until, (profile.age_days ?? 0) / 6) * AHEAD_DAYS.margin;
  return Math.min(Math.max(Math.ceil(wanted), AHEAD_DAYS.least), AHEAD_DAYS.most);
};

/** The profile; null if nobody is known by that id, which is an answer and no error. */
async function found(id, signal) {
  const { customers } = await ask("/customers:batchGet", { signal, body: { ids: [id] } });
  return customers[0] ?? null;
}

async function asked(id, signal, may) {
  const profile = await found(id, signal);
  if (profile === null) return null;
  const path = !fitsPath(id) ? null : (further) => ask(customerPath(id, further), { signal });
  const [history, outlook] = await Promise.all([
    path && may.has("history") ? path("/history") : null,
    path && profile.prob_alive !== null ? path(`/outlook?days=${daysAhead(profile)}&course_days=${COURSE_DAYS}`) : null,
  ]);
  return { profile, history, outlook };
}

/** Whether changes were told that the API has not read yet. */
const isBehind = (history) => history !== null
  && (history.changes.length ? history.told > history.changes.at(-1).sequence : !history.remembered.caught_up);

/** Segment, since when and why; then what P(alive) means; then what is to come. */
function story({ profile, history }) {
  const told = history?.changes ?? [];
  if (profile.segment === null) {
    return [el("p", {}, "Every purchase was cancelled, so there is nothing left to score. The next purchase changes that.")];
  }
  const change = told.filter((one) => one.kind === "segment" && one.current === profile.segment).at(-1);
  const since = daysBetween(profile.segment_since, profile.as_of);
  const newer = change && daysBetween(change.occurred_at, profile.segment_since) > 1 ? null : change;
  const from = newer?.previous ? ["; ", badge(newer.previous), " before"] : "";
  const why = newer ? `, ${because(newer)}` : profile.silence_days !== null && change ? ", by silence" : "";
  const first = el("p", {}, badge(profile.segment), ` since ${sayDay(profile.segment_since)}`,
    since === null || since < 1 ? "" : ` (${sayDays(since)})`, why, from, ".",
    why || !history || history.complete ? "" : isBehind(history) ? " Why, is told in a moment." : " Why is no longer remembered.");
  const alive = el("p", {}, `P(alive) is ${sayPercent(profile.prob_alive)}: ${sayOdds(profile.prob_alive)}. `,
    profile.silence_days === null ? "" : profile.silence_days < 1 ? "Last bought today." : `Last bought ${sayDays(profile.silence_days)} ago, on ${sayDay(profile.last_purchase_at)}.`);
  const steps = profile.next_changes;
  const soon = steps.length === 0 ? el("p", {}, "If nothing is bought, nothing changes any more.")
    : el("p", {}, "If nothing is bought: ", steps.map((step, index) => [
      index ? ", then " : "", badge(step.current, step.kind, "no segment"), ` on ${sayDay(step.at)}`,
      index === 0 && daysBetween(profile.as_of, step.at) !== null ? ` (in ${sayDays(daysBetween(profile.as_of, step.at))})` : "",
    ]), ".");
  return [first, alive, soon];
}

function gauge(prob) {
  const bar = el("span", { class: "gauge-bar" });
  bar.style.setProperty("--share", String(prob ?? 0));
  return el("div", { class: "gauge" },
    el("span", { class: "gauge-number" }, sayPercent(prob)), el("span", { class: "gauge-name" }, "P(alive), as of now"),
    el("span", { class: "gauge-track", "aria-hidden": "true" }, bar));
}

function score(name, value, meaning) {
  return el("div", { class: "score" }, el("span", { class: "score-name" }, name),
    el("span", { class: "pips", "aria-hidden": "true" }, [1, 2, 3, 4, 5].map((step) => el("i", { class: step <= value ? "on" : null }))),
    el("span", { class: "score-value" }, `${value} of 5`), el("span", { class: "score-meaning" }, meaning));
}

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value, note]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, ` ${note}`) : null))));
}

const panel = (title, ...inside) => {
  const id = `h-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return el("section", { class: "panel", "aria-labelledby": id }, el("h2", { id }, title), ...inside);
};

function rfm(profile) {
  const { recency, frequency, monetary } = profile.rfm;
  return panel("RFM",
    score("Recency", recency, profile.silence_days === null ? "" : `${sayDays(profile.silence_days)} silent`),
    score("Frequency", frequency, plural(profile.frequency, "repeat purchase")),
    score("Monetary", monetary, profile.frequency ? `${sayMoney(profile.monetary_value)} a purchase` : "no repeat yet"));
}

function value(profile) {
  return panel("Value", facts([
    ["Spent in all", sayMoney(profile.monetary_total)],
    profile.refund_total ? ["Refunded", sayMoney(profile.refund_total)] : null,
    ["A repeat purchase", profile.frequency ? sayMoney(profile.monetary_value) : "–"],
    profile.prob_purchase_30d === null ? null : ["Buys within 30 days", sayPercent(profile.prob_purchase_30d), `${saySmall(profile.expected_purchases_30d)} expected`],
    profile.clv_365d === null ? null : ["Worth within a year", sayMoney(profile.clv_365d), `${sayMoney(profile.clv_90d)} within 90 days`],
    ["Customer since", sayDay(profile.first_purchase_at)],
    profile.margin ? ["Nearest other segment", badge(profile.margin.segment)] : null,
  ]));
}

function changes(history) {
  if (history === null) return panel("Last changes", empty("Not to be had: your key's role may not see the history, or the id is no more than dots."));
  const rows = history.changes.slice(-CHANGES_SHOWN).reverse();
  if (!rows.length) {
    return panel("Last changes", empty(history.remembered.caught_up ? "None of their changes is remembered any more." : "Changes are still being read; this fills by itself."));
  }
  const forgotten = history.changes[0].sequence - 1;
  const awaited = history.told - history.changes.at(-1).sequence;
  return panel("Last changes",
    table("Last changes", ["When", "From", "To", "Cause", "P(alive)"], rows.map((one) => [
      sayDay(one.occurred_at), one.previous === null ? el("span", { class: "muted" }, "new") : badge(one.previous, one.kind),
      badge(one.current, one.kind), sayCause(one.cause), sayPercent(one.prob_alive),
    ]), { class: "changes" }),
    el("p", { class: "note" }, `${plural(history.told, "change")} in all`,
      history.changes.length > rows.length ? `, the latest ${rows.length} shown` : "", forgotten > 0 ? `; ${sayCount(forgotten)} older than this API remembers` : "", awaited > 0 ? `; ${sayCount(awaited)} on the way` : "", "."));
}

/** For whoever sees such a page for the first time. */
function glossary({ outlook }) {
  const below = outlook === null ? "" : `: fading below ${sayPercent(outlook.thresholds.fading)}, lost below ${sayPercent(outlook.thresholds.lost)}`;
  const terms = [
    ["P(alive)", "How probable it is that they have not left for good. Every purchase raises it, silence lowers it: sooner for those who used to buy often."],
    ["Segment", "Customers who are alike in P(alive), number of purchases and money per purchase. It decides which offers they get."],
    ["active, fading, lost", `P(alive) in three steps${below}.`],
    ["RFM", "Recency, frequency, monetary: how lately, how often and for how much they buy, beside all other customers; 5 is best."],
    ["Scorecard", "The numbers by which all this is computed. They are learnt anew from time to time; then a segment may change although nothing was bought."],
  ];
  return el("details", { class: "fold" }, el("summary", {}, "What the words mean"),
    el("dl", { class: "terms" }, terms.map(([word, meaning]) => [el("dt", {}, word), el("dd", {}, meaning)])));
}

function raw(data) {
  const flat = (thing, before = "") => Object.entries(thing).flatMap(([name, inner]) =>
    (inner !== null && typeof inner === "object" ? flat(inner, `${before}${name}.`) : [[before + name, inner === null ? "null" : String(inner)]]));
  return el("details", { class: "fold" }, el("summary", {}, "Raw fields"),
    table("Raw fields", ["Field", "Value"], flat(data.profile).map(([name, text]) => [el("code", {}, name), el("code", {}, text)])));
}

function freshness({ freshness: fresh, as_of: asOf, scorecard }) {
  const lag = fresh.lag_records;
  return el("p", { class: "note" }, `As of ${sayMoment(asOf)}, by scorecard ${scorecard}. `,
    lag === null ? "How far the worker is behind is not known." : lag === 0 ? "Everything that Kafka holds is counted." : `${plural(lag, "record")} of this partition still to be counted.`);
}

function card(data, signal) {
  const { profile, outlook } = data;
  return el("article", { class: "card" },
    el("header", { class: "head" },
      el("div", { class: "who" }, el("h1", {}, el("span", { class: "unseen" }, "Customer "), el("span", { class: "id" }, profile.customer_id)),
        el("p", { class: "badges" }, badge(profile.segment), profile.lifecycle ? badge(profile.lifecycle, "lifecycle") : null)),
      profile.prob_alive === null ? null : gauge(profile.prob_alive)),
    el("section", { class: "story", "aria-label": "In plain words" }, story(data), freshness(profile)),
    outlook ? panel("P(alive) over time", curveOf(outlook, signal)) : null,
    el("div", { class: "pair" }, profile.rfm ? rfm(profile) : null, value(profile)),
    changes(data.history), glossary(data), raw(data));
}

const mark = (profile) => [profile.sequence, profile.scorecard, profile.last_purchase_at, profile.monetary_total, profile.refund_total, profile.segment, profile.lifecycle].join("|");

/** Show a customer, and go on showing them as they are. */
export async function showCustomer(root, { id, signal, me, remember }) {
  document.title = `${id} · Everscore`;
  const nobody = (words) => root.replaceChildren(el("section", { class: "hollow" }, el("h1", {}, "Nobody by that id"),
    el("p", {}, words, " Check it with the customer, and type it again",
      el("span", { class: "keys" }, " (", el("kbd", {}, "/"), ")"), ".")));
  let data;
  try {
    data = await asked(id, signal, me.may);
  } catch (error) {
    if (error.status !== 422) throw error;
    nobody(`${error.message}.`);
    return;
  }
  if (data === null) {
    nobody(["No purchase of ", el("strong", { class: "id" }, id), " has been counted, or they were erased."]);
    return;
  }
  remember(data.profile.customer_id);
  let inner = new AbortController();
  const paint = () => {
    inner.abort();
    inner = new AbortController();
    const open = [...root.querySelectorAll("details")].map((fold) => fold.open);
    root.replaceChildren(card(data, inner.signal));
    root.querySelectorAll("details").forEach((fold, index) => { fold.open = open[index] ?? false; });
  };
  paint();
  signal.addEventListener("abort", () => inner.abort());
  let lookedAt = Date.now();
  const again = setInterval(async () => {
    const behind = isBehind(data.history);
    if (document.hidden || Date.now() - lookedAt < (behind ? BEHIND_MS : FRESH_MS)) return;
    lookedAt = Date.now();
    try {
      const profile = await found(id, signal);
      if (profile === null) return nobody("They were erased meanwhile.");
      if (!behind && mark(profile) === mark(data.profile)) return;
      data = await asked(id, signal, me.may);
      paint();
    } catch {
      // The line above says that the API is away; what is shown stays.
    }
  }, TICK_MS);
  signal.addEventListener("abort", () => clearInterval(again));
}
