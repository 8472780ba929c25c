"""From member bytes to pictures: exact frames, masks and subject cut-outs.

Names are imported when first used, so that `import opens2v_loaders` needs neither PyAV nor pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opens2v_loaders.backends import BackendChoice
    from opens2v_loaders.batch import Batch, PaddedPictures, Pictures
    from opens2v_loaders.buckets import BucketEdges, Buckets, assign_buckets
    from opens2v_loaders.container import VideoInfo, probe
    from opens2v_loaders.cutouts import CutOut, annotated_frame, cut_out
    from opens2v_loaders.decoding import DecodedClip, decode
    from opens2v_loaders.epoch import EpochPlan
    from opens2v_loaders.frames import Frames, read_frames
    from opens2v_loaders.groups import Reserve
    from opens2v_loaders.ledger import Ledger, Skip
    from opens2v_loaders.loader import ClipLoader
    from opens2v_loaders.mask_tensors import decode_masks
    from opens2v_loaders.masks import (
        decode_counts,
        decode_rle,
        encode_rle,
        mask_bbox,
        mask_iou,
        region_clusters,
        rle_area,
    )
    from opens2v_loaders.options import LoaderOptions
    from opens2v_loaders.outcomes import BadClip, Timing
    from opens2v_loaders.outlines import draw_outlines
    from opens2v_loaders.plan import Plan
    from opens2v_loaders.planned import Accounts, PlannedBatch, PlannedRow
    from opens2v_loaders.rows import PlanRows, plan_rows
    from opens2v_loaders.sampling import ClipSpec, Fit, frame_range, rng_of
    from opens2v_loaders.saving import SavedRow, save_row
    from opens2v_loaders.scenes import background_plate
    from opens2v_loaders.sheets import PairItem, TripleItem, ViewItem, contact_sheet
    from opens2v_loaders.streams import DecodedRows, decode_clips
    from opens2v_loaders.subjects import SubjectSpec
    from opens2v_loaders.torch_dataset import ClipDataset
    from opens2v_loaders.trainers import TrainerLoader, gather_states

_MODULES = {
    "batch": ("Batch", "PaddedPictures", "Pictures"),
    "loader": ("ClipLoader",),
    "options": ("LoaderOptions",),
    "outcomes": ("BadClip", "Timing"),
    "streams": ("DecodedRows", "decode_clips"),
    "subjects": ("SubjectSpec",),
    "torch_dataset": ("ClipDataset",),
    "backends": ("BackendChoice",),
    "decoding": ("DecodedClip", "decode"),
    "buckets": ("BucketEdges", "Buckets", "assign_buckets"),
    "ledger": ("Ledger", "Skip"),
    "epoch": ("EpochPlan",),
    "groups": ("Reserve",),
    "plan": ("Plan",),
    "planned": ("Accounts", "PlannedBatch", "PlannedRow"),
    "rows": ("PlanRows", "plan_rows"),
    "sampling": ("ClipSpec", "Fit", "frame_range", "rng_of"),
    "sheets": ("PairItem", "TripleItem", "ViewItem", "contact_sheet"),
    "container": ("VideoInfo", "probe"),
    "cutouts": ("CutOut", "annotated_frame", "cut_out"),
    "frames": ("Frames", "read_frames"),
    "masks": ("decode_counts", "decode_rle", "encode_rle", "mask_bbox", "mask_iou", "region_clusters", "rle_area"),
    "mask_tensors": ("decode_masks",),
    "outlines": ("draw_outlines",),
    "saving": ("SavedRow", "save_row"),
    "scenes": ("background_plate",),
    "trainers": ("TrainerLoader", "gather_states"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Accounts",
    "BackendChoice",
    "BadClip",
    "Batch",
    "BucketEdges",
    "Buckets",
    "ClipDataset",
    "ClipLoader",
    "ClipSpec",
    "CutOut",
    "DecodedClip",
    "DecodedRows",
    "EpochPlan",
    "Fit",
    "Frames",
    "Ledger",
    "LoaderOptions",
    "PaddedPictures",
    "PairItem",
    "Pictures",
    "Plan",
    "PlanRows",
    "PlannedBatch",
    "PlannedRow",
    "Reserve",
    "SavedRow",
    "Skip",
    "SubjectSpec",
    "Timing",
    "TrainerLoader",
    "TripleItem",
    "VideoInfo",
    "ViewItem",
    "annotated_frame",
    "assign_buckets",
    "background_plate",
    "contact_sheet",
    "cut_out",
    "decode",
    "decode_clips",
    "decode_counts",
    "decode_masks",
    "decode_rle",
    "draw_outlines",
    "encode_rle",
    "frame_range",
    "gather_states",
    "mask_bbox",
    "mask_iou",
    "plan_rows",
    "probe",
    "read_frames",
    "region_clusters",
    "rle_area",
    "rng_of",
    "save_row",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
