"""Where pages find pictures and video: addresses by ids of the open catalog, and nothing else.

Below `/explorer/`, since Streamlit keeps `/media/` and `/static/` for itself. Each address has `v`, the first digits of the
catalog's digest: what lies there never changes, and browsers keep it.
"""

from __future__ import annotations

from urllib.parse import quote

from opens2v_explorer.runtime import current

PREFIX = "/explorer"

WIDTHS = (160, 320, 480, 640, 960)
"""Pixels that a picture can be asked for in; others are taken to the next larger one."""


def poster(clip_id: int, width: int = 320) -> str:
    """Return a small picture of the clip: its annotated frame, cropped; the first of its cut where it has none."""
    return _address(f"clip/{int(clip_id)}/poster.webp", w=width)


def frame(clip_id: int) -> str:
    """Return the annotated frame, cropped: boxes and masks are in its pixels."""
    return _address(f"clip/{int(clip_id)}/frame.webp")


def still(clip_id: int, frame_idx: int) -> str:
    """Return any one frame of the file, not cropped."""
    return _address(f"clip/{int(clip_id)}/still/{int(frame_idx)}.webp")


def video(clip_id: int) -> str:
    """Return the mp4; ranges of it can be asked for, and HEAD says whether it can be decoded."""
    return _address(f"clip/{int(clip_id)}/video.mp4")


def cutout(clip_id: int, object_id: int, width: int | None = None, *, along: str = "mask") -> str:
    """Return a subject cut out of the annotated frame, transparent around it.

    Args:
        clip_id, object_id: which.
        width: at most so many pixels; None: as many as it has.
        along: "mask", which is an error where there is none that fits; or "box".
    """
    return _address(
        f"subject/{int(clip_id)}/{int(object_id)}/cutout.webp", w=width, along=None if along == "mask" else along
    )


def view(clip_id: int, nth: int, width: int | None = None) -> str:
    """Return a GPT-Image-1 view: the `nth` of the clip's `Triple.views`, from 0."""
    return _address(f"view/{int(clip_id)}/{int(nth)}/image.webp", w=width)


def view_source(clip_id: int, nth: int, width: int | None = None) -> str:
    """Return the frame that such a view was made from."""
    return _address(f"view/{int(clip_id)}/{int(nth)}/source.webp", w=width)


def background(clip_id: int, nth: int = 0, width: int | None = None) -> str:
    """Return the clip's background plate; upstream has one a clip, so `nth` is 0."""
    return _address(f"background/{int(clip_id)}/{int(nth)}.webp", w=width)


def static(name: str) -> str:
    """Return a script or style sheet of the package's folder `static`."""
    return f"{PREFIX}/static/{quote(name)}"


def _address(path: str, **parameters: object) -> str:
    asked = "".join(f"&{name}={value}" for name, value in parameters.items() if value is not None)
    return f"{PREFIX}/{path}?v={current().version}{asked}"
