// Verdicts on their way to the explorer. None is lost: each is kept in this browser until the explorer has said that it is logged.
//
// Every event has an id that was drawn here, so that sending it again does no harm: after a lost answer, from a second tab, after
// a reload. Events are kept apart by the log they were made for. One entry of localStorage an event, since tabs share it.

const OUTBOX_BATCH = 100;
const OUTBOX_WAITS_MS = [250, 500, 1000, 2000, 4000];
const OUTBOX_TIMEOUT_MS = 8000;
const OUTBOX_KEEPALIVE_BYTES = 60000; // browsers refuse more than 64 KiB of bodies that outlive their page
const OUTBOX_SAY_AFTER_MS = 1500;

class Outbox {
  constructor(log) {
    this.prefix = `opens2v-verdict:${log}:`;
    this.waiting = new Map();
    this.logged = new Map();
    this.refused = new Map();
    this.listeners = new Set();
    this.url = "";
    this.token = "";
    this.batch = OUTBOX_BATCH;
    this.isSending = false;
    this.isKept = true;
    this.problem = "";
    this.failures = 0;
    this.timer = 0;
    this.lastAt = 0;
    this.count = 0;
    this.load();
    addEventListener("online", () => this.flush());
    addEventListener("pagehide", () => this.sendLast());
    document.addEventListener("visibilitychange", () => document.hidden && this.sendLast());
    addEventListener("beforeunload", (event) => {
      if (this.waiting.size && !this.isKept) event.preventDefault();
    });
  }

  // Take an event without id and time; give it with them.
  add(event) {
    this.lastAt = Math.max(Date.now(), this.lastAt + 1);
    const made = { event_id: newId(), at: new Date(this.lastAt).toISOString(), ...event };
    this.waiting.set(made.event_id, made);
    try {
      localStorage.setItem(this.prefix + made.event_id, JSON.stringify({ n: this.count++, event: made }));
    } catch {
      this.isKept = false; // full, or forbidden: then this page's memory is all there is
    }
    this.changed();
    this.flush();
    return made;
  }

  load() {
    const found = [];
    try {
      const keys = Array.from({ length: localStorage.length }, (_, at) => localStorage.key(at));
      for (const key of keys.filter((one) => one.startsWith(this.prefix))) found.push(...entryOf(localStorage.getItem(key)));
    } catch {
      this.isKept = false;
    }
    found.sort((one, other) => (one.event.at < other.event.at ? -1 : one.event.at > other.event.at ? 1 : one.n - other.n));
    for (const { event } of found) this.waiting.set(event.event_id, event);
  }

  // This page's events, in their order: what the explorer sends may have been written before the last of them were logged.
  own() {
    return [...this.logged.values(), ...this.waiting.values()];
  }

  async flush() {
    if (this.isSending || !this.waiting.size || !this.url) return;
    clearTimeout(this.timer);
    this.isSending = true;
    const events = [...this.waiting.values()].slice(0, this.batch);
    const body = JSON.stringify(events);
    let isDone = false;
    try {
      const answer = await fetch(this.url, {
        method: "POST",
        headers: this.headers(),
        body,
        keepalive: body.length < OUTBOX_KEEPALIVE_BYTES / 2,
        priority: "high", // before the pictures that wait for a connection
        signal: AbortSignal.timeout(OUTBOX_TIMEOUT_MS),
      });
      if (answer.ok) {
        this.settle(events, (await answer.json()).results);
        isDone = true;
      } else {
        await this.explain(answer, events.length);
      }
    } catch {
      this.problem = "The explorer does not answer";
    }
    this.isSending = false;
    this.failures = isDone ? 0 : this.failures + 1;
    if (isDone) this.problem = "";
    this.changed();
    if (!this.waiting.size) return;
    const wait = isDone ? 0 : OUTBOX_WAITS_MS[Math.min(this.failures, OUTBOX_WAITS_MS.length) - 1];
    this.timer = setTimeout(() => this.flush(), wait);
  }

