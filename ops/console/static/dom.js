// Elements by hand: no text ever becomes markup, which the page's policy forbids besides.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  // What is absent is left out; text becomes text.
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element; functions among the attributes are listeners, null ones are left out. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An element of a drawing. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** Draw into a box now, and again whenever its width changes; ends with the signal. */
export function drawnToWidth(box, paint, signal) {
  let width = 0;
  const watch = new ResizeObserver(([entry]) => {
    const found = Math.floor(entry.contentRect.width);
    if (found > 0 && found !== width) {
      width = found;
      box.replaceChildren(paint(width));
    }
  });
  watch.observe(box);
  signal.addEventListener("abort", () => watch.disconnect());
  return () => {
    if (width > 0) box.replaceChildren(paint(width));
  };
}

/** A table with a caption for those who do not see it. */
export function table(caption, heads, rows, attributes = {}) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", attributes,
      el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, index) => (index ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))))),
    ));
}

/** One line that says what is not there, and what to do. */
export function empty(...words) {
  return el("p", { class: "empty" }, ...words);
}
