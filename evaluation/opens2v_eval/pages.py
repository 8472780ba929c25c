"""Pages that ask no server for anything: one frame and style, and what each page has of its own beside its module.

page.html    the frame, with the style that all share
board_page.html, board_page.css; side_page.html, side_page.css
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

_HERE = Path(__file__).parent


def whole_page(name: str, *, title: str, about: str, **parts: str) -> str:
    """Return a page.

    Args:
        name: of its `.html` and `.css`.
        title, about: text, which is escaped here.
        parts: HTML for the places of its `.html`.
    """
    return _template("page.html").substitute(
        title=escape(title),
        about=escape(about),
        style=(_HERE / f"{name}.css").read_text(encoding="utf-8"),
        body=_template(f"{name}.html").substitute(parts),
    )


def _template(file: str) -> Template:
    return Template((_HERE / file).read_text(encoding="utf-8"))
