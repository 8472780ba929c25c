// Same identity, not, or unsure: three buttons and their keys, whose verdicts go to the outbox.

const CHOICES = [
  { verdict: "same", key: "s", label: "Same identity" },
  { verdict: "different", key: "n", label: "Not the same" },
  { verdict: "unsure", key: "u", label: "Unsure" },
];
const judges = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".judge");
  judges.get(root)?.stop();
  const judge = new Judge(root, data, setTriggerValue);
  judges.set(root, judge);
  return () => judge.stop();
}

class Judge {
  constructor(root, data, trigger) {
    Object.assign(this, { root, data, trigger });
    this.ended = new AbortController();
    this.outbox = outboxOf(data);
    this.find = (name) => root.querySelector(`.${name}`);
    this.mine = this.lastOwn(data.mine);
    this.hasMovedOn = false;
    this.find("question").textContent = data.label;
    this.find("buttons").replaceChildren(...CHOICES.map((choice) => this.button(choice)));
    const { signal } = this.ended;
    if (data.hotkeys) document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.endShowing = showUnsaved(this.outbox, this.find("unsaved"), this.find("live"));
    this.show();
  }

  stop() {
    this.ended.abort();
    this.endShowing();
  }

  // What was said before a reload, or while the explorer wrote what it sent, is not in that.
  lastOwn(known) {
    const { who, kind } = this.data.event;
    const isOwn = (event) => event.target === this.data.target && event.who === who && event.kind === kind;
    const last = this.outbox.own().filter(isOwn).at(-1);
    if (!last || known?.at > last.at) return known;
    return last.verdict === "undo" ? null : { event_id: last.event_id, verdict: last.verdict };
  }

  button(choice) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.verdict = choice.verdict;
    button.dataset.testid = `judge-${choice.verdict}`;
    button.disabled = !this.data.writable;
    button.append(choice.label);
    if (this.data.hotkeys) {
      const key = document.createElement("kbd");
      key.textContent = choice.key.toUpperCase();
      button.append(" ", key);
      button.setAttribute("aria-keyshortcuts", choice.key.toUpperCase());
    }
    button.addEventListener("click", () => this.judge(choice), { signal: this.ended.signal });
    return button;
  }

  onKey(event) {
    if (event.repeat || event.defaultPrevented || isTyping(event) || !this.root.isConnected) return;
    const choice = CHOICES.find((one) => one.key === letterOf(event));
    if (!choice) return;
    event.preventDefault();
    // The next one is on its way: it is not judged unseen, and this one not taken back.
    if (this.hasMovedOn) return;
    this.judge(choice);
    this.hasMovedOn = this.data.moves_on && this.data.writable;
  }

  // The same once more takes it back.
  judge(choice) {
    if (!this.data.writable) return;
    const base = { ...this.data.event, target: this.data.target };
    if (this.mine?.verdict === choice.verdict) {
      this.outbox.add({ ...base, verdict: "undo", undoes: this.mine.event_id });
      this.mine = null;
      this.hasMovedOn = false;
      this.say("Taken back");
    } else {
      const made = this.outbox.add({ ...base, verdict: choice.verdict });
      this.mine = { event_id: made.event_id, verdict: choice.verdict };
      this.say(choice.label);
    }
    this.show();
    if (this.data.triggers) this.trigger("judged", { target: this.data.target, verdict: this.mine?.verdict ?? null });
  }

  show() {
    this.root.dataset.verdict = this.mine?.verdict ?? "";
    for (const button of this.find("buttons").children) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === this.mine?.verdict));
    }
    const choice = CHOICES.find((one) => one.verdict === this.mine?.verdict);
    const shown = choice ? `Your verdict: ${choice.label.toLowerCase()}` : "Not judged by you";
    this.find("mine").textContent = this.data.writable ? shown : this.data.why;
  }

  say(text) {
    this.find("live").textContent = text;
  }
}
