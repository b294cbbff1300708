// P(alive) over time: what purchases and silence made of it, and what more silence will.

import { draw, drawnToWidth, el } from "./dom.js";
import { colourOf, plural, sayDay, sayDays, sayMoney, sayPercent } from "./words.js";

const DAY_MS = 86_400_000;
const PAD = { top: 14, right: 50, bottom: 58, left: 44 };
const HEIGHT = 320;
const LABEL_PX = 74; // room of a date on the axis
const NAME_PX = 70; // room of a change to come

const SPANS = [["3 months", 92], ["1 year", 366], ["All", Infinity]];

function pathOf(points, x, y) {
  return points.map(({ at, p }, index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(p).toFixed(1)}`).join("");
}

/** Dates for an axis: months or years, as many as fit. */
function ticks(from, to, room) {
  const steps = [1, 2, 3, 6, 12, 24, 60];
  const months = (to - from) / (DAY_MS * 30.44);
  const step = steps.find((one) => months / one <= Math.max(room, 1)) ?? 120;
  const found = [];
  const first = new Date(from);
  let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth() + (first.getUTCDate() > 1 ? 1 : 0)) / step) * step;
  for (;; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > to) return found;
    const name = new Date(at).toLocaleDateString("en-GB", { timeZone: "UTC", ...(step >= 12 ? {} : { month: "short" }), year: "numeric" });
    found.push([at, name]);
  }
}

function marksOf(outlook, from, to) {
  const ahead = outlook.next_changes
    .map((change) => ({ ...change, ms: Date.parse(change.at) }))
    .filter((change) => change.ms <= to && change.ms >= from);
  return ahead;
}

function pAt(points, ms) {
  let low = 0;
  let high = points.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].at < ms) low = middle + 1; else high = middle;
  }
  const near = low > 0 && ms - points[low - 1].at < points[low].at - ms ? low - 1 : low;
  return points[near];
}

/**
 * The chart with its ranges and its reading line.
 *
 * `outlook` is the API's; where dates are by the quarter it has no past, and only what is to come is drawn.
 */
export function curveOf(outlook, signal) {
  const now = Date.parse(outlook.as_of);
  const past = (outlook.course ?? []).map((one) => ({ at: Date.parse(one.at), p: one.prob_alive })).filter((one) => one.at <= now);
  const ahead = outlook.days.map((one) => ({ at: Date.parse(one.at), p: one.prob_alive })).filter((one) => one.at >= now);
  const purchases = (outlook.purchase_days ?? []).map((one) => ({ ...one, at: Date.parse(one.day) }));
  if (ahead.length) past.push(ahead[0]);
  const points = [...past.slice(0, -1), ...ahead];
  const all = points.length ? points[0].at : now;
  const spans = SPANS.filter(([, days], index) => index === 0 || days === Infinity || now - all > SPANS[index - 1][1] * DAY_MS);
  let days = Infinity;
  let cursor = null;
  let geometry = null;

  const reading = el("p", { class: "reading", "aria-live": "polite" });
  const box = el("div", {
    class: "chart", tabindex: "0", role: "img",
    "aria-label": `P(alive) ${sayPercent(pAt(points, now)?.p)} on ${sayDay(outlook.as_of)}. `
      + `${plural(purchases.length, "purchase day")}. `
      + outlook.next_changes.map((one) => `${one.current ?? "no segment"} on ${sayDay(one.at)}`).join(", ")
      + " if nothing is bought. Left and right arrows read single days.",
  });

  const read = () => {
    const near = pAt(points, cursor ?? now);
    if (!near) return;
    const bought = purchases.find((one) => Math.abs(one.at - near.at) < DAY_MS / 2);
    const when = cursor === null || near.at === now ? "now" : near.at > now ? "if nothing is bought" : null;
    reading.replaceChildren(
      el("strong", {}, sayPercent(near.p)), ` on ${sayDay(new Date(near.at).toISOString())}`,
      when ? `, ${when}` : "",
      bought ? el("span", { class: "bought" }, ` · bought for ${sayMoney(bought.amount)}`) : "",
    );
  };

  const paint = (width) => {
    const from = Math.max(all, now - days * DAY_MS);
    const to = points.length ? points[points.length - 1].at : now + DAY_MS;
    const inner = { width: width - PAD.left - PAD.right, height: HEIGHT - PAD.top - PAD.bottom };
    const x = (at) => PAD.left + ((at - from) / Math.max(to - from, 1)) * inner.width;
    const y = (p) => PAD.top + (1 - p) * inner.height;
    const base = y(0);
    geometry = { from, to, inner };
    const seen = past.filter((one) => one.at >= from - DAY_MS);
    const most = Math.max(...purchases.map((one) => one.amount), 1);
    const grid = [0, 0.25, 0.5, 0.75, 1].map((p) => [
      draw("line", { class: "grid", x1: PAD.left, x2: width - PAD.right, y1: y(p), y2: y(p) }),
      draw("text", { class: "axis", x: PAD.left - 8, y: y(p) + 4, "text-anchor": "end" }, `${p * 100} %`),
    ]);
    const dates = ticks(from, to, inner.width / LABEL_PX).map(([at, name]) => [
      draw("line", { class: "tick", x1: x(at), x2: x(at), y1: base + 26, y2: base + 31 }),
      draw("text", { class: "axis", x: x(at), y: base + 46, "text-anchor": "middle" }, name),
    ]);
    const floors = Object.entries(outlook.thresholds);
    const thresholds = floors.map(([name, p]) =>
      draw("line", { class: `threshold life-${name}`, x1: PAD.left, x2: width - PAD.right, y1: y(p), y2: y(p) }));
    // Beside the plot: within it, some curve crosses any place.
    const floorNames = floors.map(([name, p]) =>
      draw("text", { class: `threshold-name life-${name}`, x: width - PAD.right + 6, y: y(p) + 4 }, name));
    const bars = purchases.filter((one) => one.at >= from).map((one) => {
      const size = 2.5 + 3.5 * Math.sqrt(Math.max(one.amount, 0) / most);
      return draw("circle", { class: "purchase", cx: x(one.at), cy: base + 13, r: size.toFixed(1) },
        draw("title", {}, `${sayDay(one.day)}: ${plural(one.purchases, "purchase")}, ${sayMoney(one.amount)}`));
    });
    const coming = marksOf(outlook, from, to);
    // The curve falls: a name has room above it to the right, and below it to the left. There it stands where the edge
    // or another mark is close, a line lower than the next: so every name is on its own side of its mark.
    const below = coming.map((one) => (x(one.ms) > width - PAD.right - NAME_PX ? 1 : 0));
    for (let index = coming.length - 2; index >= 0; index -= 1) {
      if (x(coming[index + 1].ms) - x(coming[index].ms) < NAME_PX) below[index] = below[index + 1] + 1;
    }
    const changes = coming.map((one, index) => {
      const at = x(one.ms);
      const p = pAt(ahead, one.ms)?.p ?? 0;
      const end = below[index] > 0;
      const colour = one.kind === "segment" ? colourOf(one.current) : `life-${one.current}`;
      return draw("g", { class: `coming ${colour}` },
        draw("line", { x1: at, x2: at, y1: y(p), y2: base }),
        draw("path", { d: `M${at} ${y(p) - 6}l6 6-6 6-6-6z` }),
        draw("text", { x: end ? at - 10 : at + 10, y: y(p) + (end ? 16 * below[index] : -6), "text-anchor": end ? "end" : "start" }, one.current ?? "no segment"),
        draw("title", {}, `${sayDay(one.at)}: ${one.previous ?? "–"} → ${one.current ?? "–"}, if nothing is bought`));
    });
    const area = seen.length ? `${pathOf(seen, x, y)}L${x(seen[seen.length - 1].at).toFixed(1)} ${base}L${x(seen[0].at).toFixed(1)} ${base}Z` : "";
    const clip = draw("clipPath", { id: "curve-area" }, draw("rect", { x: PAD.left, y: 0, width: Math.max(inner.width, 0), height: HEIGHT }));
    const hand = cursor === null ? null : draw("g", { class: "hand" },
      draw("line", { x1: x(cursor), x2: x(cursor), y1: PAD.top, y2: base }),
      draw("circle", { cx: x(cursor), cy: y(pAt(points, cursor)?.p ?? 0), r: 4.5 }));
    return draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
      draw("defs", {}, clip), grid, thresholds,
      draw("g", { "clip-path": "url(#curve-area)" },
        area ? draw("path", { class: "area", d: area }) : null,
        draw("path", { class: "past", d: pathOf(seen, x, y) }),
        draw("path", { class: "ahead", d: pathOf(ahead, x, y) })),
      draw("line", { class: "now", x1: x(now), x2: x(now), y1: PAD.top, y2: base + 26 }),
      draw("text", { class: "axis now-name", x: x(now), y: PAD.top - 3, "text-anchor": x(now) > width - 40 ? "end" : "middle" }, "now"),
      bars, dates, floorNames, changes, hand);
  };
  const repaint = drawnToWidth(box, paint, signal);

  const point = (ms) => {
    cursor = Math.min(Math.max(ms, geometry.from), geometry.to);
    cursor = pAt(points, cursor)?.at ?? null;
    read();
    repaint();
  };
  box.addEventListener("pointermove", (event) => {
    if (!geometry) return;
    const left = event.clientX - box.getBoundingClientRect().left - PAD.left;
    point(geometry.from + (left / geometry.inner.width) * (geometry.to - geometry.from));
  });
  const leave = () => { cursor = null; read(); repaint(); };
  box.addEventListener("pointerleave", leave);
  box.addEventListener("blur", leave);
  box.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (event.key === "Home") point(geometry.from);
    else if (event.key === "End") point(geometry.to);
    else if (event.key === "Escape" && cursor !== null) leave();
    else if (step) point((cursor ?? now) + step * DAY_MS);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const choice = el("div", { class: "choice", role: "group", "aria-label": "How far back" },
    spans.length < 2 ? [] : spans.map(([name, span]) => el("button", {
      type: "button", "aria-pressed": String(span === days),
      click: (event) => {
        days = span;
        for (const other of choice.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
        repaint();
      },
    }, name)));
  read();
  const legend = el("p", { class: "legend", "aria-hidden": "true" },
    past.length > 1 ? el("span", {}, el("i", { class: "key past" }), "until now") : null,
    el("span", {}, el("i", { class: "key ahead" }), "if nothing is bought"),
    purchases.length ? el("span", {}, el("i", { class: "key dot" }), "purchase day, larger for more money") : null,
    outlook.next_changes.length ? el("span", {}, el("i", { class: "key diamond" }), "coming change") : null);
  return el("div", { class: "curve" }, el("div", { class: "line" }, reading, choice), box, legend,
    outlook.next_changes.length ? null : el("p", { class: "note" }, `Silence changes nothing more here, however long: ${sayDays((ahead.at(-1)?.at - now) / DAY_MS || 0)} are drawn.`));
}
