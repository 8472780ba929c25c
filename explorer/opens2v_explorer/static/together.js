// Several videos as one: played, paused and sought together. The longest sets the time; one that is shorter rests at its end.

const DRIFT_SECONDS = 0.12; // three frames of 25 a second: what the eye takes for the same moment

class Together {
  // `changed` is called when time or state may be another.
  constructor(videos, changed) {
    Object.assign(this, { videos, changed, isPlaying: false });
    this.ended = new AbortController();
    const { signal } = this.ended;
    for (const video of videos) {
      for (const name of ["loadedmetadata", "seeked", "error"]) video.addEventListener(name, changed, { signal });
    }
  }

  stop() {
    this.ended.abort();
    cancelAnimationFrame(this.frame);
    for (const video of this.videos) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
  }

  get playable() {
    return this.videos.filter((video) => video.readyState > 0 && !video.error && Number.isFinite(video.duration));
  }

  get leader() {
    return this.playable.reduce((longest, video) => (longest && longest.duration >= video.duration ? longest : video), null);
  }

  get duration() {
    return this.leader?.duration ?? 0;
  }

  get time() {
    return this.leader?.currentTime ?? 0;
  }

  play() {
    const { leader } = this;
    if (!leader) return;
    this.isPlaying = true;
    this.seek(leader.ended || leader.currentTime >= leader.duration ? 0 : leader.currentTime);
    for (const video of this.playable) if (video.currentTime < video.duration) video.play().catch(() => {});
    cancelAnimationFrame(this.frame);
    this.follow();
    this.changed();
  }

  pause() {
    this.isPlaying = false;
    cancelAnimationFrame(this.frame);
    for (const video of this.videos) video.pause();
    this.seek(this.time);
    this.changed();
  }

  seek(seconds) {
    for (const video of this.playable) {
      const wanted = Math.min(seconds, video.duration);
      if (Math.abs(video.currentTime - wanted) > 0.001) video.currentTime = wanted;
    }
  }

  // While they play: who has fallen behind is set right, and all begin again when the longest has ended.
  follow() {
    this.frame = requestAnimationFrame(() => {
      const { leader } = this;
      if (!leader) return;
      if (leader.ended) {
        this.play();
        return;
      }
      for (const video of this.playable) {
        const isBehind = Math.abs(video.currentTime - leader.currentTime) > DRIFT_SECONDS;
        if (video !== leader && !video.seeking && !video.ended && isBehind) {
          video.currentTime = Math.min(leader.currentTime, video.duration);
        }
      }
      this.changed();
      this.follow();
    });
  }
}
