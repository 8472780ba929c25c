// Plays the half-open range of a clip's cut, frame by frame where asked.
//
// Frame n is on the screen from times[n] on, which is pts0 + n / fps where frames are evenly spaced; pts0 is seldom 0.
// Seeks go to the middle of a frame: its very start may show the one before. Which frame is shown is told by the video's own
// frame callback, not by the time that was asked for. A seek to one of the last frames of a file without sound shows the very
// last in Chromium: such a frame is then taken from the server, as a still.

const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2];
const SETTLED_MS = 400;
const SVG = "http://www.w3.org/2000/svg";
const players = new WeakMap();

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".player");
  if (!root) return;
  const known = players.get(root);
  if (known && known.id === JSON.stringify([data.src, data.ranges, data.outlines.length])) return;
  if (known) known.stop();
  players.set(root, new Player(root, data));
  return () => {
    const player = players.get(root);
    if (player) player.stop();
    players.delete(root);
  };
}

class Player {
  constructor(root, data) {
    this.id = JSON.stringify([data.src, data.ranges, data.outlines.length]);
    this.root = root;
    this.data = data;
    this.video = root.querySelector("video");
    this.ended = new AbortController();
    this.range = data.ranges[0];
    this.shown = null;
    this.wanted = null;
    this.isPlaying = false;
    this.isLooping = true;
    this.hasOutlines = true;
    this.crop = data.crop ? "box" : "off";
    this.timer = 0;
    this.fill();
    this.listen();
    this.layOut();
    this.load();
  }

