"""Is a checkpoint the model it should be? transformers only logs that weights are missing, and makes up random ones."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check_loaded(found: Mapping[str, Any], *, source: str, model: str) -> None:
    """Check what `from_pretrained(…, output_loading_info=True)` says it did. Weights that the model has no use for are fine.

    Args:
        found: the loading info.
        source: where from, for the message.
        model: what was expected, for the message.

    Raises:
        MetricError: tensors of the model have no weights, or weights of another shape.
    """
    wrong = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in found[kind])
    if wrong:
        raise MetricError(
            f"the checkpoint at {source!r} has no fitting weights for {len(wrong)} tensors of {model}, "
            f"{wrong[0]} the first of them: give a checkpoint of that model"
        )


@contextmanager
def explained(source: str, *, what: str) -> Iterator[None]:
    """Turn what transformers raises where a file is absent or unreadable into an error that says what to do.

    Args:
        source: a Hub id, or a folder.
        what: that is loaded from there.

    Raises:
        MetricError: instead of transformers' `OSError` or `ValueError`.
    """
    with quiet_transformers():
        try:
            yield
        except (OSError, ValueError) as error:
            raise MetricError(
                f"expected {what} at {source!r}, a Hub id or a folder: {error}. "
                "Download it where there is a network, and give the folder"
            ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' reports and bars of loading from the user: a library prints nothing."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
