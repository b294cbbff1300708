// Asking the API, with the key in a header; and reading its stream, which EventSource could not do.

const KEPT = "everscore.key"; // in sessionStorage: gone with the tab, and never in an address
const RETRY_MS = 2_000;
const RETRY_MS_MAX = 15_000;

/** Why there is no answer. `kind` is the problem's, or "away" where nobody answered. */
export class Refusal extends Error {
  constructor(kind, status, words) {
    super(words);
    this.kind = kind;
    this.status = status;
  }
}

export const keptKey = () => sessionStorage.getItem(KEPT);
export const keepKey = (key) => (key ? sessionStorage.setItem(KEPT, key) : sessionStorage.removeItem(KEPT));

/** Call back on every refusal or answer: who shows whether the API is there. */
export const heard = new EventTarget();
const tell = (name, detail) => heard.dispatchEvent(new CustomEvent(name, { detail }));

async function refusalOf(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Not ours: a proxy's page, say.
  }
  const kind = String(problem.type ?? "").split(":").pop() || `status-${response.status}`;
  return new Refusal(kind, response.status, problem.detail ?? `The API answers with status ${response.status}.`);
}

async function request(path, { signal, headers = {}, body = null, key = keptKey() } = {}) {
  const shown = key ? { Authorization: `Bearer ${key}` } : {};
  const posted = body ? { method: "POST", body: JSON.stringify(body) } : {};
  if (body) shown["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { ...posted, signal, headers: { ...shown, ...headers }, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const refusal = new Refusal("away", 0, "The API does not answer. Is everscore serve running? This page keeps trying.");
    tell("refused", refusal);
    throw refusal;
  }
  if (!response.ok) {
    const refusal = await refusalOf(response);
    tell("refused", refusal);
    throw refusal;
  }
  tell("answered");
  return response;
}

/** A JSON answer. */
export async function ask(path, options = {}) {
  return (await request(path, options)).json();
}

/** Whether a path can carry an id: a browser takes . and .. for folders, encoded or not. */
export const fitsPath = (id) => id !== "." && id !== "..";

/** The path of a customer's route. */
export const customerPath = (id, further = "") => `/customers/${encodeURIComponent(id)}${further}`;

async function readEvents(response, onEvent, moved) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { data: "" };
      for (const line of block.split("\n")) {
        const [, name, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name) event[name] = text;
      }
      if (event.id !== undefined) moved(event.id);
      if (event.data) onEvent(JSON.parse(event.data));
    }
  }
}

/** Until the tab is looked at, or the signal ends it. */
function lookedAt(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
    look();
  });
}

/**
 * Read a stream until the signal ends it. While the tab is hidden it is closed: a browser has six connections
 * to one server, and six hidden tabs would hold them all. Where it breaks off, it goes on behind the last event seen; where
 * the server no longer remembers what came next, it begins anew and says so.
 */
export async function follow(path, { signal, onEvent, onState }) {
  let last = null;
  let pause = RETRY_MS;
  while (!signal.aborted) {
    await lookedAt(signal);
    if (signal.aborted) return;
    const open = new AbortController();
    const close = () => { if (document.hidden || signal.aborted) open.abort(); };
    document.addEventListener("visibilitychange", close);
    signal.addEventListener("abort", close, { once: true });
    try {
      const response = await request(path, { signal: open.signal, headers: last ? { "Last-Event-ID": last } : {} });
      onState("open");
      pause = RETRY_MS;
      await readEvents(response, onEvent, (id) => { last = id; });
      onState("closed");
    } catch (error) {
      if (signal.aborted) return;
      if (error.name === "AbortError") {
        onState("closed");
        continue;
      }
      if (error.status === 410 || error.kind === "invalid-event-id") {
        last = null;
        onState("gap");
        continue;
      }
      if (error.status === 401 || error.status === 403) {
        onState("refused", error);
        return;
      }
      onState("away", error instanceof Refusal ? error : null);
      pause = Math.min(pause * 1.5, RETRY_MS_MAX);
    } finally {
      document.removeEventListener("visibilitychange", close);
      signal.removeEventListener("abort", close);
    }
    await rest(pause, signal);
  }
}

/** Wait; shorter if the signal ends it. */
export function rest(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
