// The search field: ids as one types, by the keyboard alone.

import { ask } from "./api.js";
import { el } from "./dom.js";

const RECENT = "everscore.recent";
const RECENT_MAX = 8;
const PAUSE_MS = 120; // between two letters of a fast typist
const goTo = (id) => { location.hash = `#/customer/${encodeURIComponent(id)}`; };

/** Whom one looked at in this tab, the latest first. */
export function recent() {
  try {
    return JSON.parse(sessionStorage.getItem(RECENT)) ?? [];
  } catch {
    return [];
  }
}

/** Put a customer on top of those. */
export function remember(id) {
  sessionStorage.setItem(RECENT, JSON.stringify([id, ...recent().filter((one) => one !== id)].slice(0, RECENT_MAX)));
}

export const forgetAll = () => sessionStorage.removeItem(RECENT);

/** Wake the field. `mayList()`: whether ids may be looked up by how they begin. */
export function searchField({ mayList }) {
  const form = document.querySelector("#search");
  const field = document.querySelector("#query");
  const list = document.querySelector("#suggestions");
  let chosen = -1;
  let asked = new AbortController();
  let timer = 0;

  const close = () => {
    clearTimeout(timer);
    asked.abort(); // or an answer that comes late would open it again
    list.hidden = true;
    chosen = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  };
  const choose = (index) => {
    const options = [...list.children];
    chosen = options.length ? (index + options.length) % options.length : -1;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    if (chosen >= 0) field.setAttribute("aria-activedescendant", options[chosen].id);
  };
  const offer = (ids) => {
    const held = list.children[chosen]?.textContent;
    list.replaceChildren(...ids.map((id, index) => el("li", { id: `suggestion-${index}`, role: "option", "aria-selected": "false",
      // Before the field loses the focus, and with it the list.
      pointerdown: (event) => { event.preventDefault(); take(id); } }, id)));
    list.hidden = !ids.length || document.activeElement !== field;
    field.setAttribute("aria-expanded", String(!list.hidden));
    chosen = -1;
    field.removeAttribute("aria-activedescendant");
    if (ids.includes(held)) choose(ids.indexOf(held)); // an answer that came late takes nothing away
  };
  const take = (id) => {
    close();
    field.value = "";
    field.blur();
    goTo(id);
  };
  const look = async () => {
    asked.abort();
    asked = new AbortController();
    const text = field.value.trim();
    if (!text) return offer(recent());
    if (!mayList()) return offer(recent().filter((id) => id.startsWith(text)));
    try {
      const found = await ask(`/customers?${new URLSearchParams({ prefix: text })}`, { signal: asked.signal });
      return offer(found.customers);
    } catch (error) {
      return error.name === "AbortError" ? null : close(); // the whole id can be asked for all the same
    }
  };
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, PAUSE_MS); });
  field.addEventListener("focus", look);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.hidden) look();
    else if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Escape" && !list.hidden) close();
    else if (event.key === "Escape" && field.value) field.value = "";
    else if (event.key === "Escape") { field.blur(); document.querySelector("#content").focus(); } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = chosen >= 0 ? list.children[chosen].textContent : field.value.trim();
    if (id) take(id);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || form.hidden) return;
    event.preventDefault();
    field.focus();
    field.select();
  });
}
