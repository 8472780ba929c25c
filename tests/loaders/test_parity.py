"""What upstream's demo loader gives for a row, and what ours does: the same, but for its faults.

`Upstream` is that loader's rule written anew from what `../shared/design` says of it, with other libraries than ours: frames by
decoding all of the file with PyAV, masks by pycocotools, resizing in floating point.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import opens2v_data
from loaders import real_sample
from loaders.clips import decode_all
from opens2v_data.catalog.ingest import ingest
from opens2v_data.dataset import OpenS2V
from opens2v_data.release.layout import Release
from opens2v_data.triples import Pair, Subject, Triple
from opens2v_loaders import annotated_frame, background_plate, cut_out
from opens2v_loaders.batch import Batch
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec, letterbox

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = real_sample.needs_real_sample
coco = pytest.importorskip("pycocotools.mask", reason="masks are read a second time with pycocotools")

PARTS = ("dataset1", "dataset1_cluster")
# A crop, ranges and scores that the real records do not have: theirs is the whole frame and the whole file.
SPEC = SubjectSpec(policy="all", max_subjects=99, size=(160, 160), scene=True)
CROP = (16, 1240, 6, 700)
ANN_FRAME = 5


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Upstream's demo loader, for one part of a release.

    Attributes:
        root: of the release.
        part: name.
        num_frames, stride, size: options it has; size is (height, width).
    """

    root: Path
    part: str
    num_frames: int = 49
    stride: int = 3
    size: tuple[int, int] = (480, 832)

    @cached_property
    def records(self) -> dict[str, Any]:
        """Return the part's JSON."""
        return json.loads((self.root / "Jsons" / "mask_and_bbox" / f"{self.part}.json").read_text())

    @property
    def video(self) -> np.ndarray:
        """All frames of the part's only mp4, `(N, H, W, 3) uint8 RGB`."""
        return _decoded(real_sample.video_bytes(self.part))

    def indices(self, face_cut: tuple[int, int], first: int) -> list[int]:
        """Return the frames it takes when it draws `first`."""
        start, end = face_cut
        length = end - start
        if length <= self.num_frames:
            return sorted(start + number % length for number in range(self.num_frames))
        span = min(length, (self.num_frames - 1) * self.stride + 1)
        assert start <= first <= end - span, "a first frame that it would not draw"
        return np.linspace(first, first + span - 1, self.num_frames, dtype=int).tolist()

    def frames(self, key: str, first: int) -> torch.Tensor:
        """Return the clip's frames, `(T, 3, *size) float32`: cropped, resized to cover, their middle kept."""
        meta = self.records[key]["metadata"]
        x0, x1, y0, y1 = meta["crop"]
        chosen = self.video[self.indices(tuple(meta["face_cut"]), first)][:, y0:y1, x0:x1]
        pictures = torch.from_numpy(chosen).permute(0, 3, 1, 2).float()
        to_height, to_width = self.size
        aspect = (x1 - x0) / (y1 - y0)
        covering = (to_height, int(to_height * aspect))
        if covering[1] < to_width:
            covering = (int(to_width / aspect), to_width)
        resized = torch.nn.functional.interpolate(pictures, size=covering, mode="bilinear", antialias=True)
        top, left = round((covering[0] - to_height) / 2), round((covering[1] - to_width) / 2)
        return resized[..., top : top + to_height, left : left + to_width]

    def foreground_bgr(self, key: str) -> np.ndarray:
        """Return the annotated frame as it hands it out, `(H, W, 3)`: blue first."""
        record = self.records[key]
        x0, x1, y0, y1 = record["metadata"]["crop"]
        return self.video[record["annotation"]["ann_frame_data"]["ann_frame_idx"]][y0:y1, x0:x1, ::-1]

    def background(self, key: str) -> np.ndarray:
        """Return the background plate."""
        with Image.open(self.root / "Background" / self.part / f"{key}.png") as plate:
            return np.asarray(plate.convert("RGB"))

    def subject(self, key: str, object_id: str, *, ground: int = 255) -> dict[str, Any]:
        """Return a subject as it hands it out.

        Raises:
            TypeError: the mask is empty: it gives nothing, and takes it apart.
        """
        annotation = self.records[key]["annotation"]
        frame_rgb = self.foreground_bgr(key)[..., ::-1]
        rle = annotation["mask_annotation"][str(annotation["ann_frame_data"]["ann_frame_idx"])][object_id]
        inside = coco.decode({"size": list(frame_rgb.shape[:2]), "counts": rle["counts"].encode()}) == 1
        if not inside.any():
            raise TypeError("cannot unpack non-iterable NoneType object")
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        box = annotation["ann_frame_data"]["annotations"][int(object_id) - 1]
        return {
            "class_name": annotation["mask_map"][object_id]["class_name"],
            "rgb": np.where(inside[here][..., None], frame_rgb[here], ground),
            "gme_score": box["gme_score"],
            "aes_score": box["aes_score"],
        }


