"""Rows made values: what a subject, a clip, a pair, a view and a subject-text-video triple are.

Both faces give these: `opens2v_data.open(root).triples(...)` and `Triple.from_row(row)` on a row of
`load_dataset("opens2v-5m")`. They hold no pixels; `opens2v_loaders` decodes and cuts out.

Boxes are `(x1, y1, x2, y2)` in pixels of the *cropped* annotated frame; frame ranges are half-open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

PROTOCOL = "opens2v"
"""Scheme of the addresses that name a clip's bytes; `opens2v_data.hub.filesystem` opens them for fsspec."""


def clip_address(root: object, part: str, member: str, offset: int, size_bytes: int) -> str:
    """Return the address of a clip's bytes: `opens2v://<catalog folder, percent-encoded>/<part>/<offset>-<size>/<member>`."""
    return f"{PROTOCOL}://{quote(str(root), safe='')}/{quote(part, safe='')}/{offset}-{size_bytes}/{quote(member)}"


@dataclass(frozen=True, kw_only=True)
class MaskRLE:
    """One mask as COCO compressed run lengths (column-major), as upstream stores it.

    Attributes:
        height, width: size in pixels; upstream promises that of the cropped frame but does not always keep it.
        counts: COCO's compressed run-length string, ASCII bytes.
        score: the segmenter's own confidence, [0, 1]; None where upstream gives none.
        frame_idx: the frame the mask belongs to, display order, counted from the first frame of the file.
    """

    height: int
    width: int
    counts: bytes = field(repr=False)
    score: float | None
    frame_idx: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> MaskRLE:
        """Make one from a subject's `mask`."""
        return cls(
            height=row["height"],
            width=row["width"],
            counts=row["counts"].encode(),
            score=row["score"],
            frame_idx=row["frame_idx"],
        )


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One detected object of a clip's annotated frame.

    Attributes:
        object_id: upstream's id, 1-based; unique in the clip only.
        class_name: the phrase that was detected, as upstream spells it.
        bbox_xyxy: pixels of the cropped annotated frame; None when upstream has a mask but no box.
        gme_score: GME similarity of class text and cut-out; None where upstream gives none.
        aes_score: LAION aesthetic score of the cut-out, about 0-10; None where upstream gives none.
        mask: None when upstream has a box but no mask.
    """

    object_id: int
    class_name: str
    bbox_xyxy: tuple[float, float, float, float] | None
    gme_score: float | None
    aes_score: float | None
    mask: MaskRLE | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Subject:
        """Make one from an element of `subjects`."""
        return cls(
            object_id=row["object_id"],
            class_name=row["class_name"],
            bbox_xyxy=None if row["bbox"] is None else tuple(row["bbox"]),
            gme_score=row["gme_score"],
            aes_score=row["aes_score"],
            mask=None if row["mask"] is None else MaskRLE.from_row(row["mask"]),
        )


@dataclass(frozen=True, kw_only=True)
class VideoRef:
    """Where a clip's mp4 lies; reads nothing until asked.

    Attributes:
        path: `opens2v://…` address that fsspec opens, with catalog, part, offset and size in it.
        part: part of the release, e.g. `total_part1`.
        member: name inside the part's tar (or below the part's folder when unpacked).
        offset: first byte in the joined tar, bytes; 0 for an unpacked file.
        size_bytes: length of the mp4.
    """

    path: str
    part: str
    member: str
    offset: int
    size_bytes: int

    @classmethod
    def from_address(cls, address: str) -> VideoRef:
        """Make one from a row's `video_path`: `opens2v://<catalog>/<part>/<offset>-<size>/<member>`.

        Raises:
            ValueError: no such address.
        """
        scheme, _, rest = address.partition("://")
        try:
            root, part, span, member = rest.split("/", 3)
            offset, size_bytes = (int(number) for number in span.split("-"))
            if scheme != PROTOCOL or not (root and part and member):
                raise ValueError("a piece is missing")
        except ValueError as error:
            raise ValueError(
                f"expected {PROTOCOL}://<catalog>/<part>/<offset>-<size>/<member>, found {address!r}; "
                "take it from a row's video_path"
            ) from error
        return cls(path=address, part=unquote(part), member=unquote(member), offset=offset, size_bytes=size_bytes)

    @property
    def catalog_root(self) -> str:
        """Folder of the catalog in the address."""
        return unquote(self.path.removeprefix(f"{PROTOCOL}://").split("/", 1)[0])


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip: its caption, scores, ranges and the place of its bytes.

    Attributes:
        clip_id: dense id in this catalog; changes when the catalog is made anew from other files.
        key: upstream's clip key; unique within a part only.
        part: part of the release.
        caption: the caption, or "" where upstream has none.
        cut, face_cut: half-open frame ranges in the file; `face_cut` (a person in view) lies inside `cut`,
            None where upstream gives none: use `cut`.
        crop_xyxy: `(x0, y0, x1, y1)` pixels of the decoded frame to keep (watermarks lie outside); None: the whole frame.
        fps: frames per second as upstream recorded it.
        num_frames: as upstream recorded it (from the header, not from decoding).
        width, height: of the decoded frame, pixels, before the crop.
        ann_frame_idx: the frame that boxes and masks belong to, display order from the first frame of the file.
        aesthetic, motion, tech: upstream's scores; None where missing.
        tags: upstream's word tags by kind (`background`, `subject`, `object`, `pre_define`).
        video: None when the release at hand has no bytes for the clip.
        background_path: inpainted plate below the release, or None.
    """

    clip_id: int
    key: str
    part: str
    cluster_id: str
    caption: str
    fps: float | None
    num_frames: int | None
    width: int | None
    height: int | None
    cut: tuple[int, int] | None
    face_cut: tuple[int, int] | None
    crop_xyxy: tuple[int, int, int, int] | None
    ann_frame_idx: int | None
    aesthetic: float | None
    motion: float | None
    tech: float | None
    tags: dict[str, tuple[str, ...]] = field(repr=False)
    video: VideoRef | None
    background_path: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Clip:
        """Make one from a row of config regular or nexus-gpt, or from a side of nexus-cross."""
        crop = tuple(row[name] for name in ("crop_x0", "crop_y0", "crop_x1", "crop_y1"))
        return cls(
            clip_id=row["clip_id"],
            key=row["clip_key"],
            part=row["part"],
            cluster_id=row["cluster_id"],
            caption=row["caption"] or "",
            fps=row["fps"],
            num_frames=row["num_frames"],
            width=row["width"],
            height=row["height"],
            cut=_range(row, "cut"),
            face_cut=_range(row, "face_cut"),
            crop_xyxy=None if None in crop else crop,
            ann_frame_idx=row["ann_frame_idx"],
            aesthetic=row["aesthetic"],
            motion=row["motion"],
            tech=row["tech"],
            tags={kind: tuple(row[f"{kind}_tags"]) for kind in ("background", "subject", "object", "pre_define")},
            video=None if row["video_path"] is None else VideoRef.from_address(row["video_path"]),
            background_path=row["background_path"],
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """A GPT-Image-1 picture of one subject.

    Attributes:
        view_idx: the number in the file name, 0-based.
        class_name: as the subject's class is spelled (spaces, not `_`).
        object_id: the clip's subject it shows, or None when no subject has that class.
        path: PNG below the release.
        source_path: the frame the view was made from (`main_image.png`), below the release, or None.
    """

    view_idx: int
    class_name: str
    object_id: int | None
    path: str
    source_path: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> View:
        """Make one from an element of `views`."""
        return cls(**{name: row[name] for name in ("view_idx", "class_name", "object_id", "path", "source_path")})


@dataclass(frozen=True, kw_only=True)
class Triple:
    """A subject-text-video triple: the unit that subject-to-video models train on.

    Attributes:
        clip: the video and its text (`clip.caption`).
        subjects: in object_id order.
        views: GPT-Image-1 views of the subjects; empty unless the config gives them.
    """

    clip: Clip
    subjects: tuple[Subject, ...]
    views: tuple[View, ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Triple:
        """Make one from a row of `load_dataset("opens2v-5m")`, config regular or nexus-gpt, or a side of nexus-cross.

        Raises:
            KeyError: the row lacks a column, for example because `columns=` left it out.
        """
        if missing := [name for name in ("clip_key", "video_path", "subjects", "crop_x0") if name not in row]:
            hint = "a row of nexus-cross is a Pair" if "partner" in row else "columns= left them out"
            raise KeyError(f"the row lacks {', '.join(missing)}, which a Triple is made of: {hint}")
        return cls(
            clip=Clip.from_row(row),
            subjects=tuple(Subject.from_row(subject) for subject in row["subjects"]),
            views=tuple(View.from_row(view) for view in row.get("views") or ()),
        )

    @property
    def caption(self) -> str:
        """The clip's caption."""
        return self.clip.caption

    def subject(self, object_id: int) -> Subject:
        """Return the subject of that id.

        Raises:
            KeyError: no subject of the clip has it.
        """
        for subject in self.subjects:
            if subject.object_id == object_id:
                return subject
        raise KeyError(
            f"clip {self.clip.key} has no subject {object_id}; it has {[s.object_id for s in self.subjects]}"
        )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same subject in two clips of one source video (Nexus cross-video pair).

    Attributes:
        left, right: the two sides (upstream's `cur` and `aft`).
        left_object_id, right_object_id: which subject of each side; None in upstream's older form.
        text_similarity: GME cosine of the two class names.
        image_similarity: GME cosine of the two cut-outs; near 1 means the same picture twice.
    """

    left: Triple
    right: Triple
    left_object_id: int | None
    right_object_id: int | None
    left_class_name: str
    right_class_name: str
    text_similarity: float | None
    image_similarity: float | None

    @property
    def left_subject(self) -> Subject | None:
        """The left subject, or None when there is no id, or it names a subject of another class than the pair does."""
        return _named(self.left, self.left_object_id, self.left_class_name)

    @property
    def right_subject(self) -> Subject | None:
        """The right subject, or None as for `left_subject`.

        Upstream's ids of the partner often belong to another run of the detector: in its published sample 53 of 104 name a
        subject of the pair's class, 39 one of another class, 12 none at all.
        """
        return _named(self.right, self.right_object_id, self.right_class_name)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Pair:
        """Make one from a row of config nexus-cross."""
        return cls(
            left=Triple.from_row(row["clip"]),
            right=Triple.from_row(row["partner"]),
            left_object_id=row["object_id"],
            right_object_id=row["partner_object_id"],
            left_class_name=row["class_name"],
            right_class_name=row["partner_class_name"],
            text_similarity=row["text_similarity"],
            image_similarity=row["image_similarity"],
        )


def _named(triple: Triple, object_id: int | None, class_name: str) -> Subject | None:
    found = (subject for subject in triple.subjects if subject.object_id == object_id)
    return next((subject for subject in found if subject.class_name == class_name), None)


def _range(row: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    start, end = row[f"{name}_start"], row[f"{name}_end"]
    return None if start is None or end is None else (start, end)


BytesReader = Callable[[VideoRef], bytes]
"""Reads a clip's whole mp4; `opens2v_data.open(root).read_bytes` is one."""
