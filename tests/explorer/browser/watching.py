"""A page in a browser whose every request, answer and complaint is written down, and what tests do with such pages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from opens2v_data.sample.barcode import BARCODE_HEIGHT, BARCODE_WIDTH, read_frame_number

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Response

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)

IS_READY = """shown => {
  const app = document.querySelector("[data-testid='stApp']");
  const isRun = app?.dataset.testScriptState === "notRunning"
    && document.querySelector("[data-stale='true'], [data-testid='stSkeleton']") === null;
  const current = document.querySelector(".o-nav a[aria-current]");
  const isShown = current !== null && (!shown || current.dataset.testid === `nav-${shown}`);
  const isFollowed = document.querySelector("[data-testid='voice']") !== null;
  const isMade = ({ shadowRoot }) => shadowRoot?.querySelector("*") && !shadowRoot.querySelector("UNMADE");
  const components = [...document.querySelectorAll("[data-testid='stBidiComponentIsolated']")];
  return isRun && isShown && isFollowed && components.every(isMade);
}""".replace(
    "UNMADE",
    ".stage-root:empty, .judge .buttons:empty, .triage .progress:empty, .evaluation .detail:empty, "
    ".scatter .legend:empty, .player [data-do='speed']:empty",
)
"""Whether the script has run to its end, of the page that is named, and all that it made is on the page and takes keys.

A component's module is loaded after the script's end: until then its element is there, empty, and hears nothing.
"""

PROBED_BY_STREAMLIT = re.compile(r"/[a-z]+/_stcore/(health|host-config)")
"""Its script looks below the page's own path first, and is told that there is nothing."""

# Of the canvas that is seen, in pixels of the video, the part that the barcode lies in.
READ_CODE = f"""(player, [left, top]) => {{
  const video = player.querySelector("video");
  const corner = new OffscreenCanvas({BARCODE_WIDTH}, {BARCODE_HEIGHT}).getContext("2d", {{ willReadFrequently: true }});
  corner.drawImage(player.querySelector(".screen"), -left, -top, video.videoWidth, video.videoHeight);
  const {{ data }} = corner.getImageData(0, 0, {BARCODE_WIDTH}, {BARCODE_HEIGHT});
  return [...data].filter((_, at) => at % 4 === 1);
}}"""


@dataclass(kw_only=True)
class Watched:
    """A page of a running explorer.

    Attributes:
        page: playwright's.
        context: its own: nothing is kept from one to the next.
        url: of the explorer.
        outside: addresses of other hosts that were asked for.
        complaints: of the browser's console, and scripts' errors.
        failures: answers that are no state of the explorer's own.
        forgiven: complaints that a test brings about on purpose.
    """

    page: Page
    context: BrowserContext
    url: str
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.context.on("request", self._on_request)
        self.context.on("response", self._on_response)
        self.context.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", lambda socket: self._see(socket.url))

    def open(self, path: str) -> Page:
        """Go to a page and wait until it stands."""
        self.page.goto(self.url + path)
        self.wait()
        return self.page

    def wait(self, shown: str = "") -> None:
        """Wait until the script has run.

        Args:
            shown: name of the page that shall be there, as in its link's test id. After a click the page before stands for a
                while, ready too.
        """
        self.page.wait_for_function(IS_READY, arg=shown)

    def slow_down(self, times: float, latency_ms: float = 0) -> None:
        """Make the page's scripts so many times slower, and its answers late; then it cannot be taken off the network."""
        session = self.context.new_cdp_session(self.page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": times})
        if latency_ms:
            late = {"offline": False, "latency": latency_ms, "downloadThroughput": -1, "uploadThroughput": -1}
            session.send("Network.enable")
            session.send("Network.emulateNetworkConditions", late)

    def check(self) -> None:
        """Assert that nothing left the machine and nothing was complained about."""
        assert self.outside == []
        assert [text for text in self.complaints if not any(one in text for one in self.forgiven)] == []
        assert self.failures == []

    def _see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.url).netloc:
            self.outside.append(url)

    def _on_request(self, request: Request) -> None:
        self._see(request.url)

    def _on_response(self, response: Response) -> None:
        if response.status < 400 or PROBED_BY_STREAMLIT.fullmatch(urlsplit(response.url).path):
            return
        if response.headers.get("x-state", "refused") == "refused":
            self.failures.append(f"{response.status} {response.request.method} {response.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # Answers are looked at above, where it is known what they say.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)


def open_triage(watched: Watched, query: str) -> Page:
    """Open a queue and wait until it takes keys, which is later than the script's end."""
    page = watched.open(f"/triage?{query}")
    page.get_by_test_id("triage-progress").filter(has_text="of ").wait_for()
    return page


def wait_until_saved(page: Page, done: int) -> None:
    """Wait until so many clips were judged in an open queue, and all of their verdicts are logged."""
    page.locator(f"[data-testid='triage'][data-done='{done}'] [data-testid='unsaved'][data-state='saved']").wait_for()


def wait_for_prompt(page: Page, key: str) -> None:
    """Wait until the benchmark's page shows a prompt, and marks it in the list."""
    page.locator(f"[data-testid='prompt'][data-key='{key}']").wait_for()
    page.locator(f"[data-testid='prompt-item'][data-key='{key}'][aria-current='true']").wait_for()


def barcode(grey: list[int]) -> int:
    """Return the frame number that the pixels of a frame's corner show."""
    rgb = np.repeat(np.array(grey, np.uint8).reshape(BARCODE_HEIGHT, BARCODE_WIDTH, 1), 3, axis=2)
    return read_frame_number(rgb)


def frame_seen(player: Locator, crop_xyxy: tuple[int, int, int, int]) -> int:
    """Return the number of the frame that a player has on the screen, read from its pixels."""
    return barcode(player.evaluate(READ_CODE, list(crop_xyxy[:2])))


def numbers_in(text: str) -> list[int]:
    """Return the whole numbers of a text."""
    return [int(one.replace(",", "")) for one in re.findall(r"\d[\d,]*", text)]


def luminance(color: str) -> float:
    """Return the relative luminance of `rgb(…)`, as WCAG 2 defines it."""
    channels = [float(one) / 255 for one in re.findall(r"[\d.]+", color)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def style(locator: Locator, name: str) -> Any:
    """Return a computed property of an element."""
    return locator.evaluate("(element, name) => getComputedStyle(element)[name]", name)
