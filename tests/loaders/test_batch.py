"""Pictures of a batch are ragged; padding fills the rest with zeros and says so. Which subjects there are is a policy."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loaders.clips import HEIGHT, WIDTH
from loaders.rowsource import FakeCatalog
from opens2v_data.triples import Subject, Triple
from opens2v_loaders.batch import Pictures
from opens2v_loaders.sampling import rng_of
from opens2v_loaders.subjects import SubjectSpec, choose, letterbox, subject_picture


def ragged(counts: list[int]) -> Pictures:
    """Return pictures of 2x2 whose values are their numbers, from 1."""
    total = sum(counts)
    numbers = torch.arange(1, total + 1, dtype=torch.uint8)
    return Pictures(
        images=numbers[:, None, None, None].expand(total, 3, 2, 2),
        boxes_xyxy=numbers[:, None].expand(total, 4).to(torch.int32),
        offsets=torch.tensor(np.cumsum([0, *counts])),
        names=tuple(map(str, numbers.tolist())),
        object_ids=numbers.to(torch.int64),
    )


def test_padding_keeps_the_first_of_each_clip_and_says_which_are_there() -> None:
    padded = ragged([2, 0, 3]).to_padded(2)
    assert padded.images.shape == (3, 2, 3, 2, 2)
    assert padded.images[:, :, 0, 0, 0].tolist() == [[1, 2], [0, 0], [3, 4]]
    assert padded.boxes_xyxy[:, :, 3].tolist() == [[1, 2], [0, 0], [3, 4]]
    assert padded.is_present.tolist() == [[True, True], [False, False], [True, True]]


def test_padding_of_a_batch_without_pictures_is_empty_places() -> None:
    padded = ragged([0, 0]).to_padded(3)
    assert padded.images.shape == (2, 3, 3, 2, 2)
    assert not padded.is_present.any()
    with pytest.raises(ValueError, match="max_subjects must be 1 or more, not 0"):
        ragged([1]).to_padded(0)


def subject(number: int, box: tuple[int, int, int, int], *, gme: float = 0.9, aes: float = 0.0) -> Subject:
    """Return a subject without a mask."""
    return Subject(
        object_id=number, class_name=f"thing {number}", bbox_xyxy=box, gme_score=gme, aes_score=aes, mask=None
    )


def test_the_good_policy_takes_the_largest_of_those_with_a_good_score() -> None:
    small, middle, large = subject(1, (0, 0, 5, 5)), subject(2, (0, 0, 9, 9)), subject(3, (0, 0, 20, 20), gme=0.1)
    pretty = subject(4, (0, 0, 30, 30), gme=0.1, aes=4.5)
    found = choose([small, middle, large, pretty], SubjectSpec(), height=40, width=40)
    assert [one.object_id for one in found] == [4, 2, 1]
    assert [one.object_id for one in choose([small, middle], SubjectSpec(max_subjects=1), height=40, width=40)] == [2]


def test_where_no_subject_is_good_the_largest_is_taken() -> None:
    small, large = subject(1, (0, 0, 5, 5), gme=0.1), subject(2, (0, 0, 20, 20), gme=0.1)
    assert [one.object_id for one in choose([small, large], SubjectSpec(), height=40, width=40)] == [2]
    outside = subject(3, (50, 50, 60, 60))
    assert choose([outside], SubjectSpec(), height=40, width=40) == []


def test_the_all_policy_takes_every_one_that_can_be_cut_out_in_order() -> None:
    subjects = [subject(1, (0, 0, 5, 5), gme=0.1), subject(2, (50, 50, 60, 60)), subject(3, (0, 0, 20, 20))]
    found = choose(subjects, SubjectSpec(policy="all"), height=40, width=40)
    assert [one.object_id for one in found] == [1, 3]


def test_several_names_of_one_region_give_one_subject() -> None:
    triple = Triple.from_row(FakeCatalog(num_rows=1, num_subjects=3).rows_of([0])[0])
    assert len(triple.subjects) == 3
    assert len(choose(triple.subjects, SubjectSpec(), height=HEIGHT, width=WIDTH)) == 1
    assert len(choose(triple.subjects, SubjectSpec(policy="all"), height=HEIGHT, width=WIDTH)) == 3


def test_a_picture_keeps_its_shape_in_the_middle_of_the_background() -> None:
    spec = SubjectSpec(size=(40, 40), background="black")
    rgb = letterbox(Image.new("RGB", (30, 10), (10, 20, 30)), spec)
    inside = (rgb == np.array([10, 20, 30])[:, None, None]).all(axis=0)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (13, 26, 0, 40)
    assert (rgb[:, ~inside] == 0).all()


def test_a_cut_out_has_the_background_where_the_mask_is_not() -> None:
    frame = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    triple = Triple.from_row(FakeCatalog(num_rows=1).rows_of([0])[0])
    picture = subject_picture(frame, triple.subjects[0], SubjectSpec(size=(20, 28)))
    assert picture is not None
    assert (picture.name, picture.object_id) == ("thing 0", 1)
    assert (picture.pixels == 100).all()  # the mask is a box of 28 x 20, so it fills the picture
    outside = subject(1, (90, 90, 95, 95))
    assert subject_picture(frame, outside, SubjectSpec()) is None


def test_a_transparent_background_is_a_fourth_channel_of_the_same_picture() -> None:
    triple = Triple.from_row(FakeCatalog(num_rows=1).rows_of([0])[0])
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    opaque = subject_picture(frame, triple.subjects[0], SubjectSpec(size=(20, 60)))
    clear = subject_picture(frame, triple.subjects[0], SubjectSpec(size=(20, 60), background="transparent"))
    assert opaque is not None and clear is not None
    assert clear.pixels.shape == SubjectSpec(size=(20, 60), background="transparent").picture_shape == (4, 20, 60)
    # The mask is a box of 28 x 20, so it stands in the middle of the picture as it is.
    assert np.array_equal(np.flatnonzero((clear.pixels[3] == 255).all(axis=0)), np.arange(16, 44))
    assert (clear.pixels[3] == 0).sum() == 32 * 20
    assert np.array_equal(clear.pixels[:3, :, 16:44], opaque.pixels[..., 16:44])


def test_policies_order_one_subject_of_each_region_by_their_names() -> None:
    boxes = [(0, 0, 5, 5), (0, 0, 30, 30), (0, 0, 9, 9), (0, 0, 20, 20)]
    scores = [0.3, 0.1, 0.9, 0.5]
    subjects = [subject(n, box, gme=gme) for n, (box, gme) in enumerate(zip(boxes, scores, strict=True), 1)]

    def chosen(policy: Any, **options: Any) -> list[int]:
        found = choose(subjects, SubjectSpec(policy=policy, max_subjects=3), height=40, width=40, **options)
        return [one.object_id for one in found]

    assert chosen("largest") == [2, 4, 3]
    assert chosen("best") == [3, 4, 1]
    assert chosen("all") == [1, 2, 3]
    drawn = {tuple(chosen("random", rng=rng_of(0, 0, row, "subjects"))) for row in range(200)}
    assert drawn == set(permutations([1, 2, 3, 4], 3))
    assert chosen("random", rng=rng_of(7, 1, 2, "subjects")) == chosen("random", rng=rng_of(7, 1, 2, "subjects"))
    with pytest.raises(ValueError, match='policy="random" needs rng'):
        chosen("random")
    named_thrice = Triple.from_row(FakeCatalog(num_rows=1, num_subjects=3).rows_of([0])[0]).subjects
    for policy in ("largest", "best", "random"):
        spec = SubjectSpec(policy=policy)
        found = choose(named_thrice, spec, height=HEIGHT, width=WIDTH, rng=rng_of(0, 0, 0, "subjects"))
        assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "finest"}, "policy must be one of good, all, largest, best, random, not 'finest'"),
        ({"max_subjects": 0}, "must be 1 or more, not 0"),
        ({"background": "grey"}, "background must be white, black or transparent, not 'grey'"),
    ],
)
def test_options_of_subjects_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubjectSpec(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