  settle(events, results) {
    events.forEach((event, at) => {
      const result = results[at];
      if (!result) return;
      this.waiting.delete(event.event_id);
      if (result.status === "refused") this.refused.set(event.event_id, result.reason ?? "");
      else this.logged.set(event.event_id, event);
      try {
        localStorage.removeItem(this.prefix + event.event_id);
      } catch {
        this.isKept = false;
      }
    });
  }

  async explain(answer, count) {
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 413 && count > 1) this.batch = Math.ceil(count / 2);
    this.problem = sentences(told.title ?? told.error ?? `The explorer answers ${answer.status}`, told.detail, told.advice);
  }

  // The page goes: what can be sent is sent by the browser after it; all of it is kept as well.
  sendLast() {
    if (!this.waiting.size || !this.url) return;
    const events = [];
    let size = 2;
    for (const event of this.waiting.values()) {
      size += JSON.stringify(event).length * 2 + 1;
      if (size > OUTBOX_KEEPALIVE_BYTES / 2) break;
      events.push(event);
    }
    fetch(this.url, { method: "POST", headers: this.headers(), body: JSON.stringify(events), keepalive: true }).catch(() => {});
  }

  headers() {
    return { "Content-Type": "application/json", "X-Explorer-Token": this.token };
  }

  changed() {
    for (const listener of this.listeners) listener(this);
  }
}

// One outbox a log and page, whichever component asks first.
function outboxOf({ log, url, token }) {
  globalThis.opens2vOutboxes ??= new Map();
  const known = globalThis.opens2vOutboxes;
  if (!known.has(log)) known.set(log, new Outbox(log));
  const outbox = known.get(log);
  outbox.url = url;
  outbox.token = token;
  outbox.flush();
  return outbox;
}

// Show how many verdicts are not saved in an element, and say so where it lasts; return what ends it.
function showUnsaved(outbox, element, live) {
  let timer = 0;
  let wasSaid = false;
  const words = () => {
    const parts = [];
    const { size } = outbox.waiting;
    if (size) parts.push(`${size} verdict${size === 1 ? "" : "s"} not saved yet`);
    if (size && outbox.problem) parts.push(outbox.problem);
    if (size && !outbox.isKept) parts.push("This browser keeps nothing: do not close the page.");
    if (outbox.refused.size) {
      parts.push(`${outbox.refused.size} refused: ${[...outbox.refused.values()].pop()}`);
    }
    return sentences(...parts);
  };
  const show = () => {
    const text = words();
    element.textContent = text || "All verdicts saved";
    element.dataset.unsaved = outbox.waiting.size;
    element.dataset.state = outbox.waiting.size ? "unsaved" : outbox.refused.size ? "refused" : "saved";
    clearTimeout(timer);
    if (text) {
      timer = setTimeout(() => {
        live.textContent = words();
        wasSaid = true;
      }, OUTBOX_SAY_AFTER_MS);
    } else if (wasSaid) {
      live.textContent = "All verdicts saved";
      wasSaid = false;
    }
  };
  outbox.listeners.add(show);
  show();
  return () => {
    clearTimeout(timer);
    outbox.listeners.delete(show);
  };
}

// An entry that something else wrote over is left alone, and keeps no other back.
function entryOf(text) {
  try {
    const entry = JSON.parse(text);
    return entry?.event?.event_id ? [entry] : [];
  } catch {
    return [];
  }
}

// Join what is there, with a full stop behind each but the last.
function sentences(...parts) {
  return parts
    .filter(Boolean)
    .map((part) => part.replace(/\.$/, ""))
    .join(". ");
}

// Pages served from this machine may use randomUUID; those reached by name over plain HTTP have getRandomValues alone.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

// Whether a key is meant for a field that takes text, or for the browser.
function isTyping(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  const [target] = event.composedPath();
  return target instanceof Element && target.matches("input, textarea, select, [contenteditable='true'], [role='slider']");
}

// The letter of a key, by what it writes, else by where it lies (another alphabet's layout).
function letterOf(event) {
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  const found = /^Key([A-Z])$/.exec(event.code);
  return found && !/^[\x20-\x7e]$/.test(event.key) ? found[1].toLowerCase() : "";
}