  stop() {
    this.ended.abort();
    clearTimeout(this.timer);
    clearTimeout(this.settling);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  // -- frames and times

  start(n) {
    const { times, pts0, fps } = this.data;
    if (!times) return pts0 + n / fps;
    return n < times.length ? times[n] : times[times.length - 1] + (n - times.length + 1) / fps;
  }

  middle(n) {
    return (this.start(n) + this.start(n + 1)) / 2;
  }

  frameAt(seconds) {
    const { times, pts0, fps } = this.data;
    if (!times) return Math.floor((seconds - pts0) * fps + 1e-3);
    let low = 0;
    let high = times.length;
    while (high - low > 1) {
      const at = (low + high) >> 1;
      if (times[at] <= seconds + 1e-4) low = at;
      else high = at;
    }
    return low;
  }

  inside(n) {
    return Math.min(Math.max(n, this.range.start), this.range.end - 1);
  }

  // -- what the user does

  go(n) {
    this.pause();
    this.seek(this.inside(n));
  }

  seek(n) {
    this.wanted = n;
    if (!this.video.seeking) this.video.currentTime = this.middle(n);
  }

  get lastFrame() {
    return this.data.times ? this.data.times.length - 1 : Infinity;
  }

  // Show the wanted frame from the server, where a seek to it showed another one.
  still(shown) {
    const n = this.wanted;
    const picture = this.root.querySelector(".still");
    picture.onload = () => {
      if (this.wanted !== n) return;
      this.settle(n);
      picture.hidden = false;
    };
    picture.onerror = () => {
      if (this.wanted === n) this.settle(shown);
    };
    picture.src = this.data.still.replace("FRAME", n);
  }

  settle(n) {
    clearTimeout(this.settling);
    this.wanted = null;
    this.root.querySelector(".still").hidden = true;
    this.show(n);
    if (this.isPlaying) this.video.play().catch(() => this.pause());
    else this.say(`Frame ${n}`);
  }

  play() {
    if (!this.video.src || this.video.error) return;
    this.isPlaying = true;
    const at = this.wanted ?? this.shown ?? this.range.start;
    this.root.querySelector(".still").hidden = true;
    if (at >= this.range.end - 1 || at < this.range.start || this.video.ended) this.restart();
    else this.video.play().catch(() => this.pause());
    this.label();
  }

  pause() {
    this.isPlaying = false;
    clearTimeout(this.timer);
    this.video.pause();
    this.label();
  }

  restart() {
    this.seek(this.range.start);
  }

  speed(step) {
    const select = this.root.querySelector('[data-do="speed"]');
    const at = Math.min(Math.max(select.selectedIndex + step, 0), SPEEDS.length - 1);
    select.selectedIndex = at;
    this.video.playbackRate = SPEEDS[at];
    this.say(`Speed ${SPEEDS[at]}`);
  }

  act(name, element) {
    const at = this.wanted ?? this.shown ?? this.range.start;
    if (name === "play") this.isPlaying ? this.pause() : this.play();
    else if (name === "back") this.go(at - 1);
    else if (name === "on") this.go(at + 1);
    else if (name === "first") this.go(this.range.start);
    else if (name === "last") this.go(this.range.end - 1);
    else if (name === "loop") this.isLooping = this.press(name);
    else if (name === "outlines") {
      this.hasOutlines = this.press(name);
      this.show(this.shown);
    } else if (name === "annotated") this.toAnnotated();
    else if (name === "retry") this.load();
    else if (name === "speed") this.video.playbackRate = Number(element.value);
    else if (name === "range") {
      this.range = this.data.ranges[Number(element.value)];
      this.bounds();
      this.seek(this.inside(at));
    } else if (name === "crop") {
      this.crop = element.value;
      this.layOut();
    }
  }

  toAnnotated() {
    const n = this.data.annotated;
    if (n === null) return;
    if (n < this.range.start || n >= this.range.end) {
      this.range = this.data.ranges.find((one) => n >= one.start && n < one.end) ?? this.range;
      this.root.querySelector('[data-do="range"]').value = String(this.data.ranges.indexOf(this.range));
      this.bounds();
    }
    this.go(n);
  }

  press(name) {
    const button = this.root.querySelector(`[data-do="${name}"]`);
    const isOn = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOn));
    return isOn;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const kind = event.target.localName;
    const isArrow = event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End";
    // Form fields keep the keys that they are operated with.
    if (kind === "select" || (kind === "button" && (event.key === " " || event.key === "Enter"))) return;
    if (kind === "input" && isArrow) return;
    const names = {
      " ": "play", k: "play", ",": "back", ArrowLeft: "back", ".": "on", ArrowRight: "on", Home: "first", End: "last",
      l: "loop", o: "outlines", a: "annotated",
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "[" || key === "]") this.speed(key === "[" ? -1 : 1);
    else if (names[key]) this.act(names[key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // -- what the video does

  listen() {
    const { video, root } = this;
    const on = (target, name, call) => target.addEventListener(name, call, { signal: this.ended.signal });
    on(root, "keydown", (event) => this.key(event));
    on(root, "click", (event) => {
      const button = event.target.closest("button[data-do]");
      if (button) this.act(button.dataset.do, button);
    });
    on(root, "change", (event) => {
      if (event.target.localName === "select") this.act(event.target.dataset.do, event.target);
    });
    on(root.querySelector(".seek"), "input", (event) => this.go(Number(event.target.value)));
    on(video, "loadedmetadata", () => {
      this.hide();
      this.seek(this.inside(this.data.first));
    });
    on(video, "seeked", () => {
      if (this.wanted === null) return;
      const target = this.middle(this.wanted);
      if (Math.abs(video.currentTime - target) > 1e-3 && target < video.duration) {
        video.currentTime = target; // the next step came while this one was made
        return;
      }
      // The callback that tells which frame is shown may not come where it was shown before.
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.onFrame(video.ended ? this.start(this.lastFrame) : video.currentTime), SETTLED_MS);
    });
    on(video, "ended", () => this.atEnd());
    on(video, "error", () => this.fail());
    if (video.requestVideoFrameCallback) {
      const each = (_, frame) => {
        if (this.ended.signal.aborted) return;
        this.onFrame(Math.round(frame.mediaTime * 1e6) / 1e6);
        video.requestVideoFrameCallback(each);
      };
      video.requestVideoFrameCallback(each);
    } else on(video, "timeupdate", () => this.onFrame(video.currentTime));
  }

  onFrame(seconds) {
    if (this.video.seeking) return;
    const n = this.frameAt(seconds);
    if (this.wanted !== null) {
      clearTimeout(this.settling);
      if (n === this.wanted) this.settle(n);
      else this.still(n);
      return;
    }
    if (!this.root.querySelector(".still").hidden && !this.isPlaying) return;
    this.show(n);
    if (!this.isPlaying) return;
    // Held on the last frame for as long as it lasts, so that none after it is ever shown.
    if (n >= this.range.end - 1) this.atEnd();
  }

  atEnd() {
    if (!this.isPlaying || this.wanted !== null) return;
    this.video.pause();
    clearTimeout(this.timer);
    const last = this.range.end - 1;
    const seconds = (this.start(last + 1) - this.start(last)) / this.video.playbackRate;
    this.timer = setTimeout(() => {
      if (!this.isPlaying) return;
      if (this.isLooping) this.restart();
      else this.pause();
    }, seconds * 1000);
  }

  // -- what is shown

  fill() {
    const { root, data } = this;
    const speed = root.querySelector('[data-do="speed"]');
    speed.replaceChildren(...SPEEDS.map((one) => new Option(`${one} x`, String(one), one === 1, one === 1)));
    const range = root.querySelector('[data-do="range"]');
    range.replaceChildren(...data.ranges.map((one, at) => new Option(`${one.name} ${one.start}-${one.end - 1}`, String(at))));
    root.querySelector(".of-range").hidden = data.ranges.length < 2;
    root.querySelector(".of-crop").hidden = !data.crop;
    root.querySelector('[data-do="crop"]').value = this.crop;
    for (const name of ["outlines", "annotated"]) {
      root.querySelector(`[data-do="${name}"]`).hidden = data.annotated === null || (name === "outlines" && !data.outlines.length);
    }
    root.setAttribute("aria-label", data.label);
    this.bounds();
    this.draw();
    this.label();
  }

  bounds() {
    const seek = this.root.querySelector(".seek");
    seek.min = this.range.start;
    seek.max = this.range.end - 1;
    this.root.dataset.start = this.range.start;
    this.root.dataset.end = this.range.end;
  }

  draw() {
    const { width, height, crop, outlines } = this.data;
    const scale = height / 720;
    const overlay = this.root.querySelector(".overlay");
    overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const moved = make("g", { transform: `translate(${crop ? crop[0] : 0} ${crop ? crop[1] : 0})` });
    for (const one of outlines) {
      const dash = one.dash ? { "stroke-dasharray": one.dash.split(" ").map((n) => Number(n) * scale).join(" ") } : {};
      moved.append(
        make("path", { d: one.d, class: "halo", "stroke-width": 4.5 * scale }),
        make("path", { d: one.d, stroke: one.color, "stroke-width": 2.5 * scale, ...dash, "data-region": one.number }),
      );
    }
    for (const { number, color, x, y } of outlines) {
      const text = make("text", { x, y, "font-size": 18 * scale });
      text.textContent = number;
      moved.append(make("circle", { cx: x, cy: y, r: 15 * scale, fill: color, stroke: "#fff", "stroke-width": 2 * scale }), text);
    }
    overlay.replaceChildren(moved);
    overlay.setAttribute("hidden", "");
    const box = this.root.querySelector(".cropbox");
    box.setAttribute("viewBox", `0 0 ${width} ${height}`);
    box.replaceChildren();
    if (crop) {
      const [x0, y0, x1, y1] = crop;
      const inner = `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
      const rect = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
      box.append(make("path", { d: `M0 0H${width}V${height}H0Z${inner}` }), make("rect", rect));
    }
  }

  layOut() {
    const { width, height, crop } = this.data;
    const [x0, y0, x1, y1] = this.crop === "apply" ? crop : [0, 0, width, height];
    const viewport = this.root.querySelector(".viewport");
    viewport.style.aspectRatio = `${x1 - x0} / ${y1 - y0}`;
    viewport.style.maxWidth = `calc(78vh * ${(x1 - x0) / (y1 - y0)})`;
    const inner = this.root.querySelector(".inner");
    inner.style.width = `${(100 * width) / (x1 - x0)}%`;
    inner.style.height = `${(100 * height) / (y1 - y0)}%`;
    inner.style.left = `${(-100 * x0) / (x1 - x0)}%`;
    inner.style.top = `${(-100 * y0) / (y1 - y0)}%`;
    this.root.querySelector(".cropbox").toggleAttribute("hidden", this.crop !== "box");
  }

  show(n) {
    if (n === null) return;
    this.shown = n;
    this.root.dataset.frame = n;
    const overlay = this.root.querySelector(".overlay");
    overlay.toggleAttribute("hidden", !this.hasOutlines || n !== this.data.annotated);
    this.root.querySelector(".seek").value = n;
    const { start, end } = this.range;
    const seconds = this.start(n) - this.start(start);
    const mark = n === this.data.annotated ? ", annotated" : "";
    this.root.querySelector(".readout").textContent =
      `frame ${n} (${n - start + 1} of ${end - start}${mark}), ${seconds.toFixed(3)} s`;
  }

  label() {
    this.root.querySelector('[data-do="play"]').textContent = this.isPlaying ? "Pause" : "Play";
    this.root.dataset.playing = this.isPlaying;
  }

  say(text) {
    this.root.querySelector(".live").textContent = text;
  }

  // -- when it does not come

  load() {
    this.hide();
    this.video.src = this.data.src;
    this.video.playbackRate = Number(this.root.querySelector('[data-do="speed"]').value);
    this.video.load();
  }

  hide() {
    this.root.querySelector(".state").hidden = true;
  }

  async fail() {
    this.pause();
    let code = "unreachable";
    try {
      const answer = await fetch(this.data.src, { method: "HEAD", cache: "no-store" });
      code = answer.headers.get("X-State") || (answer.ok ? "unplayable" : code);
    } catch {
      // Nobody answers: that is the state.
    }
    if (this.ended.signal.aborted) return;
    const words = this.data.states[code] || this.data.states.unplayable;
    const state = this.root.querySelector(".state");
    state.dataset.state = code;
    state.querySelector("strong").textContent = words.title;
    state.querySelector(".detail").textContent = words.detail;
    state.querySelector(".advice").textContent = words.advice;
    state.hidden = false;
  }
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
