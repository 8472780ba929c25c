"""Cross-video pairs: the same subject in two clips of a cluster, found the way upstream finds them."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.sample.facts import ClipFacts, PairFacts, SubjectFacts
from opens2v_data.sample.story import OLD_FORM_CLUSTER, Take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opens2v_data.sample.film import Video

Identity = tuple[Any, ...]

SYNONYMS = (
    frozenset({"woman", "person", "individual"}),
    frozenset({"man", "person", "individual"}),
    frozenset({"girl", "child", "person", "individual"}),
    frozenset({"balloon", "red balloon", "yellow balloon"}),
    frozenset({"grassy area", "meadow"}),
)
"""Phrases whose text embeddings are near (upstream keeps a text similarity of 0.6 and more)."""

ABOVE_ONE = 1.0009765625
"""Upstream's own largest similarity: cosines in float16 are not clipped."""


def find_pairs(
    told: Sequence[tuple[Take, Video, ClipFacts]], *, seed: int
) -> tuple[dict[str, tuple[str, ...]], tuple[PairFacts, ...]]:
    """Pair the subjects of every two clips of a cluster.

    Returns:
        The clip ids of each cluster of more than one clip, and the pairs.
    """
    clusters: dict[str, list[tuple[Take, Video, ClipFacts]]] = {}
    for take, video, clip in told:
        if clip.video is not None:
            clusters.setdefault(clip.cluster, []).append((take, video, clip))
    clusters = {name: members for name, members in clusters.items() if len(members) > 1}
    rng = np.random.default_rng([seed, 77])
    pairs: list[PairFacts] = []
    for name, members in clusters.items():
        for cur, aft in combinations(members, 2):
            pairs.extend(_pairs_of(name, cur, aft, rng))
    ids = {name: tuple(_clip_id(clip) for _, _, clip in members) for name, members in clusters.items()}
    return ids, _with_one_above(tuple(pairs))


def _pairs_of(
    cluster: str, cur: tuple[Take, Video, ClipFacts], aft: tuple[Take, Video, ClipFacts], rng: np.random.Generator
) -> list[PairFacts]:
    (_, cur_video, cur_clip), (_, aft_video, aft_clip) = cur, aft
    pairs: list[PairFacts] = []
    for a in cur_clip.subjects:
        for b in aft_clip.subjects:
            if not (_is_seen(a) and _is_seen(b)):
                continue
            text = _text_similarity(a.class_name, b.class_name)
            is_same = _identity(*cur, a) == _identity(*aft, b)
            if cur_video.number == aft_video.number and is_same:
                image = rng.uniform(0.985, 0.9999)
            elif is_same:
                image = rng.uniform(0.76, 0.97)
            else:
                image = rng.uniform(0.50, 0.74)
            if text < 0.6 or image <= 0.6:
                continue
            is_old = cluster == OLD_FORM_CLUSTER
            pairs.append(
                PairFacts(
                    cluster=cluster,
                    cur_id=_clip_id(cur_clip),
                    aft_id=_clip_id(aft_clip),
                    cur_class_id=None if is_old else str(a.object_id),
                    aft_class_id=None if is_old else str(b.object_id),
                    cur_class_name=a.class_name,
                    aft_class_name=b.class_name,
                    text_similarity=text,
                    image_similarity=float(np.float16(image)),
                    cur_frame_idx=cur_clip.ann_frame_idx,
                    aft_frame_idx=aft_clip.ann_frame_idx,
                )
            )
    return pairs


def _is_seen(subject: SubjectFacts) -> bool:
    return subject.bbox_xyxy is not None and bool(subject.mask_area)


def _identity(take: Take, video: Video, clip: ClipFacts, subject: SubjectFacts) -> Identity:
    """Say who a subject is: the same figure in the same colours; a place is itself in one scene only."""
    what = take.subjects[subject.object_id - 1][1]
    if what.startswith("@"):
        return (video.scene, what)
    name, _, part = what.partition("~")[0].partition(".")
    actor = video.actors[int(name)]
    return (actor.what, actor.color, part)


def _text_similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    if any(a in group and b in group for group in SYNONYMS):
        return 0.71240234375
    return 0.41015625


def _with_one_above(pairs: tuple[PairFacts, ...]) -> tuple[PairFacts, ...]:
    """Put the similarity above one where the two pictures are nearest."""
    nearest = max(range(len(pairs)), key=lambda index: pairs[index].image_similarity)
    raised = {**vars(pairs[nearest]), "image_similarity": ABOVE_ONE}
    return (*pairs[:nearest], PairFacts(**raised), *pairs[nearest + 1 :])


def _clip_id(clip: ClipFacts) -> str:
    return clip.key if clip.cluster == OLD_FORM_CLUSTER else f"{clip.part}/{clip.key}"


def upstream_pair(pair: PairFacts) -> dict[str, Any]:
    """Spell a pair as upstream does, in upstream's order of keys; the older form lacks class ids."""
    fields = {name: value for name, value in vars(pair).items() if name != "cluster"}
    return {name: value for name, value in fields.items() if value is not None}


def write_pairs(folder: Path, clusters: Mapping[str, Sequence[str]], pairs: Sequence[PairFacts]) -> None:
    """Write the cluster index, all pairs, and one file for each cluster, indented as upstream's."""
    by_cluster = {name: [upstream_pair(pair) for pair in pairs if pair.cluster == name] for name in clusters}
    (folder / "final_output").mkdir(parents=True)
    _write(folder / "cluster_videos.json", {name: list(ids) for name, ids in clusters.items()}, indent=4)
    _write(folder / "cross_frames_pairs.json", by_cluster, indent=4)
    for name, found in by_cluster.items():
        _write(folder / "final_output" / f"{name}.json", found, indent=2)


def _write(path: Path, value: object, *, indent: int) -> None:
    path.write_text(json.dumps(value, indent=indent), encoding="ascii", newline="\n")
