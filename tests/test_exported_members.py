"""What the packages promise is exactly this; removing or renaming one of these is a breaking change."""

from __future__ import annotations

import opens2v_data
import opens2v_data.archive
import opens2v_loaders


def test_the_core_promises_these_names() -> None:
    assert opens2v_data.__all__ == [
        "Clip",
        "MaskRLE",
        "OpenS2V",
        "Pair",
        "Subject",
        "Triple",
        "VideoRef",
        "View",
        "open",
        "scan",
    ]
    assert all(hasattr(opens2v_data, name) for name in opens2v_data.__all__)


def test_the_loaders_promise_these_names() -> None:
    assert opens2v_loaders.__all__ == [
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


def test_the_archive_promises_these_names() -> None:
    assert opens2v_data.archive.__all__ == [
        "Element",
        "Layout",
        "LocalStore",
        "Member",
        "MemberScan",
        "MemoryStore",
        "Need",
        "Part",
        "PartIndex",
        "PartReader",
        "Piece",
        "Refused",
        "Skipped",
        "Span",
        "Store",
        "WalkEnd",
        "drive",
        "fold",
        "index_files",
        "index_part",
        "name_fault",
        "open_store",
        "starts_like_mp4",
        "tidy_name",
        "walk",
    ]
    assert all(hasattr(opens2v_data.archive, name) for name in opens2v_data.archive.__all__)
