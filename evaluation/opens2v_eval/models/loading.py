"""Weights by Hub id or local path, and refused where they do not fit: a model of random numbers scores without a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.models.checkpoints import check_loaded, quiet_transformers

if TYPE_CHECKING:
    from types import ModuleType


def transformers_for(what: str) -> ModuleType:
    """Return the package transformers.

    Raises:
        MissingExtraError: it, or torch, is not installed.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise MissingExtraError(package=error.name or "transformers", extra="eval", needed_for=what) from error
    return transformers


def load_pretrained(kind: Any, source: str, *, what: str, revision: str | None = None, **options: Any) -> Any:
    """Load a model of transformers, in evaluation mode, without gradients.

    Args:
        kind: the class, e.g. `CLIPVisionModelWithProjection`.
        source: Hub id, or a folder written by `save_pretrained`.
        what: it is for, as messages say it.
        revision: of the Hub's repository.
        options: more for `from_pretrained`.

    Raises:
        MetricError: nothing there, or weights that do not fill the model.
    """
    try:
        with quiet_transformers():
            model, found = kind.from_pretrained(
                source, revision=revision, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise MetricError(
            f"{what}: expected weights of {kind.__name__} at {source!r}, a Hub id or a folder with config.json; "
            f"{type(error).__name__}: {_first_line(error)}; name another, or see that the Hub can be reached"
        ) from error
    check_loaded(found, source=source, model=kind.__name__)
    return model.eval().requires_grad_(False)


def resolve_file(source: str, *, what: str, revision: str | None = None) -> Path:
    """Return a file's local path; one of the Hub is fetched once and kept by `huggingface_hub`.

    Args:
        source: a local path, or `OWNER/NAME/path/in/the/repository`.
        what: it is for, as messages say it.
        revision: of the repository.

    Raises:
        MetricError: it is neither here nor there.
    """
    if (local := Path(source)).is_file():
        return local
    parts = source.split("/")
    if len(parts) < 3 or not all(parts):
        raise MetricError(
            f"{what}: expected a file at {source!r}, found none; name a local file, or OWNER/NAME/FILE of a Hub repository"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download("/".join(parts[:2]), "/".join(parts[2:]), revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MetricError(
            f"{what}: {source!r} is no local file, and the Hub does not give it: {_first_line(error)}; "
            "fetch it where there is a network, and name its path"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]
