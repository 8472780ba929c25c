// Pairs by text and image similarity: a drag keeps a rectangle, a click shows the nearest pair, and the fields below do the same.

const LEFT = 46;
const BOTTOM = 34;
const TOP = 8;
const RIGHT = 10;
const CLICK_PIXELS = 4;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".scatter");
  if (!root) return;
  const [chart, end] = lastingOf(root, "", () => new Chart(root));
  chart.send = setTriggerValue;
  chart.update(data);
  return end;
}

class Chart {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.brush = root.querySelector(".brush");
    this.ended = new AbortController();
    this.from = null;
    const on = (target, name, call) => target.addEventListener(name, call, { signal: this.ended.signal });
    const plot = root.querySelector(".plot");
    on(plot, "pointerdown", (event) => this.begin(event));
    on(plot, "pointermove", (event) => this.drag(event));
    on(plot, "pointerup", (event) => this.finish(event));
    on(plot, "pointercancel", () => this.cancel());
    on(root.querySelector("form"), "submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    on(root.querySelector('[data-do="clear"]'), "click", () => this.send("range", { image: [null, null], text: [null, null] }));
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(plot);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    on(this.scheme, "change", () => this.draw());
  }

  stop() {
    this.ended.abort();
    this.watcher.disconnect();
  }

  update(data) {
    this.data = data;
    for (const name of ["image", "text"]) {
      const [lo, hi] = data[name];
      this.field(`${name}-lo`).value = lo ?? "";
      this.field(`${name}-hi`).value = hi ?? "";
    }
    this.root.querySelector(".legend").textContent = data.legend;
    this.canvas.setAttribute("aria-label", data.label);
    this.draw();
  }

  field(name) {
    return this.root.querySelector(`[name="${name}"]`);
  }

  submit() {
    const number = (name) => {
      const value = this.field(name).valueAsNumber;
      return Number.isFinite(value) ? value : null;
    };
    this.send("range", {
      image: [number("image-lo"), number("image-hi")],
      text: [number("text-lo"), number("text-hi")],
    });
  }

  // -- places

  get size() {
    const box = this.canvas.getBoundingClientRect();
    return { width: box.width, height: box.height };
  }

  x(text) {
    const [lo, hi] = this.data.domain.text;
    return LEFT + ((text - lo) / (hi - lo)) * (this.size.width - LEFT - RIGHT);
  }

  y(image) {
    const [lo, hi] = this.data.domain.image;
    const { height } = this.size;
    return height - BOTTOM - ((image - lo) / (hi - lo)) * (height - BOTTOM - TOP);
  }

  values(x, y) {
    const { width, height } = this.size;
    const of = ([lo, hi], share) => lo + Math.min(Math.max(share, 0), 1) * (hi - lo);
    return {
      text: of(this.data.domain.text, (x - LEFT) / (width - LEFT - RIGHT)),
      image: of(this.data.domain.image, (height - BOTTOM - y) / (height - BOTTOM - TOP)),
    };
  }

  // -- the brush

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  begin(event) {
    if (event.button !== 0) return;
    this.from = this.at(event);
    event.currentTarget.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.from) return;
    const to = this.at(event);
    this.place(Math.min(this.from.x, to.x), Math.min(this.from.y, to.y), Math.abs(to.x - this.from.x), Math.abs(to.y - this.from.y));
  }

  finish(event) {
    if (!this.from) return;
    const from = this.from;
    const to = this.at(event);
    this.from = null;
    if (Math.hypot(to.x - from.x, to.y - from.y) < CLICK_PIXELS) {
      this.draw();
      this.pick(to);
      return;
    }
    const a = this.values(from.x, from.y);
    const b = this.values(to.x, to.y);
    const range = (name) => [Math.min(a[name], b[name]), Math.max(a[name], b[name])].map((one) => Number(one.toFixed(4)));
    this.send("range", { image: range("image"), text: range("text") });
  }

  cancel() {
    this.from = null;
    this.draw();
  }

  pick(to) {
    let best = null;
    let least = 14;
    for (const point of this.data.points) {
      const far = Math.hypot(this.x(point[0]) - to.x, this.y(point[1]) - to.y);
      if (far < least) [best, least] = [point, far];
    }
    if (best) this.send("pick", { pair: best[3] });
  }

  place(left, top, width, height) {
    Object.assign(this.brush.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    this.brush.hidden = false;
  }

  // -- the picture

  draw() {
    if (!this.data) return;
    const { width, height } = this.size;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const color = this.colors();
    pen.font = "12px sans-serif";
    this.axes(pen, color, width, height);
    // Half-transparent, so that many in one place are darker; a cross where the classes differ.
    pen.lineWidth = 1.4;
    for (const [text, image, isSame, pair] of this.data.points) {
      const [x, y] = [this.x(text), this.y(image)];
      pen.globalAlpha = pair === this.data.selected ? 1 : 0.55;
      pen.strokeStyle = isSame ? color.accent : color.warn;
      pen.beginPath();
      if (isSame) pen.arc(x, y, 3, 0, 7);
      else {
        pen.moveTo(x - 3, y - 3);
        pen.lineTo(x + 3, y + 3);
        pen.moveTo(x + 3, y - 3);
        pen.lineTo(x - 3, y + 3);
      }
      pen.stroke();
      if (pair === this.data.selected) {
        pen.beginPath();
        pen.strokeStyle = color.text;
        pen.arc(x, y, 8, 0, 7);
        pen.stroke();
      }
    }
    pen.globalAlpha = 1;
    this.showRange();
  }

  axes(pen, color, width, height) {
    pen.fillStyle = color.soft;
    pen.strokeStyle = color.faint;
    pen.lineWidth = 1;
    for (const value of ticks(this.data.domain.text)) {
      const x = this.x(value);
      line(pen, x, TOP, x, height - BOTTOM);
      pen.textAlign = "center";
      pen.fillText(String(value), x, height - BOTTOM + 14);
    }
    for (const value of ticks(this.data.domain.image)) {
      const y = this.y(value);
      line(pen, LEFT, y, width - RIGHT, y);
      pen.textAlign = "right";
      pen.fillText(String(value), LEFT - 5, y + 4);
    }
    pen.textAlign = "center";
    pen.fillText("text similarity", (LEFT + width - RIGHT) / 2, height - 4);
    pen.save();
    pen.translate(11, (TOP + height - BOTTOM) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("image similarity", 0, 0);
    pen.restore();
  }

  showRange() {
    const { image, text, domain } = this.data;
    if ([...image, ...text].every((one) => one === null)) {
      this.brush.hidden = true;
      return;
    }
    const within = (value, edge, [lo, hi]) => Math.min(Math.max(value ?? edge, lo), hi);
    const left = this.x(within(text[0], domain.text[0], domain.text));
    const right = this.x(within(text[1], domain.text[1], domain.text));
    const top = this.y(within(image[1], domain.image[1], domain.image));
    const bottom = this.y(within(image[0], domain.image[0], domain.image));
    this.place(left, top, Math.max(right - left, 2), Math.max(bottom - top, 2));
  }

  colors() {
    const probe = document.createElement("span");
    this.root.append(probe);
    const found = {};
    for (const name of ["text", "soft", "faint", "accent", "warn"]) {
      probe.style.color = `var(--o-${name})`;
      found[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return found;
  }
}

function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

function ticks([lo, hi]) {
  const rough = (hi - lo) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(lo / step - 1e-9); at * step <= hi + 1e-9; at += 1) found.push(Number((at * step).toFixed(6)));
  return found;
}
