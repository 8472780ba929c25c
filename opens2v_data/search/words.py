"""What a word of a caption is. The index, the scan and the query all ask here, so that they find the same.

A word is a run of letters, digits and marks (Unicode L, N and M), in lower case: `T-Shirt` is the two words `t shirt`. Lower case
goes letter by letter, as DuckDB's `lower` does: `Straße` is not `strasse`. There is no stemming: `car` does not find `cars`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

BETWEEN = r"[^\p{L}\p{N}\p{M}]"
"""A character that is in no word, as RE2 spells it: the engine of pyarrow and of DuckDB. `\\w` would be ASCII alone there."""


def spaced_words(texts: pa.Array) -> pa.Array:
    """Return texts as their words with one space between each; null where there is no text."""
    kernels: Any = pc  # made at run time, unknown to type checkers
    return kernels.utf8_trim(
        kernels.replace_substring_regex(kernels.utf8_lower(texts), pattern=f"{BETWEEN}+", replacement=" "),
        characters=" ",
    )


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of one text."""
    return tuple(word for word in spaced_words(pa.array([text], pa.string()))[0].as_py().split(" ") if word)
