// The customer base: how large segments are and what they are worth, who moves, and two heat maps.

import { ask } from "./api.js";
import { drawnToWidth, el, empty, table } from "./dom.js";
import { sankeyOf } from "./sankey.js";
import { badge, colourOf, ordered, plural, sayCount, sayMoment, sayMoney, sayPercent } from "./words.js";

const FRESH_MS = 5_000;
const SHADES = 9;

function bar(share, segment) {
  const inner = el("span", { class: `bar-fill ${colourOf(segment)}` });
  inner.style.setProperty("--share", String(Math.max(share ?? 0, 0)));
  return el("span", { class: "bar-track", "aria-hidden": "true" }, inner);
}

/** Tiles of all segments; also what one sees first. */
export function tiles(found) {
  return el("ul", { class: "tiles" }, ordered(found.segments, (one) => one.name).map((one) => el("li", { class: `tile ${colourOf(one.name)}` },
    el("h3", {}, badge(one.name)),
    el("p", { class: "tile-number" }, sayCount(one.customers), el("small", {}, one.customers === 1 ? " customer" : " customers")),
    el("dl", { class: "tile-facts" },
      el("div", {}, el("dt", {}, "Customers"), el("dd", {}, bar(one.share, one.name), sayPercent(one.share))),
      el("div", {}, el("dt", {}, "Revenue"), el("dd", {}, bar(one.revenue_share, one.name), sayPercent(one.revenue_share))),
      el("div", {}, el("dt", {}, "Sum"), el("dd", {}, sayMoney(one.revenue))),
      el("div", {}, el("dt", {}, "P(alive)"), el("dd", {}, one.mean_prob_alive === null ? "–" : [sayPercent(one.mean_prob_alive), el("small", {}, "on average")]))))));
}

const shade = (share) => `heat-${Math.min(Math.max(Math.round(share * (SHADES - 1)), 0), SHADES - 1)}`;

function heat(caption, corner, heads, rows) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: "heat" }, el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "corner" }, corner.map((line) => el("span", {}, line))), heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map(([name, cells]) => el("tr", {}, el("th", { scope: "row" }, name),
        cells.map((cell) => (cell ? el("td", { class: shade(cell.share), title: cell.words }, el("b", {}, cell.main), el("small", {}, cell.more)) : el("td", { class: "nobody" }, el("span", { class: "unseen" }, "nobody"))))))),
    ));
}

function rfmMap(base) {
  const cells = new Map(base.rfm.map((one) => [`${one.recency}${one.frequency}`, one]));
  const most = Math.log1p(Math.max(...base.rfm.map((one) => one.customers), 1));
  const scores = [1, 2, 3, 4, 5];
  return heat("Customers by recency and frequency score, with revenue", ["Recency ↓", "Frequency →"], scores.map((score) => `F ${score}`),
    [...scores].reverse().map((recency) => [`R ${recency}`, scores.map((frequency) => {
      const one = cells.get(`${recency}${frequency}`);
      return one && { share: Math.log1p(one.customers) / most, main: sayCount(one.customers), more: sayMoney(one.revenue),
        words: `Recency ${recency}, frequency ${frequency}: ${plural(one.customers, "customer")}, ${sayMoney(one.revenue)}` };
    })]));
}

const binNames = (bins, last) => bins.map((from, index) => {
  const until = bins[index + 1];
  return until === undefined ? `${from}${last}` : until - 1 === from ? `${from}` : `${from}–${until - 1}`;
});

function aliveMatrix(base) {
  const cells = new Map(base.matrix.map((one) => [`${one.frequency_from}|${one.silence_days_from}`, one]));
  const often = binNames(base.frequency_bins, "+");
  const silent = binNames(base.silence_bins, "+");
  return heat("P(alive) by repeat purchases and days of silence, with customers", ["Repeats ↓", "Silent days →"], silent,
    base.frequency_bins.map((from, row) => [often[row], base.silence_bins.map((since, column) => {
      const one = cells.get(`${from}|${since}`);
      return one && { share: one.mean_prob_alive, main: sayPercent(one.mean_prob_alive), more: sayCount(one.customers),
        words: `${often[row]} repeat purchases, silent for ${silent[column]} days: ${plural(one.customers, "customer")}, P(alive) ${sayPercent(one.mean_prob_alive)}` };
    })]).reverse());
}

