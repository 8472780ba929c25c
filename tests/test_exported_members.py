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
    ]
    assert all(hasattr(opens2v_data, name) for name in opens2v_data.__all__)


def test_the_loaders_promise_these_names() -> None:
    assert opens2v_loaders.__all__ == [
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
