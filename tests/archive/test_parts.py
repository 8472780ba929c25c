import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.tars import cut
from opens2v_data.archive import MemoryStore, Part, PartReader, Piece
from opens2v_data.errors import ArchiveError, MissingPieceError, ShortReadError


def part_of(*sizes: int) -> Part:
    return Part(
        name="p", layout="split-tar", pieces=tuple(Piece(path=f"s.{i}", size_bytes=n) for i, n in enumerate(sizes))
    )


def test_spans_cross_any_number_of_piece_borders_and_pass_over_empty_pieces():
    part = part_of(10, 0, 3, 0, 0, 7)
    assert part.size_bytes == 20
    assert part.spans(0, 20) == [("s.0", 0, 10), ("s.2", 0, 3), ("s.5", 0, 7)]
    assert part.spans(9, 2) == [("s.0", 9, 1), ("s.2", 0, 1)]
    assert part.spans(10, 1) == [("s.2", 0, 1)]
    assert part.spans(13, 7) == [("s.5", 0, 7)]
    assert part.spans(20, 0) == part.spans(10, 0) == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_joined_reads_equal_slices_of_the_joined_bytes_with_one_request_per_piece(
    sizes: list[int], data: st.DataObject
):
    joined = bytes(range(sum(sizes)))
    part = part_of(*sizes)
    files, position = {}, 0
    for piece in part.pieces:
        files[piece.path] = joined[position : position + piece.size_bytes]
        position += piece.size_bytes
    offset = data.draw(st.integers(0, len(joined)))
    length = data.draw(st.integers(0, len(joined) - offset))
    store = MemoryStore(files)

    assert PartReader(store, part).read(offset, length) == joined[offset : offset + length]
    spans = part.spans(offset, length)
    assert store.num_requests == len(spans) == len({span.path for span in spans})
    assert store.num_bytes == length


def test_a_range_past_the_last_piece_says_that_pieces_are_missing():
    with pytest.raises(
        MissingPieceError, match="part p: bytes 18 to 21 reach past the 20 bytes of its 2 pieces; download"
    ):
        part_of(10, 10).spans(18, 3)
    with pytest.raises(ValueError, match="offset -1 and length 3"):
        part_of(10).spans(-1, 3)
    with pytest.raises(ValueError, match="offset 1 and length -3"):
        part_of(10).spans(1, -3)


def test_a_place_is_described_by_part_offset_piece_and_offset_in_the_piece():
    part = part_of(10, 10)
    assert part.where(12) == "part p, byte 12 (piece s.1, byte 2)"
    assert part.where(20) == "part p, byte 20 (outside its 20 bytes)"


def test_a_piece_of_another_size_than_recorded_is_refused_with_advice():
    store = MemoryStore({"s.0": bytes(10), "s.1": bytes(11)})
    reader = PartReader(store, part_of(10, 10))
    assert reader.read(0, 10) == bytes(10)
    for use in (lambda: reader.read(5, 10), reader.check_pieces):
        with pytest.raises(
            MissingPieceError, match=r"piece s\.1 has 11 bytes, recorded were 10.*uploaded anew.*shifted"
        ):
            use()


def test_a_piece_that_is_not_there_is_named_with_its_part():
    with pytest.raises(MissingPieceError, match=r"part p: s\.1 is not in this store"):
        PartReader(MemoryStore({"s.0": bytes(10)}), part_of(10, 10)).read(0, 20)


def test_a_short_read_names_part_piece_and_byte():
    class Shrinking(MemoryStore):
        def size(self, path: str) -> int:
            return 10

    store = Shrinking({"s.0": bytes(10), "s.1": bytes(4)})
    expected = "part p, byte 10 (piece s.1, byte 0): s.1: expected 6 bytes from byte 0 on, found 4"
    with pytest.raises(ShortReadError, match=re.escape(expected)):
        PartReader(store, part_of(10, 10)).read(8, 8)


def test_a_member_is_read_from_every_layout():
    store, split = cut(b"..clip..", [3, 5])
    assert PartReader(store, split).read_member(name="a/b.mp4", offset=2, size_bytes=4) == b"clip"

    whole = Part(name="p", layout="tar", pieces=(Piece(path="Videos/p/p.tar", size_bytes=8),))
    store = MemoryStore({"Videos/p/p.tar": b"..clip.."})
    assert PartReader(store, whole).read_member(name="a/b.mp4", offset=2, size_bytes=4) == b"clip"

    files = Part(name="p", layout="files", root="Videos/p")
    store = MemoryStore({"Videos/p/a/b.mp4": b"clip"})
    assert PartReader(store, files).read_member(name="a/b.mp4", size_bytes=4) == b"clip"


@pytest.mark.parametrize("layout", ["split-tar", "files"])
def test_a_member_name_that_leaves_its_folder_is_refused_in_every_layout(layout: str):
    store, part = cut(b"..clip..")
    if layout == "files":
        part = Part(name="total_part1", layout="files", root="Videos/p")
    with pytest.raises(ArchiveError, match=r"part total_part1: member name '\.\./b\.mp4' is refused: it climbs out"):
        PartReader(store, part).read_member(name="../b.mp4", size_bytes=4)


def test_an_unpacked_file_that_is_missing_or_changed_is_named():
    reader = PartReader(MemoryStore({"Videos/p/a": b"clip"}), Part(name="p", layout="files", root="Videos/p"))
    with pytest.raises(MissingPieceError, match=r"part p, member a: Videos/p/a has 4 bytes, the index says 5; unpack"):
        reader.read_member(name="a", size_bytes=5)
    with pytest.raises(MissingPieceError, match=r"part p, member b: Videos/p/b is not in"):
        reader.read_member(name="b", size_bytes=5)
    with pytest.raises(ValueError, match="part p, member a: unpacked files start at offset 0, got 512"):
        reader.read_member(name="a", size_bytes=4, offset=512)


PIECE = Piece(path="a", size_bytes=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "zip"}, r"layout must be one of .*, got 'zip'"),
        ({"layout": "split-tar"}, "a split tar needs at least one piece, got none"),
        ({"layout": "split-tar", "pieces": (PIECE, PIECE)}, "a piece is listed twice"),
        ({"layout": "tar", "pieces": (PIECE, PIECE)}, "a tar is exactly one piece, got 2"),
        ({"layout": "files"}, "need a root and no pieces, got root '' and 0 pieces"),
        ({"layout": "files", "root": "r", "pieces": (PIECE,)}, "need a root and no pieces, got root 'r' and 1 pieces"),
    ],
)
def test_a_part_that_cannot_be_is_refused_on_creation(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"part p: .*{message}"):
        Part(name="p", **fields)


def test_a_negative_piece_size_is_refused_on_creation():
    with pytest.raises(ValueError, match="piece a: size_bytes must not be negative, got -1"):
        Piece(path="a", size_bytes=-1)
