"""One sample release for all tests of its room."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from opens2v_data.sample import SampleFacts
from sample.reading import JSONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def written_sample(sample_facts: SampleFacts) -> SampleFacts:
    """The release of seed 0, on disk: that of all tests."""
    return sample_facts


@pytest.fixture(scope="session")
def record_pairs(written_sample: SampleFacts) -> Callable[[str], list[tuple[str, dict[str, Any]]]]:
    """Give a part's records in file order; a key may occur twice."""

    def load(part: str) -> list[tuple[str, dict[str, Any]]]:
        # `object_pairs_hook` would turn every object into a list: only the outermost is asked for its pairs.
        text = (written_sample.root / JSONS / f"{part}.json").read_text()
        decoder, position, pairs = json.JSONDecoder(), text.index("{") + 1, []
        while True:
            position += len(text[position:]) - len(text[position:].lstrip(" \n,"))
            if text[position] == "}":
                return pairs
            key, position = decoder.raw_decode(text, position)
            position += len(text[position:]) - len(text[position:].lstrip(" :"))
            value, position = decoder.raw_decode(text, position)
            pairs.append((key, value))

    return load


@pytest.fixture(scope="session")
def joined_tars(written_sample: SampleFacts) -> dict[str, bytes]:
    """Each part's pieces, joined."""
    return {
        part: b"".join(path.read_bytes() for path in sorted((written_sample.root / "Videos" / part).iterdir()))
        for part in written_sample.parts
    }


@pytest.fixture(scope="session")
def mp4s(joined_tars: dict[str, bytes]) -> dict[str, bytes]:
    """Every member's bytes by `part:member`, as `tarfile` reads them."""
    return {f"{part}:{name}": data for part, tar in joined_tars.items() for name, data in _members(tar)}


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=BytesIO(data)) as tar:
        for member in tar:
            if member.isfile():
                stream = tar.extractfile(member)
                assert stream is not None
                yield member.name, stream.read()
