"""ONNX models written byte by byte, so that tests need no package `onnx`.

A protobuf field is its number and wire type in one varint, then a varint (0), four bytes (5), or a length and bytes (2).
Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FLOAT, INT64 = 1, 7


def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> bytes:
    """Return a NodeProto with one output; attributes are whole numbers, numbers, or lists of whole numbers."""
    made = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, kind)
    return made + b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())


def write_onnx(
    path: Path,
    *,
    nodes: Sequence[bytes],
    weights: Mapping[str, np.ndarray],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
) -> Path:
    """Write a model of float32 inputs and outputs, opset 13.

    Args:
        path: of the file.
        nodes: in the order of their use.
        weights: by name, float32 or int64.
        inputs: name to shape, a string where a side is free.
        outputs: likewise.
    """
    graph = b"".join(_bytes(1, one) for one in nodes) + _text(2, "tiny")
    graph += b"".join(_bytes(5, _tensor(name, value)) for name, value in weights.items())
    graph += b"".join(_bytes(11, _value(name, shape)) for name, shape in inputs.items())
    graph += b"".join(_bytes(12, _value(name, shape)) for name, shape in outputs.items())
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 13)))
    return path


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _attribute(name: str, value: float | list[int]) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _tensor(name: str, value: np.ndarray) -> bytes:
    kind = INT64 if value.dtype == np.int64 else FLOAT
    data = value.astype("<i8" if kind == INT64 else "<f4").tobytes()
    return b"".join(_number(1, side) for side in value.shape) + _number(2, kind) + _text(8, name) + _bytes(9, data)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side) if isinstance(side, int) else _text(2, side)) for side in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, sides)))
