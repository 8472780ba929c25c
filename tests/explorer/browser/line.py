"""What a page and its script say to each other, read, and held back where a test wants an order that only a busy machine has."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from explorer.browser.conftest import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, WebSocketRoute
    from streamlit.proto.BidiComponent_pb2 import BidiComponent


class Line:
    """The web socket of a page; made before the page is opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.holds_answers = False
        self.holds_questions = False
        self.heard: list[ForwardMsg] = []
        self.num_runs_held = 0
        self._answers: list[tuple[WebSocketRoute, str | bytes]] = []
        self._questions: list[tuple[WebSocketRoute, str | bytes]] = []
        page.route_web_socket(re.compile("/_stcore/stream"), self._meet)

    def hold(self, *, questions: bool = False) -> None:
        """Let none of the script's answers through from now on, and none of the page's questions either where that is asked."""
        self.holds_answers = True
        self.holds_questions = questions

    def release(self) -> None:
        """Let through what was held, and all that follows."""
        self.holds_answers = self.holds_questions = False
        self.pass_answers()
        _send(self._questions)

    def pass_questions(self) -> None:
        """Let the script hear what the page has asked so far, once it has."""
        self._wait(lambda: bool(self._questions), "a question")
        _send(self._questions)

    def pass_answers(self) -> None:
        """Let the page hear what the script has answered so far."""
        self.num_runs_held = 0
        _send(self._answers)

    def wait_for_runs(self, n: int) -> None:
        """Wait until the answers that are held are those of so many runs of the script."""
        self._wait(lambda: self.num_runs_held >= n, f"the end of {n} runs of the script")

    def components(self) -> list[BidiComponent]:
        """Return what the page was told to show by components of its own: HTML, script and data."""
        elements = (one.delta.new_element for one in self.heard if one.WhichOneof("type") == "delta")
        return [one.bidi_component for one in elements if one.WhichOneof("type") == "bidi_component"]

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        ends = time.monotonic() + SECONDS
        while not is_there():
            assert time.monotonic() < ends, (
                f"expected {what} within {SECONDS} s, found {self.num_runs_held} ends of runs"
            )
            self.page.wait_for_timeout(20)  # lets messages come

    def _meet(self, browser: WebSocketRoute) -> None:
        explorer = browser.connect_to_server()

        def answer(message: str | bytes) -> None:
            if isinstance(message, bytes):
                self.heard.append(ForwardMsg.FromString(message))
                self.num_runs_held += self.holds_answers and self.heard[-1].WhichOneof("type") == "script_finished"
            self._answers.append((browser, message))
            if not self.holds_answers:
                self.pass_answers()

        def ask(message: str | bytes) -> None:
            self._questions.append((explorer, message))
            if not self.holds_questions:
                _send(self._questions)

        explorer.on_message(answer)
        browser.on_message(ask)


def _send(held: list[tuple[WebSocketRoute, str | bytes]]) -> None:
    while held:
        socket, message = held.pop(0)
        socket.send(message)
