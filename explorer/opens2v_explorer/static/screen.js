// One of the two places on the screen: a poster, and the video that takes its place once it stands at the start of the cut.

const RETRY_PICTURE_MS = 2000;
const UNREACHABLE = { state: "unreachable", title: "The explorer does not answer", detail: "The picture is asked for again" };

class Screen {
  constructor(element, triage) {
    Object.assign(this, { element, triage, item: null, isFront: false });
    this.image = element.querySelector("img");
    this.video = element.querySelector("video");
    this.why = element.querySelector(".why");
    this.image.addEventListener("error", () => this.explain());
  }

  take(item) {
    if (this.item === item) return;
    this.clear();
    this.item = item;
    this.image.src = item.poster;
    this.image.alt = item.caption ? `Frame of the clip. ${item.caption.slice(0, 200)}` : `Frame of clip ${item.key}`;
  }

  clear() {
    this.item = null;
    this.cut = null;
    this.loading = null;
    clearTimeout(this.retrying);
    this.element.dataset.plays = "false";
    this.element.dataset.failed = "false";
    this.why.hidden = true;
    if (this.video.getAttribute("src")) {
      this.video.pause();
      this.video.removeAttribute("src");
      this.video.load();
    }
    this.image.removeAttribute("src");
  }

  toFront(isFront) {
    this.isFront = isFront;
    this.element.dataset.front = isFront;
    this.element.setAttribute("aria-hidden", !isFront);
    if (!isFront) this.pause();
    else if (this.cut && this.triage.plays) this.play();
  }

  load(plays) {
    this.loading ??= this.begin();
    return this.loading.then(() => plays && this.isFront && this.triage.plays && this.play());
  }

  async begin() {
    const { item, video } = this;
    if (!item) return;
    try {
      const answer = await fetch(item.times);
      const told = await answer.json();
      if (this.item !== item) return;
      if (!answer.ok) {
        this.tell(told);
        return;
      }
      this.cut = told;
      video.src = item.video;
      await new Promise((resolve, reject) => {
        video.onloadedmetadata = () => {
          video.currentTime = told.start + told.frame / 2;
        };
        video.onseeked = resolve;
        video.onerror = () => reject(new Error("video"));
        video.onemptied = () => resolve();
      });
      if (this.item === item && video.readyState >= 2) this.element.dataset.plays = "true";
      this.watch(item);
    } catch (error) {
      if (this.item !== item) return;
      if (error instanceof TypeError) this.retryLater(item);
      else this.tell({ title: "This browser does not play the video", state: "unplayable" });
    }
  }

  // The network failed, not the clip.
  retryLater(item) {
    this.tell(UNREACHABLE);
    clearTimeout(this.retrying);
    this.retrying = setTimeout(() => {
      if (this.item !== item) return;
      this.clear();
      this.take(item);
      if (this.isFront && this.triage.plays) this.load(true);
    }, RETRY_PICTURE_MS);
  }

  play() {
    if (!this.cut) return;
    const { currentTime } = this.video;
    if (currentTime >= this.cut.end - this.cut.frame || currentTime < this.cut.start) this.rewind();
    this.video.play().catch(() => {});
  }

  pause() {
    this.video.pause();
  }

  rewind() {
    this.video.currentTime = this.cut.start + this.cut.frame / 2;
  }

  // Back to the start with the last frame of the cut: none of those behind it is shown.
  watch(item) {
    const look = (_, { mediaTime }) => {
      if (this.item !== item || !this.cut) return;
      if (mediaTime >= this.cut.end - 1.5 * this.cut.frame) this.rewind();
      this.video.requestVideoFrameCallback(look);
    };
    this.video.requestVideoFrameCallback(look);
    this.video.onended = () => {
      this.rewind();
      if (this.isFront && this.triage.plays) this.video.play().catch(() => {});
    };
  }

  tell({ title, detail, state }) {
    this.why.textContent = sentences(title, detail);
    this.why.dataset.state = state ?? "";
    this.why.hidden = false;
  }

  async explain() {
    const { item } = this;
    if (!item || !this.image.getAttribute("src")) return;
    this.element.dataset.failed = "true";
    try {
      const answer = await fetch(item.poster);
      const told = answer.ok ? { title: "No picture", state: "corrupt" } : await answer.json();
      if (this.item === item) this.tell(told);
    } catch {
      if (this.item === item) this.retryLater(item);
    }
  }
}
