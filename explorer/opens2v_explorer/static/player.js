// Plays the half-open range of a clip's cut, frame by frame where asked.
//
// Frame n is on the screen from times[n] on, which is pts0 + n / fps where frames are evenly spaced; pts0 is seldom 0.
// Seeks go to the middle of a frame: its very start may show the one before. Which frame is shown is told by the video's own
// frame callback, not by the time that was asked for. A seek to one of the last frames of a file without sound shows the very
// last in Chromium: such a frame is then taken from the server, as a still.
//
// What is seen is a canvas over the video, painted with frames of the range and no others: a video that is told to stop can go on
// for a frame or two.

const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2];
const SETTLED_MS = 400;
const LOOKS = 3; // after that the frame comes from the server

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".player");
  if (!root) return;
  const id = JSON.stringify([data.src, data.ranges, data.outlines.length]);
  const [, end] = lastingOf(root, id, () => new Player(root, data));
  return end;
}

// What a video has on the screen, with the time of its own: on a busy machine a playing video is one frame further than its callback
// tells (1 of 62 frames here). Only where pages are secure, which those of this machine are.
function pictureOf(video) {
  try {
    return "VideoFrame" in globalThis ? new VideoFrame(video) : null;
  } catch {
    return null;
  }
}

class Player {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.video = root.querySelector("video");
    this.ended = new AbortController();
    this.range = data.ranges[0];
    this.shown = null;
    this.wanted = null;
    this.isStill = false;
    this.isPlaying = false;
    this.isLooping = true;
    this.hasOutlines = true;
    this.crop = data.crop ? "box" : "off";
    this.timer = 0;
    this.fill();
    this.listen();
    layOut(this.root, this.data, this.crop);
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
    const picture = new Image();
    picture.onload = () => {
      if (this.wanted === n) this.settle(n, picture, true);
    };
    picture.onerror = () => {
      if (this.wanted === n) this.settle(shown);
    };
    picture.src = this.data.still.replace("FRAME", n);
  }

  settle(n, picture = this.video, isStill = false) {
    clearTimeout(this.settling);
    this.wanted = null;
    this.isStill = isStill;
    this.show(n, picture);
    if (this.isPlaying) this.video.play().catch(() => this.pause());
    else this.say(`Frame ${n}`);
  }

  play() {
    if (!this.video.src || this.video.error) return;
    this.isPlaying = true;
    const at = this.wanted ?? this.shown ?? this.range.start;
    this.isStill = false;
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
      this.outline();
    } else if (name === "annotated") this.toAnnotated();
    else if (name === "retry") this.load();
    else if (name === "speed") this.video.playbackRate = Number(element.value);
    else if (name === "range") {
      this.range = this.data.ranges[Number(element.value)];
      this.bounds();
      this.seek(this.inside(at));
    } else if (name === "crop") {
      this.crop = element.value;
      layOut(this.root, this.data, this.crop);
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
      this.settling = setTimeout(() => this.look(LOOKS), SETTLED_MS);
    });
    on(video, "ended", () => this.atEnd());
    on(video, "error", () => this.fail());
    if (video.requestVideoFrameCallback) {
      const each = (_, told) => {
        if (this.ended.signal.aborted) return;
        const picture = pictureOf(video);
        this.onFrame(picture ? picture.timestamp / 1e6 : Math.round(told.mediaTime * 1e6) / 1e6, picture ?? video);
        picture?.close();
        video.requestVideoFrameCallback(each);
      };
      video.requestVideoFrameCallback(each);
    } else on(video, "timeupdate", () => this.onFrame(video.currentTime));
  }

  // See which frame the video has after a seek. On a busy machine that may be the one before for a while.
  look(left) {
    const { video } = this;
    const picture = pictureOf(video);
    if (!picture) {
      this.onFrame(video.ended ? this.start(this.lastFrame) : video.currentTime);
      return;
    }
    const seconds = picture.timestamp / 1e6;
    if (left && this.wanted !== null && this.frameAt(seconds) !== this.wanted) {
      this.settling = setTimeout(() => this.look(left - 1), SETTLED_MS);
    } else this.onFrame(seconds, picture);
    picture.close();
  }

  onFrame(seconds, picture = this.video) {
    if (this.video.seeking) return;
    const n = this.frameAt(seconds);
    if (this.wanted !== null) {
      clearTimeout(this.settling);
      if (n === this.wanted) this.settle(n, picture);
      else this.still(n);
      return;
    }
    if (this.isStill && !this.isPlaying) return;
    if (n >= this.range.end || n < this.range.start) {
      if (this.isPlaying) this.atEnd();
      else this.seek(this.inside(n));
      return;
    }
    this.show(n, picture);
    if (this.isPlaying && n === this.range.end - 1) this.atEnd();
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
      else this.go(last);
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
    drawOverlay(root, data);
    drawCropBox(root, data);
    this.label();
  }

  bounds() {
    const seek = this.root.querySelector(".seek");
    seek.min = this.range.start;
    seek.max = this.range.end - 1;
    this.root.dataset.start = this.range.start;
    this.root.dataset.end = this.range.end;
  }

  show(n, picture = this.video) {
    if (n === null) return;
    this.shown = n;
    if (n >= this.range.start && n < this.range.end) this.paint(picture);
    this.root.dataset.frame = n;
    this.outline();
    this.root.querySelector(".seek").value = n;
    const { start, end } = this.range;
    const seconds = this.start(n) - this.start(start);
    const mark = n === this.data.annotated ? ", annotated" : "";
    this.root.querySelector(".readout").textContent =
      `frame ${n} (${n - start + 1} of ${end - start}${mark}), ${seconds.toFixed(3)} s`;
  }

  outline() {
    const isHidden = !this.hasOutlines || this.shown !== this.data.annotated;
    this.root.querySelector(".overlay").toggleAttribute("hidden", isHidden);
  }

  paint(picture) {
    const screen = this.root.querySelector(".screen");
    screen.getContext("2d").drawImage(picture, 0, 0, screen.width, screen.height);
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
    const screen = this.root.querySelector(".screen");
    Object.assign(screen, { width: this.data.width, height: this.data.height });
    screen.getContext("2d").fillRect(0, 0, screen.width, screen.height);
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
