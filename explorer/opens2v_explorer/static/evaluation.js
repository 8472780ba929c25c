// The list of prompts keeps its place and its focus, keys go from prompt to prompt, and the models' videos play together.

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".evaluation");
  // The place in the list outlives the runs of the script.
  const [page, end] = lastingOf(root, "", () => new Evaluation(root));
  page.renew(data);
  return end;
}

const promptOf = (href) => href && new URL(href, location.href).searchParams.get("prompt");

class Evaluation {
  constructor(root) {
    // `goesOn`: whoever had the videos played has those of the next prompt played, too.
    Object.assign(this, { root, data: {}, wanted: 0, together: null, goesOn: false });
    this.find = (css) => root.querySelector(css);
    this.ended = new AbortController();
    const { signal } = this.ended;
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    addEventListener("popstate", () => this.goBack(), { signal });
    root.addEventListener("click", (event) => this.do(event.target.closest("[data-do]")?.dataset.do), { signal });
    this.seek = this.find("[type='range']");
    this.seek.addEventListener("input", () => this.together?.seek(Number(this.seek.value)), { signal });
  }

  stop() {
    this.ended.abort();
    this.together?.stop();
  }

  renew(data) {
    const before = this.data;
    this.data = data;
    const list = this.find(".list");
    if (before.list !== data.list) list.innerHTML = data.list; // escaped by prompt_html.py, as is the detail
    // What keys have asked for is still in the address when the answer to an earlier key comes.
    if (before.list !== data.list || promptOf(data.hrefs[this.wanted]) !== promptOf(location.href)) this.wanted = data.at;
    this.mark();
    if (before.detail !== data.detail) this.show(before.detail === undefined);
  }

  // Back, before what keys had asked for was there: no answer may come of it, since what is shown is right.
  goBack() {
    const { hrefs, at } = this.data;
    const prompt = promptOf(location.href);
    if (!hrefs || promptOf(hrefs[this.wanted]) === prompt) return;
    const known = hrefs.findIndex((href) => promptOf(href) === prompt);
    this.wanted = known < 0 ? at : known;
    this.mark();
  }

  // The item that is shown, or that keys have asked for.
  mark() {
    const list = this.find(".list");
    const items = [...list.children];
    items.forEach((item, at) => (at === this.wanted ? item.setAttribute("aria-current", "true") : item.removeAttribute("aria-current")));
    const item = items[this.wanted];
    if (item) {
      const top = item.offsetTop - list.offsetTop;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + item.offsetHeight > list.scrollTop + list.clientHeight) {
        list.scrollTop = top + item.offsetHeight - list.clientHeight;
      }
    }
    this.find("[data-do='before']").disabled = this.wanted <= 0;
    this.find("[data-do='after']").disabled = this.wanted >= items.length - 1;
  }

  show(isFirst) {
    this.together?.stop();
    const detail = this.find(".detail");
    detail.innerHTML = this.data.detail;
    detail.querySelectorAll(".picture img").forEach((image) => image.addEventListener("error", () => this.explainImage(image)));
    const videos = [...detail.querySelectorAll("video")];
    for (const video of videos) video.addEventListener("error", () => this.explainVideo(video));
    this.together = new Together(videos, () => this.tick());
    if (this.goesOn) this.playWhenReady();
    this.tick();
    const { key } = detail.querySelector("article").dataset;
    if (!isFirst) this.find("[data-testid='prompt-voice']").textContent = `Prompt ${key}`;
  }

  // Goes on playing with the next prompt, once all of its videos can.
  playWhenReady() {
    const { together } = this;
    let left = together.videos.length;
    const ready = () => {
      left -= 1;
      if (left <= 0 && this.together === together) together.play();
    };
    const { signal } = together.ended;
    for (const video of together.videos) {
      const once = new AbortController();
      const ends = AbortSignal.any([signal, once.signal]);
      const done = () => {
        once.abort();
        ready();
      };
      for (const name of ["canplay", "error"]) video.addEventListener(name, done, { signal: ends });
    }
  }

  do(what) {
    if (what === "before") this.move(-1);
    if (what === "after") this.move(1);
    if (what === "start") {
      this.together?.seek(0);
      this.tick();
    }
    if (what === "play") {
      this.goesOn = !this.together?.isPlaying;
      if (this.goesOn) this.together?.play();
      else this.together.pause();
    }
  }

  move(step) {
    const at = Math.min(Math.max(this.wanted + step, 0), this.data.hrefs.length - 1);
    if (at === this.wanted || at < 0) return;
    this.wanted = at;
    this.mark();
    document.dispatchEvent(new CustomEvent("o-go", { detail: this.data.hrefs[at] }));
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.isComposing) return;
    const [target] = event.composedPath();
    if (target instanceof Element && target.matches("input:not([type='range']), textarea, select, [contenteditable='true'], [role='combobox']")) return;
    // Arrows belong to what has the focus, where that makes something of them: a video, a slider, a table that scrolls.
    const isFree = !(target instanceof Element && target.matches("video, input, [role='region'], [role='slider'], [role='option']"));
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const what = { j: "after", k: "before", p: "play", s: "start" }[key]
      ?? (isFree ? { ArrowRight: "after", ArrowLeft: "before" }[key] : undefined);
    if (!what) return;
    event.preventDefault();
    this.do(what);
  }

  tick() {
    const { together } = this;
    if (!together) return;
    const { duration, time } = together;
    this.seek.max = duration || 1;
    this.seek.value = time;
    this.seek.disabled = !duration;
    this.find("[data-do='play']").disabled = this.find("[data-do='start']").disabled = !duration;
    this.find(".verb").textContent = together.isPlaying ? "Pause all" : "Play all";
    const clock = duration ? `${time.toFixed(2)} of ${duration.toFixed(2)} s` : "";
    if (this.find(".clock").textContent !== clock) this.find(".clock").textContent = clock;
    this.root.dataset.playing = together.isPlaying;
  }

  async explainVideo(video) {
    const place = video.parentElement.querySelector(".none");
    const src = video.getAttribute("src");
    if (!src || !place || !place.hidden) return;
    let code = "unreachable";
    try {
      const answer = await fetch(src, { method: "HEAD" });
      code = answer.ok ? "unplayable" : answer.headers.get("X-State") ?? code;
    } catch {
      // no answer: the state says so
    }
    this.tell(place, this.data.states[code] ?? this.data.states.unreachable, code);
    video.hidden = true;
    place.parentElement.style.aspectRatio = "16 / 9";
  }

  async explainImage(image) {
    const place = image.parentElement.querySelector(".state");
    if (!place.hidden) return;
    let found = this.data.states.unreachable;
    try {
      const answer = await fetch(image.src);
      if (!answer.ok) found = await answer.json();
    } catch {
      // no answer: the state says so
    }
    image.hidden = true;
    this.tell(place, found, found.state);
  }

  tell(place, { title, detail }, code) {
    const strong = Object.assign(document.createElement("strong"), { textContent: title });
    place.replaceChildren(strong, detail ?? "");
    place.dataset.state = code;
    place.hidden = false;
  }
}
