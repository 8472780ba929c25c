"""What `datasets` is told of a row's columns: plain values, and media where they can be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pyarrow as pa
from datasets import Features, Image, List, Video

from opens2v_data.query import Config
from opens2v_data.rows import FILE_TYPE, row_schema

_FILE_KEYS = {field.name for field in FILE_TYPE}


def row_features(config: Config, columns: Sequence[str], *, decode: bool = True) -> Features:
    """Return the features of a config's rows.

    `video` is decoded (to a torchcodec `VideoDecoder`) where torchcodec can be imported, `views[].image` where Pillow is
    installed; elsewhere, and with `decode=False`, they are given as stored, `{"bytes": None, "path": …}`.
    """
    schema = row_schema(config)
    plain = Features.from_arrow_schema(pa.schema([schema.field(name) for name in columns]))
    return Features({name: _with_media(feature, name, decode) for name, feature in plain.items()})


def _with_media(feature: Any, name: str, decode: bool) -> Any:
    if isinstance(feature, List):
        return List(_with_media(feature.feature, name, decode))
    if not isinstance(feature, dict):
        return feature
    if set(feature) != _FILE_KEYS:
        return {key: _with_media(value, key, decode) for key, value in feature.items()}
    if name == "video":
        return Video(decode=decode and can_decode_videos())
    return Image(decode=decode and find_spec("PIL") is not None)


@cache
def can_decode_videos() -> bool:
    """Say whether torchcodec can be imported; installed without FFmpeg's libraries it cannot."""
    if find_spec("torchcodec") is None:
        return False
    try:
        import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError):
        return False
    return True
