"""Which member names and store paths are safe to use, and their one spelling."""

from __future__ import annotations


def tidy_name(name: str) -> str:
    """Return the name without `.` and empty components: `./a//b.mp4` is `a/b.mp4`."""
    return "/".join(component for component in name.split("/") if component not in ("", "."))


def name_fault(name: str) -> str | None:
    """Say why a relative path must not be used, or None when it may be.

    Names come from tars and records that others wrote. A good one stays below its folder and can be written as UTF-8.
    """
    components = name.split("/")
    if "\0" in name:
        return "it holds a NUL"
    if ".." in components:
        return "it climbs out of its folder with '..'"
    if not components[0] and name:
        return "it is absolute"
    if not tidy_name(name):
        return "it is empty"
    if components[-1] in ("", "."):
        return "it ends like a folder"
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return "it cannot be written as UTF-8"
    return None
