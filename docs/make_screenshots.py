"""Take a picture of every page of the explorer on the generated release: python docs/make_screenshots.py [FOLDER] [--readme]

Each page is taken in light and dark, 1280 and 760 pixels wide, whole, into FOLDER (build/screenshots). With `--readme` the four
pictures that README.md shows are written to docs/screenshots as well. Chromium must be installed; it is driven by playwright.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from made_benchmark import write_benchmark
from PIL import Image
from playwright.sync_api import Page, sync_playwright

README_FOLDER = Path(__file__).with_name("screenshots")
PAGES = {
    "overview": "/",
    "browse": "/browse",
    "browse-filtered": "/browse?aesthetic=4.5..&sort=-aesthetic",
    "browse-table": "/browse?view=table&sort=-aesthetic",
    "browse-nothing": "/browse?aesthetic=..3.51&has=dog",
    "clip": "/clip?key=total_part1/8fKq2vWd3Lc_segment1_step1-0-91_step2-0-91_step3_step4_step5",
    "clip-copies": "/clip?key=total_part1/Zr4mT7xNp0s_segment2_step1-0-61_step2-0-61_step3_step4_step5",
    "triage": "/triage?who=cleo",
    "pairs": "/pairs",
    "views": "/views",
    "sql": "/sql?sql=SELECT part, count(*) AS num_clips, avg(aesthetic) AS aesthetic FROM clips GROUP BY part ORDER BY part",
    "review": "/review",
    "evaluation": "/evaluation",
    "evaluation-missing": "/evaluation?only=no-video",
    "evaluation-corrected": "/evaluation?mode=corrected&metric=facesim&order=-apart&prompt=singleface_2",
}
README = {"browse-filtered": "light", "clip": "light", "triage": "dark", "pairs": "dark"}
"""Which pages README.md shows, and how."""

JUDGED = {"ada": "kkdkfkdkkkdk", "bo": "kkdkkkdkfkdk"}
"""Keys that two reviewers press, so that there is something to review."""

WIDTHS = (1280, 760)
HEIGHT = 900
MAX_HEIGHT = 4000
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")

IS_DONE = """() => {
  const roots = [document];
  for (const root of roots) {
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) roots.push(one.shadowRoot);
  }
  const all = (css) => roots.flatMap((root) => [...root.querySelectorAll(css)]);
  const app = document.querySelector("[data-testid='stApp']");
  return app?.dataset.testScriptState === "notRunning" && all(".o-nav a[aria-current]").length === 1
    && all("[data-stale='true'], [data-testid='stSkeleton'], [data-state='counting']").length === 0
    && all(".player").every((player) => player.dataset.frame !== undefined)
    && all("[data-testid='model-video']").every((video) => video.readyState > 3 || video.hidden)
    && all("img[src]").every((image) => image.naturalWidth > 0 || image.getBoundingClientRect().top > innerHeight
      || !image.checkVisibility({ visibilityProperty: true }));
}"""
"""Whether a page shows all that it will show: script, counts, player, and the pictures in view or words in their place."""


@contextmanager
def explorer(folder: Path) -> Iterator[str]:
    """Make the generated release and its catalog in a folder, explore it, and give the address."""
    opens2v = [sys.executable, "-m", "opens2v_data.cli"]
    subprocess.run([*opens2v, "demo-release", "release", "--quiet"], cwd=folder, check=True)
    subprocess.run([*opens2v, "ingest", "release", "opens2v-5m", "--quiet"], cwd=folder, check=True)
    command = [*opens2v, "explore", "opens2v-5m", "--no-browser", "--port", "0", "--verdicts", "verdicts.sqlite"]
    command += write_benchmark(folder / "benchmark", folder / "opens2v-5m")
    process = subprocess.Popen([*command, "--reviewer", "ada"], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"is at (http://\S+)", line):
                yield found[1]
                return
        raise RuntimeError("the explorer did not start")
    finally:
        process.terminate()
        process.wait()


def judge(page: Page, url: str) -> None:
    """Give verdicts as two reviewers do."""
    for who, keys in JUDGED.items():
        page.goto(f"{url}/triage?who={who}")
        page.get_by_test_id("triage-progress").filter(has_text="of ").wait_for()
        page.keyboard.type(keys)
        page.locator(
            f"[data-testid='triage'][data-done='{len(keys)}'] [data-testid='unsaved'][data-state='saved']"
        ).wait_for()


def take(page: Page, address: str, *, is_whole: bool = True) -> bytes:
    """Return a page as PNG, the whole of it or what a window shows at first."""
    width = (page.viewport_size or {"width": WIDTHS[0]})["width"]
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.goto(address)
    page.wait_for_function(IS_DONE)
    for _ in range(3 * is_whole):  # what comes into view can make the page longer
        height = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(max(height, HEIGHT), MAX_HEIGHT)})
        page.wait_for_function(IS_DONE)
    return page.screenshot()  # with animations disabled Chromium shows each video as loading


def write_for_readme(png: bytes, path: Path) -> None:
    """Write a picture as WebP: a quarter of the PNG's bytes."""
    path.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(png)).convert("RGB").save(path, quality=82, method=6)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(
        description="Take a picture of every page of the explorer on the generated release."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--readme", action="store_true", help="write those of README.md too")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        explorer(Path(folder)) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM)) as browser,
    ):
        judge(browser.new_page(), url)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                page = browser.new_page(
                    viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, reduced_motion="reduce"
                )
                for name, path in PAGES.items():
                    (arguments.folder / f"{name}-{scheme}-{width}.png").write_bytes(take(page, url + path))
                    if arguments.readme and width == WIDTHS[0] and README.get(name) == scheme:
                        png = take(page, url + path, is_whole=False)
                        write_for_readme(png, README_FOLDER / f"{name.partition('-')[0]}.webp")
                page.close()
    sys.stdout.write(f"{len(PAGES) * 2 * len(WIDTHS)} pictures in {arguments.folder}\n")


if __name__ == "__main__":
    main()
