"""Teach `datasets` the name `opens2v-5m`, and fsspec the protocol `opens2v`, whenever they are imported.

`datasets` has no place for plugins, loading scripts are gone, and a name without `/` is refused by the Hub. So three
functions are wrapped, in each process that imports `opens2v_data`:

    datasets.load.dataset_module_factory          finds our builder for our name, and asks the original for all others
    datasets.inspect.dataset_module_factory       the same function under its second name
    datasets.features.video.Video.decode_example  reads a clip's bytes first, see `_decode_clip`
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import wrapt

from opens2v_data.triples import PROTOCOL

DATASET_NAME = "opens2v-5m"
BUILDER_MODULE = "opens2v_data.hub.opens2v_5m"
FILESYSTEM_CLASS = "opens2v_data.hub.filesystem.ClipFileSystem"

_OURS = frozenset({"clips.parquet", "quarantine.jsonl", ".ingest", "Jsons", "Videos"})
"""A folder with one of these is a catalog, one that is being made, or a release: no data files to load as they are."""


def register_when_imported() -> None:
    """Wrap what of `datasets` and fsspec is imported, now or later; a second call changes nothing."""
    wrapt.register_post_import_hook(_teach_name, "datasets.load")
    wrapt.register_post_import_hook(_teach_name, "datasets.inspect")
    wrapt.register_post_import_hook(_teach_decoding, "datasets.features.video")
    wrapt.register_post_import_hook(_teach_protocol, "fsspec")


def _teach_name(module: ModuleType) -> None:
    _wrap(module, "dataset_module_factory", _find_module)


def _teach_decoding(module: ModuleType) -> None:
    _wrap(module.Video, "decode_example", _decode_clip)


def _teach_protocol(module: ModuleType) -> None:
    # By name: the class is imported when an address is opened. Installed packages have an entry point that says the same.
    module.register_implementation(PROTOCOL, FILESYSTEM_CLASS, clobber=True)


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    # `datasets.inspect` imports the name from `datasets.load`, and may find it wrapped already.
    found = vars(owner)[name]
    if getattr(found, "_self_wrapper", None) is not wrapper:
        setattr(owner, name, wrapt.FunctionWrapper(found, wrapper))


def _find_module(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    asked = signature(wrapped).bind(*args, **kwargs).arguments
    if asked["path"] != DATASET_NAME or _is_plain_dataset(Path(DATASET_NAME), asked.get("data_dir")):
        return wrapped(*args, **kwargs)
    if asked.get("data_files") is not None:
        raise ValueError(f"{DATASET_NAME} is read from a catalog, not from data_files; say where it is with data_dir=…")
    from datasets.load import DatasetModule

    from opens2v_data import __version__

    given = {"dataset_name": DATASET_NAME, "revision": asked.get("revision")}
    return DatasetModule(BUILDER_MODULE, hash=__version__, builder_kwargs=given)


def _is_plain_dataset(folder: Path, data_dir: str | None) -> bool:
    """Say whether the name means a local folder of data files, which `datasets` has always loaded by it."""
    if not folder.is_dir() or (data_dir is not None and (Path(data_dir).expanduser() / "manifest.json").is_file()):
        return False
    names = {path.name for path in folder.iterdir()}
    return bool(names) and not names & _OURS


def _decode_clip(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Give the decoder bytes instead of our address.

    For an address `datasets` opens a file and takes stream 0 whatever the feature says, which is sound where sound
    comes first. Given bytes it takes the best video stream, or the one that the feature names.
    """
    value = args[0] if args else kwargs.pop("value")
    path, data = (value["path"], value["bytes"]) if isinstance(value, dict) else (value, None)
    if data is not None or not str(path).startswith(f"{PROTOCOL}://"):
        return wrapped(value, *args[1:], **kwargs)
    from opens2v_data.hub.filesystem import ClipFileSystem

    video = wrapped({"path": path, "bytes": ClipFileSystem().cat_file(path)}, *args[1:], **kwargs)
    video._hf_encoded = {"path": path, "bytes": None}  # or a row that is written again would hold the whole mp4
    return video
