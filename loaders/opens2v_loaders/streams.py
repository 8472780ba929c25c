"""Decode the rows of a `datasets` stream ahead of whoever takes them, in threads, in the stream's order.

ds = load_dataset("opens2v-5m", streaming=True)
for row in decode_clips(ds, ClipSpec(size=(480, 832))):
    row["video"]        # (T, 3, H, W) uint8
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from opens2v_data.errors import ArchiveError, DecodeError, MissingExtraError
from opens2v_data.waiting import result_of

try:
    import torch
except ImportError as error:
    raise MissingExtraError(package="torch", extra="torch", needed_for="decoding to tensors") from error

import fsspec

from opens2v_loaders.decoding import checked_device
from opens2v_loaders.destination import destination_on
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.samples import Item, Recipe, absent, videos_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from opens2v_data.triples import VideoRef
    from opens2v_loaders.ring import Mark
    from opens2v_loaders.sampling import ClipSpec

    _Ahead = tuple[Item, Mapping[str, Any], Future[tuple[dict[str, Any], Mark]]]

_log = logging.getLogger("opens2v_loaders")


class DecodedRows:
    """What `decode_clips` returns: iterate it, once or again.

    Attributes:
        num_taken: rows taken from the stream, by the latest iteration.
        num_delivered: of these, given; the rest is bad, or being decoded.
        bad_keys: `part/key` of bad clips with the reason, in the order they came.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        recipe: Recipe,
        *,
        epoch: int,
        on_bad: Literal["skip", "raise"],
        num_threads: int,
        read: Callable[[VideoRef | None], bytes],
    ) -> None:
        self._rows, self._recipe, self._epoch = rows, recipe, epoch
        self._on_bad, self._num_threads, self._read = on_bad, num_threads, read
        self._destination = destination_on(recipe.device, num_threads=num_threads)
        self.num_taken = self.num_delivered = 0
        self.bad_keys: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield rows with `video` decoded, and `frame_indices` `(T,) int64` and `pts_seconds` `(T,) float64` beside it.

        Raises:
            DecodeError, ArchiveError: a clip is bad, with on_bad="raise".
        """
        self.num_taken = self.num_delivered = 0
        self.bad_keys = []
        # Two for each thread: one that it decodes, one that it finds when that is done.
        ahead: deque[_Ahead] = deque()
        pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="opens2v-stream")
        try:
            for values in self._rows:
                self.num_taken += 1
                item = _item(values)
                ahead.append((item, values, pool.submit(self._decoded, item)))
                if len(ahead) >= 2 * self._num_threads:
                    yield from self._next(ahead)
            while ahead:
                yield from self._next(ahead)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _decoded(self, item: Item) -> tuple[dict[str, Any], Mark]:
        for clip in item.clips[:1]:
            if clip.video is None:
                raise absent(clip)
        data = videos_of(item, self._read)
        with self._destination.working():
            video = self._destination.new_batch(self._recipe.shape)
            sample = self._recipe.make(
                item, data, epoch=self._epoch, out=video, read_file=_no_files, ring=self._destination.ring
            )
            mark = self._destination.mark()
        found = {
            "video": video,
            "frame_indices": torch.from_numpy(sample.frame_indices),
            "pts_seconds": sample.pts_seconds,
        }
        return found, mark

    def _next(self, ahead: deque[_Ahead]) -> Iterator[dict[str, Any]]:
        item, values, future = ahead.popleft()
        try:
            found, mark = result_of(future)
        except (DecodeError, ArchiveError) as error:
            if self._on_bad == "raise":
                raise
            clip = item.triple.clip
            self.bad_keys.append((f"{clip.part}/{clip.key}", str(error)))
            _log.warning("%s of %s is left out: %s", clip.key, clip.part, error)
            return
        self._destination.hand_out(found["video"], [mark])
        self.num_delivered += 1
        yield {**values, **found}


def decode_clips(
    rows: Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Mapping[str, Any]]],
    clip: ClipSpec,
    *,
    seed: int = 0,
    epoch: int = 0,
    device: str | torch.device = "cpu",
    on_bad: Literal["skip", "raise"] = "skip",
    num_threads: int | None = None,
    read: Callable[[VideoRef | None], bytes] | None = None,
) -> DecodedRows:
    """Decode the clips of a stream's rows, in its order. For batches, exact resuming and replacements use `ClipLoader`.

    A stream's own `state_dict` counts the rows taken from it, twice `num_threads` of which may be on their way.

    Args:
        rows: of config regular or nexus-gpt, as `load_dataset("opens2v-5m", streaming=True)` gives them. Where it can be told
            not to decode (`IterableDataset.decode`), it is. A dict with one split is that split.
        clip: which frames, and to what size; `size` must be given.
        seed, epoch: of what is random in a sample: the same as a `ClipLoader`'s.
        device: where the videos are wanted; each is there when its row is.
        on_bad: bad clips are left out, logged and counted, or raised.
        num_threads: that decode; None: one for each CPU.
        read: gives a clip's bytes; None: by its address `opens2v://…`, through fsspec. Rows read themselves one by one that
            way: with `opens2v_data.open(root, cache=…).read_bytes` they can be cached.

    Raises:
        ValueError: an option that makes no sense, or a device that is not there.
    """
    if clip.size is None:
        raise ValueError("clip.size must be given, (height, width)")
    if on_bad not in ("skip", "raise"):
        raise ValueError(f"on_bad must be skip or raise, not {on_bad!r}")
    if isinstance(rows, Mapping):  # `load_dataset` without `split`
        if len(rows) != 1:
            raise ValueError(
                f"decode_clips takes the rows of one split, found {', '.join(map(str, rows)) or 'none'}: choose one"
            )
        (rows,) = rows.values()
    undecoded = getattr(rows, "decode", None)
    recipe = Recipe(clip=clip, subjects=None, seed=seed, device=checked_device(device))
    return DecodedRows(
        undecoded(False) if callable(undecoded) else rows,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        recipe,
        epoch=epoch,
        on_bad=on_bad,
        num_threads=LoaderOptions(num_threads=num_threads).threads,
        read=read or _read,
    )


def _item(values: Mapping[str, Any]) -> Item:
    if "clip_id" not in values:
        found = "a row of nexus-cross" if "partner" in values else f"one with {', '.join(sorted(values)) or 'none'}"
        raise ValueError(f"decode_clips takes rows of regular or nexus-gpt with all their columns, found {found}")
    return Item.from_row("regular", int(values["clip_id"]), values)


def _read(video: VideoRef | None) -> bytes:
    assert video is not None
    with fsspec.open(video.path, "rb") as file:
        return file.read()  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]


def _no_files(path: str) -> bytes:
    raise AssertionError(f"no pictures are wanted, and yet {path} is")
