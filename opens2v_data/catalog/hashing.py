"""64-bit hashes of keys, the same on every machine and in every version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def key_hash(text: str) -> int:
    """Return the first 8 bytes of BLAKE2b-8 of the text's UTF-8, little-endian: column `key_hash` of table keys."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def key_hashes(texts: Iterable[str]) -> np.ndarray:
    """Return the hashes of many texts, `(N,) uint64`."""
    blake2b = hashlib.blake2b
    digests = b"".join([blake2b(text.encode("utf-8", "replace"), digest_size=8).digest() for text in texts])
    return np.frombuffer(digests, "<u8")
