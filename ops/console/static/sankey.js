// Flows between segments: from the left to the right, as thick as they are many.

import { draw } from "./dom.js";
import { colourOf, plural, sayCount } from "./words.js";

const NODE = 14;
const GAP = 14;
const LEAST = 1.5; // of a ribbon, px: thinner is not seen
const NAMED_FROM = 11; // px of height: below it names would lie upon each other
const NEW = "new";
const GONE = "no segment";

function stack(names, sums, top, scale) {
  const found = new Map();
  let y = top;
  for (const name of names) {
    const height = Math.max(sums.get(name) * scale, LEAST);
    found.set(name, { y, height, used: 0 });
    y += height + GAP;
  }
  return found;
}

function sumsBy(flows, side) {
  const sums = new Map();
  for (const flow of flows) sums.set(flow[side], (sums.get(flow[side]) ?? 0) + flow.changes);
  return sums;
}

/** The drawing; `order` is that of the segments. */
export function sankeyOf(found, order, width) {
  const flows = found.map((flow) => ({ from: flow.previous ?? NEW, to: flow.current ?? GONE, changes: flow.changes }));
  const rank = (name) => (name === NEW ? -1 : order.includes(name) ? order.indexOf(name) : order.length);
  const sorted = (sums) => [...sums.keys()].sort((one, other) => rank(one) - rank(other));
  const left = sumsBy(flows, "from");
  const right = sumsBy(flows, "to");
  const total = flows.reduce((sum, flow) => sum + flow.changes, 0);
  const height = Math.min(460, Math.max(300, width * 0.5));
  const roomy = width >= 520;
  const names = roomy ? 150 : 96;
  const tall = Math.max(left.size, right.size);
  const scale = (height - 24 - GAP * (tall - 1)) / Math.max(total, 1);
  const from = stack(sorted(left), left, 12, scale);
  const to = stack(sorted(right), right, 12, scale);
  const x0 = names + NODE;
  const x1 = width - names - NODE;
  const half = (x0 + x1) / 2;
  const ribbons = [...flows].sort((one, other) => rank(one.from) - rank(other.from) || rank(one.to) - rank(other.to)).map((flow) => {
    const thick = Math.max(flow.changes * scale, LEAST);
    const a = from.get(flow.from);
    const b = to.get(flow.to);
    const y0 = a.y + a.used + thick / 2;
    const y1 = b.y + b.used + thick / 2;
    a.used += thick;
    b.used += thick;
    return { thick, ...flow, node: draw("path", {
      class: `ribbon ${colourOf(flow.from === NEW ? flow.to : flow.from)}`, "stroke-width": thick.toFixed(1),
      d: `M${x0} ${y0.toFixed(1)}C${half} ${y0.toFixed(1)} ${half} ${y1.toFixed(1)} ${x1} ${y1.toFixed(1)}`,
    }, draw("title", {}, `${flow.from} → ${flow.to}: ${plural(flow.changes, "change")}`)) };
  }).sort((one, other) => other.thick - one.thick).map((one) => one.node);
  const node = (stacked, sums, x, side) => [...stacked].map(([name, one]) => [
    draw("rect", { class: `node ${name === NEW || name === GONE ? "seg-none" : colourOf(name)}`, x, y: one.y, width: NODE, height: one.height, rx: 3 },
      draw("title", {}, `${name}: ${plural(sums.get(name), "change")}`)),
    one.height + GAP < NAMED_FROM ? null : draw("text", {
      class: "node-name", x: side === "end" ? x - 8 : x + NODE + 8, y: one.y + one.height / 2 + 4, "text-anchor": side,
    }, name, !roomy ? null : draw("tspan", { class: "node-count", dx: 6 }, sayCount(sums.get(name)))),
  ]);
  const deepest = Math.max(...[...from.values(), ...to.values()].map((one) => one.y + one.height)) + 12;
  return draw("svg", { viewBox: `0 0 ${width} ${deepest.toFixed(0)}`, width, height: deepest.toFixed(0), "aria-hidden": "true" },
    ribbons, node(from, left, names, "end"), node(to, right, x1, "start"));
}
