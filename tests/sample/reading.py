"""What several tests of the sample release read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

JSONS = "Jsons/mask_and_bbox_High-Quality"


def files_below(root: Path) -> dict[str, bytes]:
    """Every file's bytes by its path below the root."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
