// Draw distributions, and let a range be chosen on each: by dragging, or by two handles and the arrow keys.
//
// A range goes into the URL, as `fields.py` names it: `LOW..HIGH`, half-open; at an end of the axis the edge is left out,
// so that clips beyond it count. `static/links.js` follows.

const SVG = "http://www.w3.org/2000/svg";
const STEP_WAIT_MS = 450;
const MIN_DRAG_PX = 4;

const shown = (value) => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
};
const counted = (value) => value.toLocaleString("en");

function element(name, attributes = {}, text = "") {
  const made = name === "svg" || name === "rect" || name === "line"
    ? document.createElementNS(SVG, name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

class Histogram {
  constructor(place) {
    this.place = place;
    this.timer = 0;
    this.drag = null;
    this.place.className = "one";
    this.head = element("div", { class: "head" });
    this.label = element("span", { class: "label" });
    this.range = element("span", { class: "range" });
    this.clearButton = element("button", { class: "clear", type: "button" }, "Clear");
    this.head.append(this.label, this.range, this.clearButton);
    this.plot = element("div", { class: "plot" });
    this.svg = element("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
    this.handles = ["lo", "hi"].map((edge) => {
      const made = element("div", { class: "handle", role: "slider", tabindex: "0", "aria-orientation": "horizontal" });
      made.addEventListener("keydown", (event) => this.onKey(event, edge));
      made.addEventListener("pointerdown", (event) => this.onDown(event, edge));
      return made;
    });
    this.plot.append(this.svg, ...this.handles);
    this.ends = element("div", { class: "ends" });
    this.place.append(this.head, this.plot, this.ends);
    this.plot.addEventListener("pointerdown", (event) => this.onDown(event, null));
    this.plot.addEventListener("pointermove", (event) => this.onMove(event));
    this.plot.addEventListener("pointerup", (event) => this.onUp(event));
    this.plot.addEventListener("pointercancel", () => this.stop());
    this.plot.addEventListener("dblclick", () => this.clear());
    this.clearButton.addEventListener("click", () => this.clear());
  }

  show(data) {
    const isNew = this.data?.name !== data.name || this.data.lo !== data.lo || this.data.hi !== data.hi;
    this.data = data;
    // What is being chosen right now is not pulled away by an answer to an earlier choice.
    if (!this.drag && !this.timer && (isNew || !this.chosen)) this.chosen = { lo: data.lo, hi: data.hi };
    this.place.dataset.testid = `histogram-${data.name}`;
    this.place.setAttribute("role", "group");
    this.place.setAttribute("aria-label", `${data.label}: ${data.about}`);
    this.label.textContent = data.label;
    this.label.title = data.about;
    this.draw();
  }

  get span() {
    return this.data.high - this.data.low;
  }

  get step() {
    return this.span / this.data.all.length;
  }

  share(value) {
    return Math.min(1, Math.max(0, (value - this.data.low) / this.span));
  }

  draw() {
    const { data, chosen } = this;
    const bins = data.all.length;
    const unit = data.unit ? ` ${data.unit}` : "";
    this.svg.setAttribute("viewBox", `0 0 ${bins} 100`);
    this.svg.replaceChildren();
    const lo = chosen.lo ?? -Infinity;
    const hi = chosen.hi ?? Infinity;
    const tallest = Math.max(1, ...data.all);
    const tallestNow = Math.max(1, ...(data.now ?? data.all));
    // Few among many would be no bar at all: the clips of the filters have a scale of their own, at three quarters.
    const bar = (count, most, css, index, high) => {
      if (!count) return;
      const height = Math.max(1.5, (count / most) * high);
      this.svg.append(element("rect", { class: css, x: index + 0.06, width: 0.88, y: 100 - height, height }));
    };
    data.all.forEach((count, index) => bar(count, tallest, "bar-all", index, 100));
    (data.now ?? []).forEach((count, index) => {
      const middle = data.low + (index + 0.5) * this.step;
      bar(count, tallestNow, middle < lo || middle >= hi ? "bar-now out" : "bar-now", index, data.isAll ? 100 : 75);
    });
    this.svg.append(element("line", { class: "axis", x1: 0, x2: bins, y1: 100, y2: 100 }));
    if (chosen.lo !== null || chosen.hi !== null) {
      const from = this.share(lo) * bins;
      const to = this.share(hi) * bins;
      this.svg.append(element("rect", { class: "window", x: from, width: Math.max(0, to - from), y: 0, height: 100 }));
    }
    const [low, high] = this.handles;
    low.style.left = `${100 * this.share(lo)}%`;
    high.style.left = `${100 * this.share(hi)}%`;
    low.classList.toggle("free", chosen.lo === null);
    high.classList.toggle("free", chosen.hi === null);
    this.describe(low, chosen.lo, data.low, "from", `no lower edge`);
    this.describe(high, chosen.hi, data.high, "to below", `no upper edge`);
    const words = [];
    if (chosen.lo !== null) words.push(`from ${shown(chosen.lo)}`);
    if (chosen.hi !== null) words.push(`below ${shown(chosen.hi)}`);
    this.range.textContent = words.length ? words.join(" ") + unit : "";
    this.clearButton.hidden = !words.length;
    this.clearButton.setAttribute("aria-label", `Clear the range of ${data.label}`);
    const beyond = [];
    if (data.missing) beyond.push(`${counted(data.missing)} missing`);
    if (data.below) beyond.push(`${counted(data.below)} lower`);
    if (data.above) beyond.push(`${counted(data.above)} higher`);
    this.ends.replaceChildren(
      element("span", {}, shown(data.low)),
      element("span", {}, data.now === null ? "counting…" : beyond.join(", ")),
      element("span", {}, shown(data.high) + unit),
    );
    this.place.classList.toggle("waiting", data.now === null);
  }

  describe(handle, value, fallback, word, none) {
    const { data } = this;
    const unit = data.unit ? ` ${data.unit}` : "";
    const edge = handle === this.handles[0] ? "lower" : "upper";
    handle.dataset.testid = `histogram-${data.name}-${edge}`;
    handle.setAttribute("aria-label", `${data.label}, ${edge} edge`);
    handle.setAttribute("aria-valuemin", data.low);
    handle.setAttribute("aria-valuemax", data.high);
    handle.setAttribute("aria-valuenow", this.data.low + this.share(value ?? fallback) * this.span);
    handle.setAttribute("aria-valuetext", value === null ? none : `${word} ${shown(value)}${unit}`);
  }

  // -- choosing

  at(event) {
    const box = this.plot.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  }

  snapped(share) {
    const bins = this.data.all.length;
    const index = Math.round(share * bins);
    if (index <= 0 || index >= bins) return index <= 0 ? -Infinity : Infinity;
    return Number((this.data.low + index * this.step).toPrecision(4));
  }

  choose(lo, hi) {
    this.chosen = { lo: Number.isFinite(lo) ? lo : null, hi: Number.isFinite(hi) ? hi : null };
    this.draw();
  }

  onDown(event, edge) {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    if (edge) this.handles[edge === "lo" ? 0 : 1].focus();
    this.plot.setPointerCapture(event.pointerId);
    this.drag = { edge, start: this.at(event), x: event.clientX, moved: false };
  }

  onMove(event) {
    const { drag } = this;
    if (!drag) return;
    if (!drag.moved && Math.abs(event.clientX - drag.x) < MIN_DRAG_PX) return;
    drag.moved = true;
    const here = this.at(event);
    const { lo, hi } = this.chosen;
    if (drag.edge === "lo") {
      const value = this.snapped(here);
      if (value < (hi ?? Infinity)) this.choose(value, hi ?? Infinity);
    } else if (drag.edge === "hi") {
      const value = this.snapped(here);
      if (value > (lo ?? -Infinity)) this.choose(lo ?? -Infinity, value);
    } else {
      const from = this.snapped(Math.min(drag.start, here));
      const to = this.snapped(Math.max(drag.start, here));
      if (from < to) this.choose(from, to);
    }
  }

  onUp() {
    const moved = this.drag?.moved;
    this.stop();
    if (moved) this.write();
  }

  stop() {
    this.drag = null;
  }

  onKey(event, edge) {
    const { lo, hi } = this.chosen;
    const now = this.share(edge === "lo" ? lo ?? -Infinity : hi ?? Infinity);
    const step = 1 / this.data.all.length;
    const moves = {
      ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -10 * step, PageUp: 10 * step,
      Home: -2, End: 2,
    };
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.choose(edge === "lo" ? null : lo, edge === "hi" ? null : hi);
      this.later();
      return;
    }
    if (!(event.key in moves)) return;
    event.preventDefault();
    const value = this.snapped(now + moves[event.key]);
    const edges = edge === "lo" ? [value, hi ?? Infinity] : [lo ?? -Infinity, value];
    if (edges[0] < edges[1]) this.choose(...edges);
    this.later();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.write();
    }, STEP_WAIT_MS);
  }

  clear() {
    this.choose(null, null);
    this.write();
  }

  write() {
    const { lo, hi } = this.chosen;
    const url = new URL(location.href);
    const text = lo === null && hi === null ? "" : `${lo ?? ""}..${hi ?? ""}`;
    if ((url.searchParams.get(this.data.name) ?? "") === text) return;
    url.searchParams.delete("after");
    if (text) url.searchParams.set(this.data.name, text);
    else url.searchParams.delete(this.data.name);
    document.dispatchEvent(new CustomEvent("o-go", { detail: url.href }));
  }
}

const made = new WeakMap();

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".root");
  root.classList.toggle("wide", Boolean(data.wide));
  const known = made.get(root) ?? new Map();
  made.set(root, known);
  for (const one of data.histograms) {
    if (!known.has(one.name)) {
      const place = root.appendChild(document.createElement("div"));
      known.set(one.name, new Histogram(place));
    }
    known.get(one.name).show(one);
  }
  for (const [name, one] of known) {
    if (!data.histograms.some((other) => other.name === name)) {
      one.place.remove();
      known.delete(name);
    }
  }
}
