"""Arrow arrays of a few plain values, where the first answer must not wait for pandas.

`pyarrow.array` imports pandas where that is installed, to see whether it was given a Series: 0.17 s of a first answer's 0.25.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def int64_array(values: Sequence[int]) -> pa.Int64Array:
    """Return numbers as an Arrow array."""
    data = np.array(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


def string_array(values: Sequence[str | None]) -> pa.StringArray:
    """Return texts as an Arrow array; None is null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"expected texts of at most 2 GB in one array, got {offsets[-1]} bytes")
    is_valid = np.packbits(np.array([value is not None for value in values], bool), bitorder="little")
    buffers = [pa.py_buffer(is_valid), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)
