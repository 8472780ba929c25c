"""Which clips have a verdict: from the keys of the verdict store to ids of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opens2v_data.query.lookup import known_clip_ids
from opens2v_explorer.verdicts.targets import clips_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_explorer.runtime import Explorer


def judged_clips(explorer: Explorer, verdict: str) -> Sequence[int]:
    """Return the ids of clips that were judged.

    Args:
        explorer: whose verdicts.
        verdict: "keep", "drop", "flag", or "judged" for any of them.
    """
    targets = explorer.verdicts.judged("clip", verdict=None if verdict == "judged" else verdict)
    keys = [key for target in targets for key in clips_of("clip", target)]
    return known_clip_ids(explorer.catalog.query, keys).tolist()