@lru_cache(maxsize=1)
def _decoded(data: bytes) -> np.ndarray:
    """Decode all of an mp4; that of both parts is the same, and takes 260 MB."""
    return decode_all(data)[0]


@pytest.fixture(scope="module", autouse=True)
def _no_frames_are_kept() -> Iterator[None]:
    yield
    _decoded.cache_clear()


def changed(record: dict[str, Any], *, face_cut: tuple[int, int]) -> dict[str, Any]:
    """Return a record with a crop, another range, and boxes and masks of that crop and of another frame; mask 3 is empty."""
    record = json.loads(json.dumps(record))
    x0, x1, y0, y1 = CROP
    record["metadata"] |= {"crop": list(CROP), "face_cut": list(face_cut)}
    annotation = record["annotation"]
    frame_data = annotation["ann_frame_data"]
    frame_data["ann_frame_idx"] = ANN_FRAME
    for box in frame_data["annotations"]:
        left, top, right, bottom = box["bbox"]
        box["bbox"] = [left - x0, top - y0, right - x0, bottom - y0]
    masks = {}
    for object_id, mask in annotation["mask_annotation"].pop("0").items():
        inside = coco.decode({"size": mask["size"], "counts": mask["counts"].encode()})[y0:y1, x0:x1]
        if object_id == "3":
            inside = np.zeros_like(inside)
        encoded = coco.encode(np.asfortranarray(inside))
        masks[object_id] = mask | {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    annotation["mask_annotation"] = {str(ANN_FRAME): masks}
    return record


@pytest.fixture(scope="module")
def cropped_release(real_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real piece with records changed as `changed` says; plates are cut to the crop, as upstream makes them."""
    root = tmp_path_factory.mktemp("cropped") / "release"
    shutil.copytree(real_release, root)
    x0, x1, y0, y1 = CROP
    for part in PARTS:
        path = root / "Jsons" / "mask_and_bbox" / f"{part}.json"
        records = {
            key: changed(record, face_cut=(5, 60) if "step122" in key else (5, 93))
            for key, record in json.loads(path.read_text()).items()
        }
        path.write_text(json.dumps(records))
    for path in (root / "Background").rglob("*.png"):
        with Image.open(path) as plate:
            cut = plate.convert("RGB").crop((x0, y0, x1, y1))
        cut.save(path)
    return root


@pytest.fixture(scope="module")
def cropped_catalog(cropped_release: Path) -> Path:
    """A catalog of it."""
    ingest(Release.open(str(cropped_release)), cropped_release.parent / "opens2v-5m")
    return cropped_release.parent / "opens2v-5m"


@pytest.fixture(scope="module", params=["as published", "cropped"])
def made(request: pytest.FixtureRequest, real_release: Path) -> tuple[Path, OpenS2V]:
    """A release and its catalog, opened."""
    if request.param == "cropped":
        catalog = request.getfixturevalue("cropped_catalog")
        return request.getfixturevalue("cropped_release"), opens2v_data.open(catalog)
    return real_release, opens2v_data.open(request.getfixturevalue("real_catalog"), release=real_release)


def batches_of(catalog: OpenS2V, **changes: Any) -> list[Batch]:
    """Return an epoch's batches of one clip each."""
    given: dict[str, Any] = {
        "clip": ClipSpec(num_frames=6, stride=9, size=(480, 832)),
        "batch_size": 1,
        "on_bad": "raise",
        "subjects": SPEC,
        "options": LoaderOptions(num_threads=2),
    }
    return list(ClipLoader(catalog, **(given | changes)))


@pytest.fixture(scope="module")
def batches(made: tuple[Path, OpenS2V]) -> list[Batch]:
    """An epoch of it."""
    return batches_of(made[1])


def test_a_sample_is_upstreams_given_its_first_frame(made: tuple[Path, OpenS2V], batches: list[Batch]) -> None:
    release, catalog = made
    rows = {row["clip_id"]: row for row in catalog.rows()}
    assert sorted((batch.parts[0], batch.keys[0]) for batch in batches) == sorted(
        (part, key) for part in PARTS for key in Upstream(root=release, part=part).records
    )
    for batch in batches:
        upstream = Upstream(root=release, part=batch.parts[0], num_frames=6, stride=9)
        key = batch.keys[0]
        record = upstream.records[key]
        meta, first = record["metadata"], int(batch.frame_indices[0, 0])
        assert batch.frame_indices[0].tolist() == upstream.indices(tuple(meta["face_cut"]), first)
        # Ours is resized in integers, 58 dB and a level at most from its floating point.
        assert (batch.videos[0] - upstream.frames(key, first)).abs().max() < 1.5
        assert batch.captions == (meta["face_cap_qwen"],)
        for name in ("tech", "motion", "aesthetic"):
            assert batch.scores[name].item() == np.float32(meta[name])
        row = rows[int(batch.rows[0])]
        assert (row["fps"], row["num_frames"]) == (np.float32(meta["fps"]), meta["num_frames"])
        frame_data = record["annotation"]["ann_frame_data"]
        assert row["foreground_aesthetic"] == np.float32(frame_data["foreground_ase_score"])
        assert row["background_aesthetic"] == np.float32(frame_data["background_ase_score"])


def test_upstreams_defaults_on_the_real_clip_give_its_frames(real_catalog: Path, real_release: Path) -> None:
    (batch,) = batches_of(
        opens2v_data.open(real_catalog, release=real_release),
        where="part = 'dataset1'",
        clip=ClipSpec(size=(480, 832)),
        subjects=None,
    )
    expected = Upstream(root=real_release, part="dataset1").frames(batch.keys[0], 0)
    assert batch.videos[0].shape == expected.shape
    assert (batch.videos[0] - expected).abs().max() < 1.5


@pytest.mark.parametrize("background", ["white", "black"])
def test_cut_outs_are_upstreams_pixel_for_pixel(made: tuple[Path, OpenS2V], background: Any) -> None:
    release, catalog = made
    num_subjects = 0
    for triple in catalog.triples():
        upstream = Upstream(root=release, part=triple.clip.part)
        frame = annotated_frame(catalog.read_bytes(triple.clip.video), triple.clip)
        record = upstream.records[triple.clip.key]["annotation"]
        masks = record["mask_annotation"][str(triple.clip.ann_frame_idx)]
        assert [str(subject.object_id) for subject in triple.subjects] == list(masks)
        for subject in triple.subjects:
            if _is_empty(subject) or (background == "black" and subject.object_id > 4):
                continue
            expected = upstream.subject(
                triple.clip.key, str(subject.object_id), ground=255 if background == "white" else 0
            )
            cut = cut_out(frame, subject, background=background)
            assert cut is not None and cut.source == "mask"
            assert np.array_equal(np.asarray(cut.image), expected["rgb"])
            assert subject.class_name == expected["class_name"]
            assert (subject.gme_score, subject.aes_score) == pytest.approx(
                (expected["gme_score"], expected["aes_score"]), rel=1e-6
            )
            num_subjects += 1
    whole = 44 if release == real_sample.FOLDER else 41
    assert num_subjects == whole or background == "black"


def test_the_loaders_pictures_are_upstreams_cut_outs_fitted_to_one_size(
    made: tuple[Path, OpenS2V], batches: list[Batch]
) -> None:
    release, _ = made
    for batch in batches:
        upstream = Upstream(root=release, part=batch.parts[0])
        for name, object_id, image in zip(
            batch.subjects.names, batch.subjects.object_ids.tolist(), batch.subjects.images, strict=True
        ):
            try:
                expected = upstream.subject(batch.keys[0], str(object_id))
            except TypeError:
                continue
            assert name == expected["class_name"]
            assert np.array_equal(image.numpy(), letterbox(Image.fromarray(expected["rgb"].astype(np.uint8)), SPEC))


def test_foreground_and_background_are_upstreams_in_rgb_and_lie_over_the_frames(
    made: tuple[Path, OpenS2V], batches: list[Batch]
) -> None:
    release, catalog = made
    for triple in catalog.triples():
        upstream = Upstream(root=release, part=triple.clip.part)
        frame = annotated_frame(catalog.read_bytes(triple.clip.video), triple.clip)
        assert np.array_equal(frame[..., ::-1], upstream.foreground_bgr(triple.clip.key))
        assert triple.clip.background_path is not None
        plate = background_plate(catalog.read_file(triple.clip.background_path))
        assert np.array_equal(plate, upstream.background(triple.clip.key))
    for batch in batches:
        upstream = Upstream(root=release, part=batch.parts[0])
        key = batch.keys[0]
        for pictures, whole in (
            (batch.foregrounds, upstream.foreground_bgr(key)[..., ::-1]),
            (batch.backgrounds, upstream.background(key)),
        ):
            assert pictures.offsets.tolist() == [0, 1]
            covering = (480, max(832, int(480 * whole.shape[1] / whole.shape[0])))
            floating = torch.from_numpy(whole.copy()).permute(2, 0, 1)[None].float()
            resized = torch.nn.functional.interpolate(floating, size=covering, mode="bilinear", antialias=True)
            left = round((covering[1] - 832) / 2)
            assert (pictures.images[0] - resized[0, ..., left : left + 832]).abs().max() < 1.5


def test_where_upstream_dies_on_an_empty_mask_ours_cuts_out_the_box_and_says_so(
    cropped_catalog: Path, cropped_release: Path
) -> None:
    catalog = opens2v_data.open(cropped_catalog)
    for triple in catalog.triples():
        subject = triple.subject(3)
        with pytest.raises(TypeError, match="cannot unpack"):
            Upstream(root=cropped_release, part=triple.clip.part).subject(triple.clip.key, "3")
        frame = annotated_frame(catalog.read_bytes(triple.clip.video), triple.clip)
        cut = cut_out(frame, subject)
        assert cut is not None and (cut.source, cut.note) == ("bbox", "empty mask")
        x0, y0, x1, y1 = cut.box_xyxy
        assert np.array_equal(np.asarray(cut.image), frame[y0:y1, x0:x1])


def test_upstream_draws_a_partners_id_and_key_apart_and_ours_are_of_one_clip(
    real_catalog: Path, real_release: Path
) -> None:
    clusters = json.loads((real_release / "Jsons/cross_video_pairs/cluster_videos.json").read_text())
    (cluster,) = clusters.values()
    draw = random.Random(0)
    drawn = [(draw.choice(cluster), draw.choice(cluster).split("/", 1)[1]) for _ in range(100)]
    assert sum(partner.split("/", 1)[1] != key for partner, key in drawn) > 30

    catalog = opens2v_data.open(real_catalog, release=real_release)
    pairs = [Pair.from_row(row) for row in catalog.rows(config="nexus-cross")]
    recorded = json.loads((real_release / "Jsons/cross_video_pairs/cross_frames_pairs.json").read_text())
    found = {
        (
            f"{pair.left.clip.part}/{pair.left.clip.key}",
            f"{pair.right.clip.part}/{pair.right.clip.key}",
            str(pair.left_object_id),
            str(pair.right_object_id),
        )
        for pair in pairs
    }
    names = ("cur_id", "aft_id", "cur_class_id", "aft_class_id")
    assert found == {tuple(one[name] for name in names) for some in recorded.values() for one in some}
    assert all(partner in cluster for _, partner, _, _ in found)


def test_a_partner_in_another_part_is_read_there_with_its_own_masks(real_catalog: Path, real_release: Path) -> None:
    # Upstream takes the record of the clip itself, and its bytes from the other part.
    catalog = opens2v_data.open(real_catalog, release=real_release)
    pairs = {row["pair_id"]: Pair.from_row(row) for row in catalog.rows(config="nexus-cross")}
    across = {number for number, pair in pairs.items() if pair.left.clip.part != pair.right.clip.part}
    usable = [number for number in sorted(across) if pairs[number].right_subject is not None][:4]
    batches = batches_of(catalog, mix={"nexus-cross": 1}, include=usable)
    assert {int(batch.rows[0]) for batch in batches} == set(usable)
    shown: set[str] = set()
    for batch in batches:
        pair = pairs[int(batch.rows[0])]
        other: Triple = pair.right
        expected = Upstream(root=real_release, part=other.clip.part).subject(other.clip.key, str(pair.right_object_id))
        picture = letterbox(Image.fromarray(expected["rgb"].astype(np.uint8)), SPEC)
        assert batch.partners.offsets.tolist() == [0, 1]
        assert np.array_equal(batch.partners.images[0].numpy(), picture)
        assert batch.partners.names == (expected["class_name"],) == (pair.right_class_name,)
        shown.add(other.clip.part)
    assert shown


def _is_empty(subject: Subject) -> bool:
    mask = subject.mask
    return mask is None or not coco.decode({"size": [mask.height, mask.width], "counts": mask.counts}).any()
