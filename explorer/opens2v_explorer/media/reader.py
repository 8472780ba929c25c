"""What do a clip, its subjects, views and background look like? Pictures as WebP and video as byte ranges, by catalog ids.

Nothing here takes a path: ids name rows, and rows name bytes. What cannot be shown raises `StateError`, which says why.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

import opens2v_loaders as loaders  # which imports PyAV when a clip is opened, and not before
from opens2v_data.errors import Opens2vError
from opens2v_data.triples import Clip, Subject, Triple, View
from opens2v_explorer.media import pictures
from opens2v_explorer.media.clipfacts import ClipFacts
from opens2v_explorer.media.faults import as_state
from opens2v_explorer.media.sharing import Batches, Kept, OnlyOnce
from opens2v_explorer.states import State, StateError, state

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V
    from opens2v_data.triples import VideoRef
    from opens2v_explorer.media.cache import PictureCache

RENDERING = 1
"""Raised when the same ids give other pictures than before: kept ones are then made anew."""

CHUNK_BYTES = 1 << 20
"""Of video, read at a time: a player that seeks drops what it does not want after this much."""

CLIP_BYTES, FRAME_BYTES = 48 << 20, 32 << 20
"""Kept in memory: files of clips used last, so that a clip's poster, frame, facts and video are one read; and their frames."""

FAILED_SECONDS = 5.0
"""A picture that could not be made is not tried again for so long: a gallery asks for 60, and a server that is away takes its
time to say so. Little enough that whoever has put the file in its place sees it when the page is loaded again."""

Along = Literal["mask", "box"]


