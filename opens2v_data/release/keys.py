"""What a clip key tells: the stages it went through and the source video it was cut from."""

from __future__ import annotations

import re

_STAGES = re.compile(r"(?:_step[0-9]+)+$")


def key_stem(key: str) -> str:
    """Return the key without trailing stage suffixes, so that a clip's names at two stages agree.

    `a_part2_step1-0-95_step2-0-95_step3_step4_step5` and `…_step2-0-95_step4_step5_step6` both give
    `a_part2_step1-0-95_step2-0-95`: suffixes with a frame range (`-0-95`) say which cut it is and stay.
    """
    return _STAGES.sub("", key)


def cluster_of(key: str) -> str:
    """Return the cluster of a clip: its key up to `_segment`, else up to `_part` (upstream's rule for cross-video pairs)."""
    for mark in ("_segment", "_part"):
        head, found, _ = key.partition(mark)
        if found:
            return head
    return key
