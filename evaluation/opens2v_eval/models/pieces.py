"""Llama's `tokenizer.model` without the package sentencepiece, which transformers 5 asks for to read one.

The file is a message of protocol buffers; of its fields only the first is read, once for each piece:

    ModelProto     1: SentencePiece, repeated
    SentencePiece  1: text, UTF-8     2: score, float32     3: kind, a number (2 unknown, 3 control, 6 byte)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def read_pieces(path: Path) -> list[str]:
    """Return the pieces in the order of their ids.

    Raises:
        ValueError: it is no such file.
    """
    try:
        pieces = []
        for number, value in _fields(path.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                text = dict(_fields(value))[1]
                pieces.append(text.decode() if isinstance(text, bytes) else "")
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no tokenizer.model ({type(error).__name__}: {error})") from error
    if not pieces or len(set(pieces)) != len(pieces):
        raise ValueError(f"{path} is no tokenizer.model: {len(pieces)} pieces, {len(set(pieces))} of them distinct")
    return pieces


def vocabulary_and_merges(pieces: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return what a byte-pair encoder takes: ids, and pairs to merge, those of lower ids first, as Llama numbers them."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    merges = []
    for piece in pieces:
        pairs = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [pair for pair in pairs if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return ids, merges


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError(
                f"byte {at} of {len(data)}: a field of kind {kind} that ends past the end, or of no known kind"
            )
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError(f"byte {at}: a number of more than 64 bits")