function flows(found, signal) {
  if (!found.flows.length) {
    return el("section", { class: "panel" }, el("h2", {}, "Moves between segments"),
      empty(found.remembered.caught_up ? "Nobody has moved yet." : "Changes are still being read; this fills by itself."));
  }
  const order = ordered(found.segments.map((one) => one.name));
  const moves = found.flows.filter((flow) => flow.previous !== null);
  let newcomers = moves.length === 0;
  const box = el("div", { class: "chart", role: "img", "aria-label": "Moves between segments; the table below has the numbers." });
  const repaint = drawnToWidth(box, (width) => sankeyOf(newcomers ? found.flows : moves, order, width), signal);
  const toggle = el("label", { class: "tick-box" }, el("input", { type: "checkbox", checked: newcomers, change: (event) => { newcomers = event.target.checked; repaint(); } }), "with first purchases");
  return el("section", { class: "panel" },
    el("div", { class: "line" }, el("h2", {}, "Moves between segments"), moves.length ? toggle : null), box,
    el("p", { class: "note" }, `${plural(moves.reduce((sum, flow) => sum + flow.changes, 0), "move")} from segment to segment among ${plural(found.remembered.changes, "change")} remembered${found.remembered.since ? `, since ${sayMoment(found.remembered.since)}` : ""}.`),
    el("details", { class: "fold" }, el("summary", {}, "As a table"), table("Moves between segments", ["From", "To", "Changes"],
      found.flows.map((flow) => [flow.previous === null ? "new" : badge(flow.previous), badge(flow.current, "segment", "no segment"), sayCount(flow.changes)]))));
}

/** Show the base, counted anew as the API counts. */
export async function showBase(root, { signal }) {
  document.title = "Customer base · Everscore";
  let counted = null;
  let inner = new AbortController();
  const look = async () => {
    const [found, base] = await Promise.all([ask("/segments", { signal }), ask("/customer-base", { signal })]);
    const mark = `${found.counted_at}${found.remembered.changes}`;
    if (mark === counted) return;
    counted = mark;
    const open = [...root.querySelectorAll("details")].map((one) => one.open);
    const first = root.querySelector("input[type=checkbox]")?.checked;
    inner.abort();
    inner = new AbortController();
    if (!found.customers) {
      root.replaceChildren(el("h1", {}, "Customer base"), empty("No customer has been counted yet. Start a worker and send purchases: everscore worker, everscore replay."));
      return;
    }
    root.replaceChildren(
      el("h1", {}, "Customer base"),
      el("p", { class: "note" }, `${plural(found.customers, "customer")}, counted ${sayMoment(found.counted_at)}, scorecard ${found.scorecard}.`,
        found.unscored ? ` ${plural(found.unscored, "customer")} without a purchase that was not cancelled.` : ""),
      tiles(found), flows(found, inner.signal),
      el("div", { class: "pair" },
        el("section", { class: "panel" }, el("h2", {}, "Recency and frequency"), el("p", { class: "note" }, "Customers and revenue by score, 5 is best; darker is more customers."), rfmMap(base)),
        el("section", { class: "panel" }, el("h2", {}, "Who is still there"), el("p", { class: "note" }, "P(alive) and customers by repeat purchases and days of silence."), aliveMatrix(base))));
    root.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? false; });
    const box = root.querySelector("input[type=checkbox]");
    if (first !== undefined && box && box.checked !== first) box.click();
  };
  signal.addEventListener("abort", () => inner.abort());
  await look();
  const again = setInterval(() => { if (!document.hidden) look().catch(() => {}); }, FRESH_MS);
  signal.addEventListener("abort", () => clearInterval(again));
}
