"""What takes a bad clip's place? A spare, nothing, or an error, as the caller chose; and when it is too many, an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opens2v_data.errors import TooManyBadClipsError
from opens2v_loaders.outcomes import BadClip

if TYPE_CHECKING:
    from opens2v_loaders.ledger import Ledger
    from opens2v_loaders.options import LoaderOptions, OnBad
    from opens2v_loaders.outcomes import Stage
    from opens2v_loaders.planned import PlannedBatch, PlannedRow
    from opens2v_loaders.samples import Item


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be done about a bad clip.

    Attributes:
        spare: to be tried in its place; None: the slot stays empty.
        words: for the log; None where an error tells it.
        error: what the batch raises.
    """

    spare: PlannedRow | None = None
    words: str | None = None
    error: Exception | None = None


class Replacer:
    """Decides about bad clips, which come in the order of batches and slots. Not safe for threads.

    Args:
        ledger: says which spare comes next.
        options: say how many bad clips are too many.
        on_bad: see `loader.ClipLoader`.
        bad_clips: where they are noted.
    """

    def __init__(self, ledger: Ledger, *, options: LoaderOptions, on_bad: OnBad, bad_clips: list[BadClip]) -> None:
        self._ledger, self._options, self._on_bad, self._bad_clips = ledger, options, on_bad, bad_clips
        self._num_tried = self._num_bad = 0

    def batch_done(self, num_clips: int) -> None:
        """Count the clips of a batch that is settled."""
        self._num_tried += num_clips

    def decide(self, part: PlannedBatch, place: int, item: Item, stage: Stage, error: Exception) -> Verdict:
        """Decide about one clip of the batch that is being settled."""
        epoch = self._ledger.epoch.number
        step, slot = part.step, int(part.slots[place])
        clip = item.triple.clip
        words = f"{stage} of {clip.key} of {clip.part}: {error}"
        if self._on_bad == "raise":
            error.add_note(f"step {step} of epoch {epoch}, slot {slot}: {words}")
            return Verdict(error=error)
        spare = self._ledger.bad(step, slot, reason=words)
        self._bad_clips.append(
            BadClip(
                epoch=epoch,
                step=step,
                slot=slot,
                source=item.source,
                row=item.row,
                key=clip.key,
                part=clip.part,
                stage=stage,
                reason=str(error),
                replaced_by=None if spare is None else spare.row,
            )
        )
        outcome = "the slot stays empty" if spare is None else f"row {spare.row} takes its place"
        self._num_bad += 1
        self._num_tried += spare is not None
        return Verdict(
            spare=spare,
            words=f"epoch {epoch}, step {step}, slot {slot}: {words}; {outcome}",
            error=self._too_many(self._num_tried + len(part), step, words),
        )

    def _too_many(self, num_tried: int, step: int, words: str) -> TooManyBadClipsError | None:
        options = self._options
        if self._num_bad < max(1, options.min_bad) or self._num_bad <= options.max_bad_share * num_tried:
            return None
        return TooManyBadClipsError(
            f"expected at most {options.max_bad_share:.0%} of clips to be bad, found {self._num_bad} of {num_tried} up to "
            f"step {step}; the last: {words}. If that is what the release is like, raise max_bad_share of LoaderOptions"
        )
