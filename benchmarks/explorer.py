"""How long do the explorer's pages take at 5 M clips, in a real browser, and how much memory does it hold?

Starts `opens2v explore` on a catalog of `big_catalog.py` and drives Debian's Chromium over it. Behind the catalog stands a
release of sparse files that holds the bytes of the clips that are shown, each of them the same real mp4 (`sparse_release.py`), so
pictures and videos come out of split tars as they would. Each figure is what a person waits for, measured in the page from the
click or key to the frame in which the thing is there; every question is another one, so that no answer comes out of a cache.

    python benchmarks/big_catalog.py --clips 5400000 /data/big
    python benchmarks/explorer.py /data/big
    python benchmarks/explorer.py --start

    first view   a browser that was never here opens Browse: until the gallery stands, and until its pictures in view do
    filter       a range of scores: until the gallery is another one; until the count and the facets are those of it
    text         a word: until its first 60 clips stand, by the caption index
    clip         a tile is clicked: until the annotated frame and the subjects stand
    swap         a verdict by key in Triage: until the next clip is on the screen

`--start` needs no catalog: it takes the generated sample, and says how long a new user waits from the command to something to
see, in a browser that is open and was never here. Each run is a new process with an empty cache: nothing of the catalog was
worked out before, and no picture was made. The address is gone to as soon as the command says it.

    address      the command has said where it is
    totals       the counts of the sample stand on the page
    pictures     all pictures of the gallery that are in view are painted
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import psutil
from decode import the_clip
from measure import ROOT, machine, table
from playwright.sync_api import Browser, Page, sync_playwright
from sparse_release import lay_out, put

import opens2v_data

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WORDS = ("kite", "tractor", "fish", "shirt", "roof", "lamp", "stairs", "beach", "guitar", "dog")
"""Words that captions of `big_words.py` have."""

NUM_CLIPS = 260
PICTURES_IN_VIEW = 12
RSS_AFTER = 200
TARGETS = {
    "first view": 2000.0,
    "filter: gallery": 700.0,
    "filter: count and facets": 1500.0,
    "text: first 60": 500.0,
    "clip": 1000.0,
    "triage swap": 50.0,
    "RSS": 1024.0,
}
"""Milliseconds, and MB: the budget of the design notes."""

GO = """async ({url, wanted, seconds}) => {
  const started = performance.now();
  const deep = (root, selector) => {
    const found = [...root.querySelectorAll(selector)];
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) found.push(...deep(one.shadowRoot, selector));
    return found;
  };
  const galleries = () => [...document.querySelectorAll("[data-testid='gallery']")];
  const before = new Set(galleries());
  document.dispatchEvent(new CustomEvent("o-go", {detail: url}));
  const is = {
    gallery: () => galleries().some((one) => !before.has(one) && one.querySelector("a")),
    count: () => is.gallery() && document.querySelector("[data-testid='count'][data-count]"),
    facets: () => is.count() && !document.querySelector("[data-stale='true']"),
    clip: () => {
      if (location.pathname !== "/clip" || !deep(document, "[data-testid='regions']").length) return false;
      return deep(document, "[data-testid='frame'] img").some((one) => one.complete && one.naturalWidth > 300);
    },
  };
  const found = {};
  while (performance.now() - started < seconds * 1000) {
    for (const name of wanted) if (!(name in found) && is[name]()) found[name] = performance.now() - started;
    if (wanted.every((name) => name in found)) break;
    await new Promise(requestAnimationFrame);
  }
  return found;
}"""

START_TARGET_SECONDS = 2.0

WATCH = """(() => {
  const at = {};
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  window.oSeen = new Promise((done) => {
    const look = () => {
      if (!at.totals && document.querySelector("[data-testid='totals']")) at.totals = now();
      const pictures = [...document.querySelectorAll("[data-testid='gallery'] img")].filter((one) => {
        const place = one.getBoundingClientRect();
        return place.top < innerHeight && place.bottom > 0;
      });
      const arePainted = pictures.length && pictures.every((one) => one.complete && one.naturalWidth);
      if (arePainted && !at.pictures) at.pictures = now();
      if (at.totals && at.pictures) requestAnimationFrame(() => done(at));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
})()"""
"""Run in each page before its own scripts: seconds since 1970 of the frames in which it has what is waited for."""


class Explorer:
    """`opens2v explore` of a catalog in a process of its own."""

    def __init__(self, catalog: Path, release: Path, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "opens2v_data.cli",
            "explore",
            str(catalog),
            "--release",
            str(release),
            "--port",
            "0",
        ]
        command += ["--no-browser", "--verdicts", str(folder / "verdicts.sqlite"), "--reviewer", "benchmark"]
        environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.url = ""
        ready = threading.Event()

        def listen() -> None:
            for line in self.process.stderr or ():
                if found := re.search(r"is at (http://\S+)", line):
                    self.url = found[1]
                    ready.set()
                elif not self.url:
                    print(line, end="", file=sys.stderr)
            ready.set()

        threading.Thread(target=listen, daemon=True).start()
        ready.wait(120)
        if not self.url:
            raise SystemExit("the explorer did not start")
        self.start_seconds = time.perf_counter() - begun

    def rss_mb(self, *, anonymous: bool = False) -> float:
        """Return the resident memory of the process and its children, with or without the pages of mapped files."""
        me = psutil.Process(self.process.pid)
        infos = [one.memory_info() for one in [me, *me.children(recursive=True)]]
        return sum(info.rss - (info.shared if anonymous else 0) for info in infos) / 2**20

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the process so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path, nargs="?")
    parser.add_argument("--start", action="store_true", help="how long until a first page, on the generated sample")
    parser.add_argument("--clip", type=Path, help="an mp4 (default: the release's sample clip, else a generated one)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--chromium", default=CHROMIUM)
    arguments = parser.parse_args()
    if arguments.start:
        report_start(measure_start(runs=arguments.runs, chromium=arguments.chromium))
        return
    if arguments.catalog is None:
        parser.error("expected a catalog, or --start")
    catalog = opens2v_data.open(arguments.catalog)
    mp4 = the_clip(arguments.clip)
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as name:
        folder = Path(name)
        ids = _prepared(catalog, folder / "release", mp4)
        _keep_derived(catalog, folder / "cache")
        server = Explorer(arguments.catalog, folder / "release", folder)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=arguments.chromium, args=ARGUMENTS)
                found = measure(browser, server, ids, runs=arguments.runs)
                browser.close()
        finally:
            server.stop()
    report(catalog, server, found)


def _prepared(catalog: opens2v_data.OpenS2V, release: Path, mp4: bytes) -> list[int]:
    """Lay out the release with the bytes of clips that can be shown whole; return these."""
    lay_out(catalog, release)
    fits = catalog.where("width = 1280 AND height = 720 AND num_frames <= 95 AND crop_x1 - crop_x0 >= 1200").limit(
        20_000
    )
    ids = put(catalog, release, [int(one) for one in fits.ids()][:: max(1, len(fits.ids()) // (8 * NUM_CLIPS))], mp4)
    if len(ids) < NUM_CLIPS:
        raise SystemExit(f"only {len(ids)} of the catalog's clips have room for an mp4 of {len(mp4):,} bytes")
    put(catalog, release, [int(one) for one in catalog.all.limit(60).ids()], mp4)
    return ids[:NUM_CLIPS]


def _keep_derived(catalog: opens2v_data.OpenS2V, cache: Path) -> None:
    """Put what is worked out from a catalog once, minutes at 5 M clips, into the server's cache, which has no pictures yet."""
    from opens2v_data.query.derived import derived_folder

    catalog.query.build_categories()
    catalog.warm()
    source = derived_folder(catalog.catalog)
    shutil.copytree(source, cache / source.parents[1].name / source.parent.name / source.name)


def measure(browser: Browser, server: Explorer, ids: list[int], *, runs: int) -> dict[str, list[float]]:
    """Return milliseconds by what was waited for, and MB."""
    found: dict[str, list[float]] = {name: [] for name in TARGETS}
    found["start"] = [server.start_seconds * 1000]
    time.sleep(15)  # the numbers of clips are loaded into memory after the start; "warm" is after that
    for run in range(runs + 1):
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        begun = time.perf_counter()
        page.goto(f"{server.url}/browse")
        page.wait_for_selector("[data-testid='gallery'] a")
        if run:  # the first browser of a server waits for Streamlit's own imports
            found["first view"].append((time.perf_counter() - begun) * 1000)
        else:
            found["first view, cold"] = [(time.perf_counter() - begun) * 1000]
        page.wait_for_selector("[data-testid='count'][data-count]", timeout=60_000)
        if run == runs:
            _filters(page, found, runs)
        page.context.close()
    _clips(browser, server, ids, found, runs)
    _triage(browser, server, ids, found)
    found["RSS"] = [server.rss_mb()]
    found["RSS that is no file's"] = [server.rss_mb(anonymous=True)]
    return found


def _go(page: Page, path: str, wanted: list[str], *, seconds: float = 30.0) -> dict[str, float]:
    return page.evaluate(GO, {"url": path, "wanted": wanted, "seconds": seconds})


def _filters(page: Page, found: dict[str, list[float]], runs: int) -> None:
    for number in range(runs):
        low = round(5.0 + 0.07 * number, 2)
        got = _go(page, f"/browse?aesthetic={low}..&sort=-motion", ["gallery", "facets"])
        found["filter: gallery"].append(got.get("gallery", float("nan")))
        found["filter: count and facets"].append(got.get("facets", float("nan")))
        page.wait_for_timeout(3000)
    for word in WORDS[:runs]:
        got = _go(page, f"/browse?{urlencode({'q': word})}", ["gallery"])
        found["text: first 60"].append(got.get("gallery", float("nan")))
        page.wait_for_timeout(2000)


def _clips(browser: Browser, server: Explorer, ids: list[int], found: dict[str, list[float]], runs: int) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    for number in range(runs):
        some = ",".join(map(str, ids[number * 10 : number * 10 + 10]))
        page.goto(f"{server.url}/browse?ids={some}")
        page.wait_for_selector("[data-testid='gallery'] a")
        page.wait_for_selector("[data-testid='count'][data-count]", timeout=60_000)
        page.wait_for_timeout(1500)
        href = page.locator("[data-testid='gallery'] a").first.get_attribute("href")
        found["clip"].append(_go(page, str(href), ["clip"]).get("clip", float("nan")))
    page.context.close()


def _triage(browser: Browser, server: Explorer, ids: list[int], found: dict[str, list[float]]) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{server.url}/triage?ids={','.join(map(str, ids))}")
    page.wait_for_selector("[data-testid='triage-clip']")
    page.wait_for_timeout(3000)
    for number in range(RSS_AFTER):
        page.keyboard.press("k")
        page.wait_for_timeout(250)
        swap = page.locator("[data-testid='triage']").get_attribute("data-swap-ms")
        if swap is not None and number >= 5:
            found["triage swap"].append(float(swap))
    page.context.close()


def measure_start(*, runs: int, chromium: str) -> dict[str, list[float]]:
    """Return seconds from the start of the command, by what was waited for; one run before them, not counted, fills bytecode."""
    found: dict[str, list[float]] = {"address": [], "totals": [], "pictures": []}
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as name, sync_playwright() as playwright:
        release, catalog = Path(name) / "release", Path(name) / "catalog"
        for words in (["demo-release", release], ["ingest", release, catalog]):
            subprocess.run(
                [sys.executable, "-m", "opens2v_data.cli", *map(str, words), "--quiet"], cwd=ROOT, check=True
            )
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for run in range(runs + 1):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.add_init_script(WATCH)
            begun = time.time()
            server = Explorer(catalog, release, Path(name) / f"run-{run}")
            try:
                page.goto(f"{server.url}/", wait_until="commit")
                at = page.evaluate("() => window.oSeen")
            finally:
                server.stop()
            page.context.close()
            if run:
                found["address"].append(server.start_seconds)
                for what in ("totals", "pictures"):
                    found[what].append(at[what] - begun)
        browser.close()
    return found


def report_start(found: dict[str, list[float]]) -> None:
    """Print what was found beside the budget."""
    load = os.getloadavg()[0]
    print(
        f"{machine()}; the generated sample, {len(found['address'])} runs; load of the machine at the end {load:.1f}\n"
    )
    rows = []
    for name, values in found.items():
        is_met = max(values) <= START_TARGET_SECONDS
        verdict = f"budget {START_TARGET_SECONDS:.0f} s {'met' if is_met else 'NOT MET'} in all runs"
        rows.append(
            [name, f"{statistics.median(values):.2f} s", f"{max(values):.2f}", verdict if name != "address" else ""]
        )
    print(table(rows, ["from the command to", "median", "most", ""]))
    print(f"\n{json.dumps({name: [round(value, 3) for value in values] for name, values in found.items()})}")


def report(catalog: opens2v_data.OpenS2V, server: Explorer, found: dict[str, list[float]]) -> None:
    """Print what was found beside the budget."""
    print(f"{machine()}; {len(catalog):,} clips; {RSS_AFTER} clips judged in Triage\n")
    rows = []
    for name, values in found.items():
        unit, target = ("MB" if name.startswith("RSS") else "ms"), TARGETS.get(name)
        middle = statistics.median(values) if values else float("nan")
        verdict = "" if target is None else f"budget {target:,.0f} {unit} {'met' if middle <= target else 'NOT MET'}"
        rows.append([name, f"{middle:,.0f} {unit}", f"{max(values, default=float('nan')):,.0f}", len(values), verdict])
    print(table(rows, ["what", "median", "most", "runs", ""]))
    print(f"\n{json.dumps({name: [round(value, 1) for value in values] for name, values in found.items()})}")


if __name__ == "__main__":
    main()
