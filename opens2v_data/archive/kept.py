"""The clips of one source in a cache, or none where nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opens2v_data.archive.cache import CacheKey
from opens2v_data.archive.plan import check_bytes
from opens2v_data.errors import ArchiveError

if TYPE_CHECKING:
    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.archive.stores import Buffer
    from opens2v_data.archive.wanted import Wanted


class KeptClips:
    """Clips that are looked for, and kept, in a cache.

    Args:
        cache: None: nothing is kept.
        source: where the clips come from, as its keys have it.
    """

    def __init__(self, cache: ClipCache | None, source: str) -> None:
        self._cache, self._source = cache, source

    def __contains__(self, wanted: Wanted) -> bool:
        return self._cache is not None and self._key(wanted) in self._cache

    def read(self, wanted: Wanted) -> Buffer | None:
        """Return a clip's bytes; None where it is gone, or others lie there, which are removed."""
        if self._cache is None:
            return None
        key = self._key(wanted)
        data = self._cache.get(key)
        if data is None:
            return None
        try:
            check_bytes(wanted, data)
        except ArchiveError:
            self._cache.remove(key)
            return None
        return data

    def keep(self, wanted: Wanted, data: Buffer) -> bool:
        """Put a clip's bytes there, if there is a cache that takes them; return whether it did."""
        return self._cache is not None and self._cache.put(self._key(wanted), data)

    def _key(self, wanted: Wanted) -> CacheKey:
        return CacheKey(
            source=self._source,
            part=wanted.part.name,
            name=wanted.name,
            offset=wanted.offset,
            size_bytes=wanted.size_bytes,
        )
