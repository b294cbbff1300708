// The state of the service, as the API can know it without writing anywhere.

import { ask } from "./api.js";
import { el, empty, table } from "./dom.js";
import { badge, ordered, plural, sayCount, sayMoment, sayOne } from "./words.js";

const FRESH_MS = 2_000;
const LATE_MS = 60_000;

const tile = (name, number, more, look = "") => el("li", { class: `tile ${look}` }, el("h3", {}, name), el("p", { class: "tile-number" }, number), el("p", { class: "note" }, more));

function lagTile(found) {
  if (found.lag_records === null) return tile("Lag", "not known", "Kafka does not tell the API where its topics end.", "warn");
  return tile("Lag", sayCount(found.lag_records), found.lag_records ? "records in Kafka still to be counted" : "Everything that Kafka holds is counted.", found.lag_records ? "" : "good");
}

function deadTile({ counted }) {
  if (counted === null) return tile("Dead letters", "not known", "No partition has been looked at yet.", "warn");
  return tile("Dead letters", sayCount(counted), counted ? "records that could not be counted, ever" : "Every record could be counted.", counted ? "warn" : "good");
}

function partitions(found) {
  const now = Date.parse(found.now);
  return table("Partitions", ["Partition", "Lag", "Counted", "Twice sent", "Dead", "Stream time", "Last commit seen", "Worker"],
    found.partitions.map((one) => {
      const quiet = one.last_success_at === null || now - Date.parse(one.last_success_at) > LATE_MS;
      const stuck = quiet && one.lag_records > 0;
      return [one.partition, el("span", { class: stuck ? "bad-words" : null }, sayCount(one.lag_records)), sayCount(one.applied), sayCount(one.duplicates), sayCount(one.dead),
        sayMoment(one.stream_time), one.last_success_at === null ? "not since this API runs" : sayMoment(one.last_success_at), one.owner ?? "–"];
    }), { class: "wide" });
}

function dead(found) {
  const letters = found.dead_letters;
  if (!letters.reasons.length) {
    return empty(letters.following ? "No dead letters." : "Kafka's dead letters cannot be read at the moment; the operator's log says why.");
  }
  const hidden = letters.latest.some((one) => one.message === null);
  return [
    el("ul", { class: "reasons" }, letters.reasons.map((one) => el("li", {}, el("strong", {}, sayCount(one.letters)), ` ${one.error}`))),
    table("Latest dead letters", ["At", "When", "Error", "Reason", "Record"], letters.latest.map((one) => [
      el("code", {}, one.at), sayMoment(one.died_at), one.error, el("span", { class: "reason" }, one.message ?? "–"), el("code", {}, one.source)]), { class: "wide" }),
    el("p", { class: "note" }, hidden ? "Reasons quote ids, which your role does not see. " : "", "Look closer, mend and put back at a terminal: ", el("code", {}, `everscore dlq show ${letters.latest[0]?.at ?? ""}`), "."),
  ];
}

function scorecard(card) {
  if (card === null) return empty("No worker has adopted a scorecard yet: start one, everscore worker.");
  const gain = card.inertia_per_customer !== null && card.previous_inertia_per_customer ? 1 - card.inertia_per_customer / card.previous_inertia_per_customer : null;
  return el("dl", { class: "facts" }, [
    ["Version", card.version], ["Model", card.family === "mbgnbd" ? "MBG/NBD" : "BG/NBD"], ["In use since", card.adopted_at ? sayMoment(card.adopted_at) : "the beginning"],
    ["Learnt from", card.customers ? plural(card.customers, "customer") : "published parameters"], ["By", card.method],
    gain === null ? null : ["Inertia against the one before", `${gain >= 0 ? "−" : "+"}${sayOne(Math.abs(gain) * 100)} %`],
    ["Segments", ordered(card.segments).map((name) => [badge(name), " "])],
  ].filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** Show the state, looked at every two seconds. */
export async function showState(root, { signal }) {
  document.title = "Service · Everscore";
  const look = async () => {
    const found = await ask("/service", { signal });
    const left = [...root.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const held = [...root.querySelectorAll(".scroll")].indexOf(document.activeElement);
    root.replaceChildren(
      el("h1", {}, "State of the service"),
      el("ul", { class: "tiles" }, lagTile(found),
        tile("Events a second", found.events_per_second === null ? "not known yet" : sayOne(found.events_per_second), "counted over the last ten seconds"),
        tile("Scorecard", found.scorecard?.version ?? "none", found.scorecard?.adopted_at ? `since ${sayMoment(found.scorecard.adopted_at)}, stream time` : "since the beginning"),
        deadTile(found.dead_letters)),
      el("section", { class: "panel" }, el("h2", {}, "Partitions"), partitions(found),
        el("p", { class: "note" }, "The API only reads: it sees workers by their commits, and cannot tell one that has nothing to do from one that has ended while there is no lag. Ask them: ", el("code", {}, "everscore doctor"), ".")),
      el("section", { class: "panel" }, el("h2", {}, "Dead letters"), dead(found)),
      el("section", { class: "panel" }, el("h2", {}, "Scorecard"), scorecard(found.scorecard)),
      el("p", { class: "note" }, `Everscore ${found.version}. ${plural(found.changes.changes, "change")} remembered of ${sayCount(found.changes.changes_max)} at most`,
        found.changes.caught_up ? "." : "; what Kafka holds is still being read, or Kafka is away."));
    root.querySelectorAll(".scroll").forEach((one, index) => {
      one.scrollLeft = left[index] ?? 0;
      if (index === held) one.focus();
    });
  };
  await look();
  const again = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, FRESH_MS);
  signal.addEventListener("abort", () => clearInterval(again));
}
