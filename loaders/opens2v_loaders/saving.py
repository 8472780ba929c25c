"""Write rows to a folder a person can open: mp4, caption, annotated frame, cut-outs.

<folder>/<part>--<clip key>/
    clip.mp4  caption.txt  frame.png  outlines.png
    subjects/<object id>_<class>.png          transparent; named …_box.png where the mask could not be used
    views/<number>_<class>.png                config nexus-gpt
    row.json                                  the whole row; written last: a folder without it is written again
<folder>/pair-<pair id>/                      config nexus-cross
    clip/  partner/                           each as above but for row.json; of the subjects only the pair's
    row.json
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opens2v_data.errors import ArchiveError, DecodeError
from opens2v_data.triples import Pair, Triple, VideoRef
from opens2v_loaders.cutouts import annotated_frame, cut_out
from opens2v_loaders.outlines import draw_outlines

ROW_FILE = "row.json"
_CHANGED = re.compile(r"-[0-9a-f]{8}\Z")


@dataclass(frozen=True, kw_only=True)
class SavedRow:
    """What became of one row.

    Attributes:
        folder: where it went.
        is_saved: False when the row has no bytes at hand, or a video that does not decode; the notes then say why.
        notes: what a reader of the folder should know, for example masks that could not be used.
    """

    folder: Path
    is_saved: bool
    notes: tuple[str, ...]


def save_row(
    root: Path, row: Mapping[str, Any], *, read_video: Callable[[VideoRef], bytes], read_file: Callable[[str], bytes]
) -> SavedRow:
    """Write one row of any config below `root`; a row that is there already, the very same, is left alone.

    Args:
        root: made if absent.
        row: a row of config regular, nexus-gpt or nexus-cross.
        read_video: gives a clip's mp4, for example `opens2v_data.open(…).read_bytes`.
        read_file: gives a file of the release, for example `….media.read_file`.
    """
    text = json.dumps(_plain(row), ensure_ascii=False, indent=1) + "\n"
    if "partner" in row:
        pair = Pair.from_row(row)
        folder = root / f"pair-{row['pair_id']:08d}"
        if _is_there(folder, text):
            return SavedRow(folder=folder, is_saved=True, notes=())
        sides = (("clip", pair.left, pair.left_object_id), ("partner", pair.right, pair.right_object_id))
        notes: list[str] = []
        is_saved = True
        for name, triple, object_id in sides:
            side_notes, is_side_saved = _save_triple(folder / name, triple, read_video, read_file, only=object_id)
            notes += (f"{name}: {text}" for text in side_notes)
            is_saved &= is_side_saved
    else:
        triple = Triple.from_row(row)
        folder = root / safe_name(f"{triple.clip.part}--{triple.clip.key}")
        if _is_there(folder, text):
            return SavedRow(folder=folder, is_saved=True, notes=())
        notes, is_saved = _save_triple(folder, triple, read_video, read_file)
    if is_saved:
        temporary = folder / f"{ROW_FILE}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / ROW_FILE)
    return SavedRow(folder=folder, is_saved=is_saved, notes=tuple(notes))


def _is_there(folder: Path, text: str) -> bool:
    try:
        return (folder / ROW_FILE).read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False


def _plain(value: Any) -> Any:
    """Put None for what `datasets` decoded (videos, images): addresses and paths stand beside it."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else None


def safe_name(name: str, *, max_length: int = 150) -> str:
    """Return a file name that stays in its folder on every system; different names stay different."""
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).strip(".")
    # A name that ends like a changed one is changed too: it could be the one that another name is changed to.
    if plain and plain == name and len(plain) <= max_length and not _CHANGED.search(plain):
        return plain
    return f"{plain[: max_length - 9]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _save_triple(
    folder: Path,
    triple: Triple,
    read_video: Callable[[VideoRef], bytes],
    read_file: Callable[[str], bytes],
    *,
    only: int | None = None,
) -> tuple[list[str], bool]:
    """Write one triple, of its subjects only one where `only` is given; return notes and whether its video could be saved."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "caption.txt").write_text(triple.caption + "\n", encoding="utf-8")
    notes: list[str] = []
    if triple.clip.video is None:
        return ["no video: the release has no bytes for this clip"], False
    try:
        data = read_video(triple.clip.video)
    except ArchiveError as error:
        return [f"no video: {error}"], False
    (folder / "clip.mp4").write_bytes(data)
    subjects = [subject for subject in triple.subjects if only is None or subject.object_id == only]
    if triple.clip.ann_frame_idx is None:
        notes.append("no annotated frame, so no cut-outs")
    else:
        try:
            frame = annotated_frame(data, triple.clip)
        except DecodeError as error:
            return [f"the video does not decode: {error}"], False
        from PIL import Image

        Image.fromarray(frame).save(folder / "frame.png")
        draw_outlines(frame, subjects).save(folder / "outlines.png")
        (folder / "subjects").mkdir(exist_ok=True)
        for subject in subjects:
            cut = cut_out(frame, subject, background="transparent")
            name = f"{subject.object_id:02d}_{subject.class_name}"
            if cut is None:
                notes.append(f"subject {name}: neither a mask nor a box in the frame")
                continue
            if cut.source == "bbox":
                notes.append(f"subject {name}: cut by its box ({cut.note})")
            stem = safe_name(name.replace(" ", "_")) + ("_box" if cut.source == "bbox" else "")
            cut.image.save(folder / "subjects" / f"{stem}.png")
    for view in triple.views:
        (folder / "views").mkdir(exist_ok=True)
        try:
            picture = read_file(view.path)
        except ArchiveError as error:
            notes.append(f"view {view.view_idx}: {error}")
            continue
        name = safe_name(view.class_name.replace(" ", "_"))
        (folder / "views" / f"{view.view_idx}_{name}.png").write_bytes(picture)
    return notes, True
