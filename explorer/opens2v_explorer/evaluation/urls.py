"""Where the page finds videos and reference images: a model's number and a prompt's key, never a path."""

from __future__ import annotations

from urllib.parse import quote

from opens2v_explorer.media.urls import PREFIX


def video(model: int, key: str) -> str:
    """Return a model's video of a prompt; ranges of it can be asked for, and HEAD says whether it can be decoded."""
    return f"{PREFIX}/evaluation/video/{int(model)}/{quote(key, safe='')}.mp4"


def reference(key: str, nth: int, width: int = 320) -> str:
    """Return a prompt's reference image, the first being 0."""
    return f"{PREFIX}/evaluation/reference/{quote(key, safe='')}/{int(nth)}.webp?w={int(width)}"
