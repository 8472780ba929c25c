"""From member bytes to pictures: exact frames, masks and subject cut-outs.

Names are imported when first used, so that `import opens2v_loaders` needs neither PyAV nor pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opens2v_loaders.container import VideoInfo, probe
    from opens2v_loaders.cutouts import CutOut, annotated_frame, cut_out
    from opens2v_loaders.decode import Frames, read_frames
    from opens2v_loaders.masks import (
        decode_counts,
        decode_rle,
        encode_rle,
        mask_bbox,
        mask_iou,
        region_clusters,
        rle_area,
    )
    from opens2v_loaders.outlines import draw_outlines
    from opens2v_loaders.saving import SavedRow, save_row
    from opens2v_loaders.sheets import PairItem, TripleItem, ViewItem, contact_sheet

_MODULES = {
    "sheets": ("PairItem", "TripleItem", "ViewItem", "contact_sheet"),
    "container": ("VideoInfo", "probe"),
    "cutouts": ("CutOut", "annotated_frame", "cut_out"),
    "decode": ("Frames", "read_frames"),
    "masks": ("decode_counts", "decode_rle", "encode_rle", "mask_bbox", "mask_iou", "region_clusters", "rle_area"),
    "outlines": ("draw_outlines",),
    "saving": ("SavedRow", "save_row"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CutOut",
    "Frames",
    "PairItem",
    "SavedRow",
    "TripleItem",
    "VideoInfo",
    "ViewItem",
    "annotated_frame",
    "contact_sheet",
    "cut_out",
    "decode_counts",
    "decode_rle",
    "draw_outlines",
    "encode_rle",
    "mask_bbox",
    "mask_iou",
    "probe",
    "read_frames",
    "region_clusters",
    "rle_area",
    "save_row",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
