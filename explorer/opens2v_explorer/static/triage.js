// Judge clips by keys: 50 at a time in the browser, two places on the screen of which one is shown and the other made ready, and
// verdicts that go to the outbox at once. Nothing here waits for the script of the page.

const FETCH_WHEN_LEFT = 20;
const VIDEO_AFTER_MS = 200; // whoever judges faster sees posters, and no video is asked for in vain
const POSTERS_AHEAD = 4;
const POSTERS_AFTER_MS = 60;

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".triage");
  // The place in the queue outlives the runs of the script.
  const [triage, end] = lastingOf(root, data.queue_id, () => new Triage(root, data));
  triage.renew(data);
  return end;
}

class Triage {
  constructor(root, data) {
    Object.assign(this, { root, data, items: data.items, after: data.after });
    this.find = (name) => root.querySelector(`.${name}`);
    this.ended = new AbortController();
    this.outbox = outboxOf(data);
    this.doneHere = 0;
    this.total = null;
    this.isFetching = false;
    this.fetchFailures = 0;
    this.plays = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.screens = [...root.querySelectorAll(".slot")].map((element) => new Screen(element, this));
    this.ahead = new Map();
    // What can be taken back: verdicts given here, and before the page was loaded the last few.
    this.past = data.recent.map((item) => ({ item, event_id: item.mine.event_id, before: null }));
    this.takeOwn(data.recent);
    this.at = data.which === "todo" ? this.items.findIndex((item) => !item.mine) : 0;
    if (this.at < 0) this.at = this.items.length;
    buildControls(this);
    const { signal } = this.ended;
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.endShowing = showUnsaved(this.outbox, this.find("unsaved"), this.find("unsaved-live"));
    this.show();
    this.countAll();
  }

  stop() {
    this.ended.abort();
    this.endShowing();
    clearTimeout(this.aheadTimer);
    clearTimeout(this.videoTimer);
    for (const screen of this.screens) screen.clear();
  }

  renew(data) {
    Object.assign(this.data, { token: data.token, url: data.url, writable: data.writable, why: data.why });
    outboxOf(data);
  }

  // Verdicts that were given before a reload, or while the explorer wrote what it sent, are not in that.
  takeOwn(recent) {
    const known = recent.map((item) => item.mine.at).reduce((one, other) => (one > other ? one : other), "");
    for (const event of this.outbox.own()) {
      if (event.who !== this.data.who || event.kind !== "clip" || event.round !== this.data.round) continue;
      if (event.at <= known && !this.outbox.waiting.has(event.event_id)) continue;
      const item = this.items.find((one) => one.target === event.target);
      if (event.verdict === "undo") {
        const undone = this.past.find((one) => one.event_id === event.undoes);
        this.past = this.past.filter((one) => one !== undone);
        if (item?.mine?.event_id === event.undoes) item.mine = undone?.before ?? null;
      } else if (item && !this.past.some((one) => one.event_id === event.event_id)) {
        this.past.push({ item, event_id: event.event_id, before: item.mine });
        item.mine = { event_id: event.event_id, verdict: event.verdict, reasons: event.reasons, note: event.note };
      }
    }
  }

  get item() {
    return this.items[this.at];
  }

  // -- what the user does

  onKey(event) {
    if (event.defaultPrevented || !this.root.isConnected) return;
    const help = this.find("help");
    if (help.open) {
      if (event.key === "?") help.close();
      return;
    }
    const [target] = event.composedPath();
    if (target === this.find("note").querySelector("textarea")) {
      this.onNoteKey(event, target);
      return;
    }
    if (isTyping(event)) return;
    const isOnButton = target instanceof Element && target.matches("button, a, summary, [role='button']");
    const action = this.actionOf(event, isOnButton);
    if (!action) return;
    event.preventDefault();
    if (event.repeat && !action.repeats) return; // a key held down is one verdict
    this.pressedAt = event.timeStamp;
    action.run();
  }

  actionOf(event, isOnButton) {
    if (event.key === "ArrowRight") return { run: () => this.move(1), repeats: true };
    if (event.key === "ArrowLeft") return { run: () => this.move(-1), repeats: true };
    if (event.key === " ") return isOnButton ? null : { run: () => this.togglePlay() };
    if (event.key === "?") return { run: () => this.find("help").showModal() };
    const digit = /^[1-9]$/.test(event.key) ? event.key : /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    if (digit) {
      return this.data.reasons[digit - 1] ? { run: () => this.toggleReason(this.data.reasons[digit - 1]) } : null;
    }
    const letter = letterOf(event);
    if (letter === "u") return { run: () => this.undo() };
    if (letter === "n") return { run: () => this.find("note").querySelector("textarea").focus() };
    const choice = this.data.verdicts.find((one) => one.key === letter);
    return choice ? { run: () => this.judge(choice.verdict) } : null;
  }