class MediaReader:
    """Pictures and video of an opened catalog. Threads may share it; a picture that several want is made once.

    Args:
        catalog: whose.
        cache: where pictures are kept on disk; None: nowhere.
        num_decoders: clips decoded at the same time; the rest of a request, such as reading from a server, is not limited.
    """

    def __init__(self, catalog: OpenS2V, *, cache: PictureCache | None = None, num_decoders: int | None = None) -> None:
        self.catalog = catalog
        self.cache = cache
        self._num_clips = len(catalog)
        self._num_decoders = num_decoders or max(2, os.cpu_count() or 1)
        self._decoders = threading.BoundedSemaphore(self._num_decoders)
        self._clips: Batches[int, Clip] = Batches(self._read_clips, keep=4096)
        self._triples: Batches[int, Triple] = Batches(self._read_triples, keep=256)
        self._files: Kept[int, bytes] = Kept(CLIP_BYTES, size_of=len)
        self._frames: Kept[int, np.ndarray] = Kept(FRAME_BYTES, size_of=lambda frame: frame.nbytes)
        self._once: OnlyOnce[object, object] = OnlyOnce(_again, again_seconds=FAILED_SECONDS)

    # -- rows --------------------------------------------------------------------------------------------------------

    def prime(self, clip_ids: Iterable[int]) -> None:
        """Read the rows of clips whose posters are about to be asked for, in a thread: 60 at once cost what 4 single ones do."""
        wanted = [clip_id for clip_id in map(int, clip_ids) if 0 <= clip_id < self._num_clips]

        def read() -> None:
            with contextlib.suppress(Opens2vError):  # whoever asks for a poster is told
                self._clips.get_many(wanted)

        threading.Thread(target=read, name="opens2v-prime", daemon=True).start()

    def make_posters(self, clip_ids: Iterable[int]) -> None:
        """Make the posters of clips before they are asked for; whoever asks for one that cannot be made is told why."""
        wanted = [self._checked(int(clip_id)) for clip_id in clip_ids]
        self._clips.get_many(wanted)

        def make(clip_id: int) -> None:
            with contextlib.suppress(StateError):
                self.poster(clip_id)

        with ThreadPoolExecutor(self._num_decoders, thread_name_prefix="opens2v-posters") as threads:
            list(threads.map(make, wanted))

    def clip(self, clip_id: int) -> Clip:
        """Return a clip.

        Raises:
            StateError: no-such-clip.
        """
        return self._clips.get(self._checked(clip_id))

    def triple(self, clip_id: int) -> Triple:
        """Return a clip with its subjects, their masks, and its views.

        Raises:
            StateError: no-such-clip.
        """
        return self._triples.get(self._checked(clip_id))

    def etag(self, *what: object) -> str:
        """Return what identifies the content that ids name; it changes with the catalog."""
        text = "\0".join(map(str, (self.catalog.fingerprint, RENDERING, *what)))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    # -- pictures ----------------------------------------------------------------------------------------------------

    def poster(self, clip_id: int, width: int = 320) -> bytes:
        """Return a small picture of a clip: its annotated frame, cropped; the first of its cut where it has none."""
        return self._kept(
            ("poster", clip_id, width), lambda: pictures.webp(pictures.narrowed(self._any_frame(clip_id), width))
        )

    def frame(self, clip_id: int) -> bytes:
        """Return the annotated frame, cropped, in its own size.

        Raises:
            StateError: no-frame, or why there are no bytes or no picture.
        """
        return self._kept(("frame", clip_id), lambda: pictures.webp(self._annotated(clip_id), quality=90))

    def still(self, clip_id: int, frame_idx: int) -> bytes:
        """Return any one frame of the file, whole and not cropped: for players whose browser cannot seek to it.

        Args:
            frame_idx: display order from the first frame of the file.

        Raises:
            StateError: no-such-frame, or why there are no bytes or no picture.
        """

        def make() -> bytes:
            facts = self.facts(clip_id)
            if frame_idx >= facts.num_frames:
                asked = f"The file has frames 0 to {facts.num_frames - 1}; {frame_idx} was asked for."
                raise StateError(state("no-such-frame", asked))
            data = self._file(clip_id)
            with self._decoders, as_state():
                return pictures.webp(loaders.read_frames(data, [frame_idx]).rgb[0], quality=90)

        return self._kept(("still", clip_id, frame_idx), make)

    def cutout(self, clip_id: int, object_id: int, width: int | None = None, *, along: Along = "mask") -> bytes:
        """Return a subject cut out of the annotated frame, transparent around it.

        Args:
            clip_id, object_id: which.
            width: at most so many pixels.
            along: "box" takes the box where there is no mask that fits.

        Raises:
            StateError: no-such-subject, no-mask, mask-size, or as `frame`.
        """

        def make() -> bytes:
            subject = self._subject(clip_id, object_id)
            frame = self._annotated(clip_id)
            found = loaders.cut_out(frame, subject, background="transparent")
            if found is None or (along == "mask" and found.source != "mask"):
                raise StateError(_why_no_cutout(subject, frame, None if found is None else found.note))
            return pictures.webp(pictures.narrowed(found.image, width), quality=90)

        return self._kept(("cutout", clip_id, object_id, width, along), make)

    def view(self, clip_id: int, nth: int, width: int | None = None) -> bytes:
        """Return a GPT-Image-1 view: the `nth` of the clip's views, from 0.

        Raises:
            StateError: no-such-view, or why its file cannot be shown.
        """
        return self._picture(("view", clip_id, nth, width), lambda: self._view(clip_id, nth).path, width)

    def view_source(self, clip_id: int, nth: int, width: int | None = None) -> bytes:
        """Return the frame that a view was made from.

        Raises:
            StateError: no-such-view, no-source, or why its file cannot be shown.
        """

        def path() -> str:
            source = self._view(clip_id, nth).source_path
            if source is None:
                raise StateError(state("no-source"))
            return source

        return self._picture(("source", clip_id, nth, width), path, width)

    def background(self, clip_id: int, nth: int = 0, width: int | None = None) -> bytes:
        """Return a clip's background plate.

        Raises:
            StateError: no-background, or why its file cannot be shown.
        """

        def path() -> str:
            plate = self.clip(clip_id).background_path
            if plate is None or nth != 0:
                raise StateError(state("no-background"))
            return plate

        return self._picture(("background", clip_id, nth, width), path, width)

    # -- video -------------------------------------------------------------------------------------------------------

    def facts(self, clip_id: int) -> ClipFacts:
        """Return what a clip's file says of its video; the file is read whole once, and the answer kept on disk.

        Raises:
            StateError: not-in-release, not-here, unreachable, or corrupt.
        """

        def make() -> bytes:
            clip = self.clip(clip_id)
            data = self._file(clip_id)
            with self._decoders, as_state():
                info = loaders.probe(data)
            return ClipFacts.of(info, clip, size_bytes=len(data)).dumped()

        return ClipFacts.loaded(self._kept(("facts", clip_id), make))

    def video_size(self, clip_id: int) -> int:
        """Return how many bytes a clip's mp4 has, as the catalog says.

        Raises:
            StateError: no-such-clip, not-in-release.
        """
        video = self.clip(clip_id).video
        if video is None:
            raise StateError(state("not-in-release"))
        return video.size_bytes

    def video_chunks(self, clip_id: int, start: int, stop: int) -> Iterator[bytes]:
        """Give bytes `start` to `stop` (half-open) of a clip's mp4, some at a time.

        Nothing else of it is read, unless the catalog keeps clips on disk: then it is read whole, and only once.

        Raises:
            StateError: as the bytes are read; see `facts`.
        """
        video = self.clip(clip_id).video
        if video is None:
            raise StateError(state("not-in-release"))
        is_kept = self._is_kept(video)
        while start < stop:
            length = min(CHUNK_BYTES, stop - start)
            whole = self._file(clip_id) if is_kept else self._files.get(clip_id)
            if whole is None:
                with as_state():
                    data = self.catalog.media.read_range(video, start, length)
            else:
                data = whole[start : start + length]
            yield data
            start += length

    # -- disk --------------------------------------------------------------------------------------------------------

    def not_kept(self) -> State | None:
        """Return the state that says that clips or pictures could not be kept on disk, and why; None: all could."""
        clips, pictures = self.catalog.media.cache, self.cache
        said = []
        if clips is not None and clips.limit_bytes and clips.why_not_kept:
            said.append(_not_kept(clips.num_not_kept, "clip", clips.root, clips.why_not_kept))
        if pictures is not None and pictures.why_not_kept:
            said.append(_not_kept(pictures.num_not_kept, "picture", pictures.folder, pictures.why_not_kept))
        return state("not-kept", " ".join(said)) if said else None

    # -- inside ------------------------------------------------------------------------------------------------------

    def _is_kept(self, video: VideoRef) -> bool:
        """Say whether a clip is worth reading whole: its bytes are going to be kept, here for a while and on disk."""
        cache = self.catalog.media.cache
        return cache is not None and video.size_bytes < min(cache.limit_bytes, CLIP_BYTES)

    def _checked(self, clip_id: int) -> int:
        if not 0 <= clip_id < self._num_clips:
            raise StateError(
                state("no-such-clip", f"Ids run from 0 to {self._num_clips - 1}; {clip_id} was asked for.")
            )
        return clip_id

    def _read_clips(self, clip_ids: list[int]) -> dict[int, Clip]:
        rows = self.catalog.rows_of(clip_ids, with_subjects=False)
        return {row["clip_id"]: Clip.from_row(row) for row in rows}

    def _read_triples(self, clip_ids: list[int]) -> dict[int, Triple]:
        rows = self.catalog.rows_of(clip_ids, config="nexus-gpt")
        return {row["clip_id"]: Triple.from_row(row) for row in rows}

    def _subject(self, clip_id: int, object_id: int) -> Subject:
        try:
            return self.triple(clip_id).subject(object_id)
        except KeyError as error:
            raise StateError(state("no-such-subject", str(error.args[0]))) from error

    def _view(self, clip_id: int, nth: int) -> View:
        views = self.triple(clip_id).views
        if not views:
            raise StateError(state("no-such-view", "The clip has no generated views."))
        if nth >= len(views):
            raise StateError(state("no-such-view", f"The clip has views 0 to {len(views) - 1}; {nth} was asked for."))
        return views[nth]

    def _kept(self, what: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        key = self.etag(*what)

        def once() -> bytes:
            data = None if self.cache is None else self.cache.get(key)
            if data is None:
                data = make()
                if self.cache is not None:
                    self.cache.put(key, data)
            return data

        made = self._once.get(key, once)
        assert isinstance(made, bytes)
        return made

    def _picture(self, what: tuple[object, ...], path: Callable[[], str], width: int | None) -> bytes:
        def make() -> bytes:
            with as_state():
                data = self.catalog.read_file(path())
            with self._decoders, as_state():
                return pictures.webp(pictures.narrowed(pictures.opened(data), width), quality=90)

        return self._kept(what, make)

    def _file(self, clip_id: int) -> bytes:
        """Return a clip's whole mp4; kept in memory for a while."""

        def read() -> bytes:
            data = self._files.get(clip_id)
            if data is None:
                video = self.clip(clip_id).video
                if video is None:
                    raise StateError(state("not-in-release"))
                with as_state():
                    data = self.catalog.read_bytes(video)
                self._files.put(clip_id, data)
            return data

        made = self._once.get(("file", clip_id), read)
        assert isinstance(made, bytes)
        return made

    def _annotated(self, clip_id: int) -> np.ndarray:
        if self.clip(clip_id).ann_frame_idx is None:
            raise StateError(state("no-frame"))
        return self._any_frame(clip_id)

    def _any_frame(self, clip_id: int) -> np.ndarray:
        """Return the annotated frame, `(H, W, 3) uint8`, cropped; the first of the cut where there is none."""

        def decode() -> np.ndarray:
            frame = self._frames.get(clip_id)
            if frame is None:
                clip = self.clip(clip_id)
                data = self._file(clip_id)
                with self._decoders, as_state():
                    if clip.ann_frame_idx is not None:
                        frame = loaders.annotated_frame(data, clip)
                    else:
                        first = (clip.cut or (0, 0))[0]
                        frame = loaders.read_frames(data, [first], crop_xyxy=clip.crop_xyxy).rgb[0]
                self._frames.put(clip_id, frame)
            return frame

        made = self._once.get(("decoded", clip_id), decode)
        assert isinstance(made, np.ndarray)
        return made


def _again(error: BaseException) -> Callable[[], Exception] | None:
    return partial(StateError, error.state) if isinstance(error, StateError) else None


def _not_kept(num: int, what: str, folder: Path, why: str) -> str:
    return f"{num:,} {what}{'s' if num != 1 else ''} could not be kept in {folder}; of the last one: {why}."


def _why_no_cutout(subject: Subject, frame: np.ndarray, note: str | None) -> State:
    height, width = frame.shape[:2]
    mask = subject.mask
    what = f"Subject {subject.object_id}, {subject.class_name}"
    if mask is not None and (mask.height, mask.width) != (height, width):
        return state(
            "mask-size", f"{what}: its mask is {mask.width}x{mask.height} pixels, the cropped frame {width}x{height}."
        )
    return state("no-mask", f"{what}: {note or 'no mask, and no box that overlaps the frame'}.")