  onNoteKey(event, textarea) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      textarea.value = this.draft().note;
    } else if (event.key === "Enter" && !event.shiftKey) {
      const note = textarea.value.trim();
      if (this.item && note !== this.draft().note) {
        this.draft().note = note;
        this.redraft();
        this.say(note ? "Note kept" : "Note removed");
      }
    } else {
      return;
    }
    event.preventDefault();
    textarea.blur();
  }

  judge(verdict) {
    const { item } = this;
    if (!item) {
      this.say(this.isFetching ? "The next clips are on their way" : "No clip is left to judge");
      return;
    }
    if (!this.data.writable) {
      this.say(`Not taken: ${this.data.why}`);
      return;
    }
    this.commitNote();
    this.log(item, verdict);
    const { label } = this.data.verdicts.find((one) => one.verdict === verdict);
    this.at += 1;
    this.show();
    this.say(`${label}. ${this.item ? `Next: ${this.item.key}` : "Last clip"}`);
  }

  // Each verdict is an event; so is a change of its reasons or note.
  log(item, verdict) {
    const { reasons, note } = this.draftOf(item);
    const made = this.outbox.add({
      who: this.data.who,
      kind: "clip",
      target: item.target,
      verdict,
      reasons: [...reasons],
      note,
      filter_hash: this.data.filter_hash,
      catalog_digest: this.data.catalog_digest,
      round: this.data.round,
    });
    const isFirst = !item.mine;
    this.past.push({ item, event_id: made.event_id, before: item.mine, isFirst });
    if (isFirst) this.doneHere += 1;
    item.mine = { event_id: made.event_id, verdict, reasons: [...reasons], note };
  }

  undo() {
    const last = this.past.pop();
    if (!last) {
      this.say("Nothing to take back");
      return;
    }
    const { item } = last;
    this.outbox.add({
      who: this.data.who,
      kind: "clip",
      target: item.target,
      verdict: "undo",
      undoes: last.event_id,
      filter_hash: this.data.filter_hash,
      catalog_digest: this.data.catalog_digest,
      round: this.data.round,
    });
    item.mine = last.before;
    item.draft = null;
    if (last.isFirst) this.doneHere -= 1; // verdicts of before the page was loaded were not counted
    let at = this.items.findIndex((one) => one.target === item.target);
    if (at < 0) {
      at = Math.min(this.at, this.items.length);
      this.items.splice(at, 0, item);
    }
    this.at = at;
    this.show();
    this.say(`Taken back: ${this.item.key}`);
  }

  toggleReason(reason) {
    if (!this.item) return;
    const { reasons } = this.draft();
    if (!reasons.delete(reason)) reasons.add(reason);
    this.redraft();
    this.say(`${reason} ${reasons.has(reason) ? "on" : "off"}`);
  }

  commitNote() {
    const textarea = this.find("note").querySelector("textarea");
    if (this.item) this.draft().note = textarea.value.trim();
  }

  // Reasons and note belong to the verdict that follows; where there is one they change it.
  redraft() {
    if (this.item.mine && this.data.writable) this.log(this.item, this.item.mine.verdict);
    this.label();
  }

  draft() {
    return this.item ? this.draftOf(this.item) : { reasons: new Set(), note: "" };
  }

  draftOf(item) {
    item.draft ??= { reasons: new Set(item.mine?.reasons ?? []), note: item.mine?.note ?? "" };
    return item.draft;
  }

  move(step) {
    const at = Math.min(Math.max(this.at + step, 0), this.items.length);
    if (at === this.at) {
      this.say(step < 0 ? "This is the first clip" : "This is the last clip");
      return;
    }
    this.commitNote();
    this.at = at;
    this.show();
    this.say(this.item ? this.item.key : "End of the queue");
  }

  togglePlay() {
    this.plays = !this.plays;
    const front = this.front();
    if (this.plays) {
      front?.load(true);
      front?.play();
    } else front?.pause();
    this.label();
    this.say(this.plays ? "Playing" : "Paused");
  }

  // -- what is shown

  front() {
    return this.screens.find((screen) => screen.item && screen.item === this.item);
  }

  show() {
    const { item } = this;
    this.find("board").hidden = !item;
    this.find("end").hidden = Boolean(item);
    if (item) {
      let front = this.front();
      if (!front) {
        front = this.screens.find((screen) => !screen.isFront) ?? this.screens[0];
        front.take(item);
      }
      for (const screen of this.screens) screen.toFront(screen === front);
      this.getReady();
    } else {
      for (const screen of this.screens) screen.toFront(false);
      this.showEnd();
    }
    this.label();
    const pressedAt = this.pressedAt ?? performance.now();
    requestAnimationFrame(() => {
      // From the key to the frame that shows the next clip; `benchmarks/explorer.py` reads it.
      this.root.dataset.swapMs = (performance.now() - pressedAt).toFixed(1);
    });
    if (this.items.length - this.at <= FETCH_WHEN_LEFT) this.fetchMore();
  }

  // The next poster at once; more of them, and video, when the clip has stood for a moment. What is not wanted any more is
  // dropped: a browser has six connections, and verdicts need one.
  getReady() {
    clearTimeout(this.aheadTimer);
    clearTimeout(this.videoTimer);
    const next = this.items[this.at + 1];
    const back = this.screens.find((screen) => !screen.isFront);
    if (next && back && back.item !== next) back.take(next);
    const wanted = new Set(this.items.slice(this.at + 2, this.at + 2 + POSTERS_AHEAD).map((item) => item.poster));
    for (const [poster, image] of this.ahead) {
      if (wanted.has(poster)) continue;
      image.removeAttribute("src");
      this.ahead.delete(poster);
    }
    this.aheadTimer = setTimeout(() => {
      for (const poster of wanted) {
        if (!this.ahead.has(poster)) this.ahead.set(poster, Object.assign(new Image(), { src: poster, fetchPriority: "low" }));
      }
    }, POSTERS_AFTER_MS);
    this.videoTimer = setTimeout(async () => {
      if (!this.plays) return;
      await this.front()?.load(true);
      if (back?.item === next && next && this.plays) back.load(false);
    }, VIDEO_AFTER_MS);
  }

  label() {
    const { item } = this;
    const { mine } = item ?? {};
    const { reasons, note } = this.draft();
    for (const button of this.find("verdicts").children) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === mine?.verdict));
      button.disabled = !this.data.writable;
    }
    for (const button of this.find("reasons").children) {
      button.setAttribute("aria-pressed", String(reasons.has(button.dataset.reason)));
    }
    const textarea = this.find("note").querySelector("textarea");
    if (textarea !== this.root.getRootNode().activeElement) textarea.value = note;
    const given = mine && this.data.verdicts.find((one) => one.verdict === mine.verdict)?.label;
    this.find("stamp").textContent = mine ? [given, ...(mine.reasons ?? [])].join(" · ") : "";
    this.find("clip").textContent = item?.key ?? "";
    if (item) this.find("clip").href = item.href;
    this.find("facts").textContent = item ? item.facts.join(" · ") : "";
    this.find("caption").textContent = item ? item.caption || "No caption" : "";
    this.root.dataset.target = item?.target ?? "";
    this.root.dataset.at = this.at;
    this.root.dataset.done = this.doneHere;
    const play = this.root.querySelector('[data-testid="triage-play"]');
    play.setAttribute("aria-pressed", String(this.plays));
    // All that are here, once no more follow: verdicts given meanwhile may be left out of the count.
    const count = this.after ? this.total && Math.max(this.total, this.items.length) : this.items.length;
    const total = count === null ? "counting how many there are" : `of ${count.toLocaleString("en")}`;
    this.find("progress").textContent = item
      ? `Clip ${(this.at + 1).toLocaleString("en")} ${total} · ${this.doneHere} judged here`
      : `${this.doneHere} judged here`;
  }

  showEnd() {
    const end = this.find("end");
    const skipped = this.items.findIndex((item) => !item.mine);
    if (this.isFetching || this.after) {
      const failed = "The explorer does not answer; it is asked again in a moment.";
      fillEnd(end, { state: "loading", title: "More clips follow", detail: this.fetchFailures ? failed : "They are on their way." });
    } else if (skipped >= 0) {
      const count = this.items.filter((item) => !item.mine).length;
      const detail = `${count} clip${count === 1 ? " was" : "s were"} skipped and not judged.`;
      fillEnd(end, { state: "skipped", title: "End of the queue", detail }, this.data.links);
      const back = element("button", { type: "button", textContent: "Go to the first of them" });
      back.dataset.testid = "triage-skipped";
      back.addEventListener("click", () => this.move(skipped - this.at), { signal: this.ended.signal });
      end.append(back);
    } else {
      fillEnd(end, this.data.end, this.data.links);
    }
  }

  say(text) {
    this.find("live").textContent = text;
  }

  // -- more clips

  async fetchMore() {
    if (this.isFetching || !this.after) return;
    this.isFetching = true;
    try {
      const answer = await fetch(`${this.data.queue_url}&after=${encodeURIComponent(this.after)}`, { signal: this.ended.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const { items, after } = await answer.json();
      const known = new Set(this.items.map((item) => item.target));
      const wasAtEnd = !this.item;
      this.items.push(...items.filter((item) => !known.has(item.target)));
      this.after = after;
      this.fetchFailures = 0;
      this.isFetching = false;
      if (wasAtEnd) this.show();
    } catch {
      this.isFetching = false;
      if (this.ended.signal.aborted) return;
      this.fetchFailures += 1;
      if (!this.item) this.showEnd();
      setTimeout(() => this.fetchMore(), Math.min(250 * 2 ** this.fetchFailures, 4000));
    }
  }

  async countAll() {
    try {
      const answer = await fetch(`${this.data.queue_url}&count=1`, { signal: this.ended.signal });
      if (answer.ok) this.total = (await answer.json()).count;
    } catch {
      return; // the clips are shown all the same
    }
    this.label();
  }
}
