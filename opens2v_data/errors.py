"""Everything that can go wrong, as one tree.

    Opens2vError
    ├── ReleaseError                 the upstream release is not laid out as expected
    │   └── TruncatedJsonError       a JSON file ends before its last brace
    ├── ArchiveError                 bytes inside split tars
    │   ├── TarFormatError           a header that is no tar header, or a kind we refuse (GNU sparse)
    │   ├── MissingPieceError        a piece of a split tar is not there, or has another size than recorded
    │   ├── MemberNotFoundError      no member of that name in the part
    │   ├── ShortReadError           a store gave fewer bytes than asked for
    │   ├── RemoteError              a server did not give the bytes: `status`, `is_retryable`
    │   ├── RevisionMovedError       a repository is not at the commit, or a piece not of the size, that was pinned
    │   └── DeadlineError            a clip's bytes did not come in the time allowed
    ├── CatalogError                 the catalog's tables
    │   ├── CatalogNotFoundError     no catalog at the given place, or none given and none found
    │   ├── CatalogVersionError      written by another schema version
    │   ├── CatalogDamagedError      a file is missing, or its checksum, rows or links are wrong
    │   └── IngestError              ingest could not finish; what is done is kept
    ├── QueryError                   a `where` or column that the catalog cannot answer
    ├── VerdictLogError              a log of verdicts that cannot be read or written, or a file that is none
    ├── MissingExtraError            an optional dependency is absent; the message has the install command
    ├── TooManyBadClipsError         so many clips of a loader are bad that something else must be wrong
    ├── EvaluationError              the benchmark: its prompts, scores and boards
    │   ├── PromptsError             prompts or reference images are not as published
    │   ├── ScoresError              a file of scores cannot be read, or scores that a figure needs are not there
    │   ├── BoardError               a leaderboard's table cannot be read or added to
    │   └── MetricError              a metric cannot score a video, or has no model to do it with
    └── DecodeError                  an mp4 that does not give the frame asked for
        ├── NotAVideoError           no container FFmpeg knows
        ├── NoVideoStreamError       a container without video (audio only)
        ├── TruncatedVideoError      the stream ends early; `num_frames_decoded` says how far it got
        ├── CorruptFrameError        the decoder concealed damage in a wanted frame; `frame_idx` names it
        └── FrameIndexError          an index outside the clip (also an IndexError)

A caller's mistake (a negative limit, an unknown config name) is a plain `ValueError` or `TypeError`.
Every message says what was expected, what was found, where, and what to do.
"""

from typing import Self


class Opens2vError(Exception):
    """Base of all errors this project raises about data, files and environment."""


class ReleaseError(Opens2vError):
    """The upstream release is not laid out as expected."""


class TruncatedJsonError(ReleaseError):
    """A JSON file ends before its last brace.

    Attributes:
        path: the file, relative to the release.
        offset: byte offset of the first byte that belongs to no whole record.
    """

    def __init__(self, message: str, *, path: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class ArchiveError(Opens2vError):
    """Bytes inside a part's tar could not be found or read."""

    def at(self, where: str) -> Self:
        """Return the same error with a place in front of its message."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.args = (f"{where}: {self}",)
        return made


class TarFormatError(ArchiveError):
    """A header that is no tar header, or of a kind we refuse."""


class MissingPieceError(ArchiveError):
    """A piece of a split tar is not there, or has another size than recorded."""


class MemberNotFoundError(ArchiveError, LookupError):
    """No member of that name in the part."""


class ShortReadError(ArchiveError):
    """A store gave fewer bytes than asked for."""


class RemoteError(ArchiveError):
    """A server did not give the bytes.

    Attributes:
        status: HTTP status of the last answer; None when none came (no connection, cut off, timed out).
        is_retryable: whether the same request may succeed later.
        retry_after_seconds: how long the server asks to wait; None where it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        is_retryable: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_retryable = is_retryable
        self.retry_after_seconds = retry_after_seconds


class RevisionMovedError(ArchiveError):
    """A repository is not at the commit, or a piece not of the size, that was pinned."""


class DeadlineError(ArchiveError):
    """A clip's bytes did not come in the time allowed."""


class CatalogError(Opens2vError):
    """The catalog cannot be used."""


class CatalogNotFoundError(CatalogError):
    """No catalog at the given place, or none given and none found."""


class CatalogVersionError(CatalogError):
    """The catalog was written by another schema version."""


class CatalogDamagedError(CatalogError):
    """A file of the catalog is missing, or its checksum, rows or links are wrong."""


class IngestError(CatalogError):
    """Ingest could not finish; what is done is kept and a rerun continues."""


class QueryError(Opens2vError):
    """A `where` condition or a column that the catalog cannot answer."""


class VerdictLogError(Opens2vError):
    """A log of verdicts cannot be read or written, or the file is none."""


class MissingExtraError(Opens2vError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, *, package: str, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs {package}, which is not installed: pip install "opens2v-data[{extra}]"')
        self.package = package
        self.extra = extra


class TooManyBadClipsError(Opens2vError):
    """So many clips of a loader are bad that something else must be wrong."""


class EvaluationError(Opens2vError):
    """The benchmark cannot be run, or its results not be used."""


class PromptsError(EvaluationError):
    """Prompts or reference images are not as published."""


class ScoresError(EvaluationError):
    """A file of scores cannot be read, or scores that a figure needs are not there."""


class BoardError(EvaluationError):
    """A leaderboard's table cannot be read or added to."""


class MetricError(EvaluationError):
    """A metric cannot score a video, or has no model to do it with."""


class DecodeError(Opens2vError):
    """A clip does not give the frames asked for."""


class NotAVideoError(DecodeError):
    """The bytes are no container that FFmpeg knows (empty, garbage, or cut before its index)."""


class NoVideoStreamError(DecodeError):
    """The container has no video stream (audio only)."""


class TruncatedVideoError(DecodeError):
    """The video stream ends early.

    Attributes:
        num_frames_decoded: how many frames from the start decode.
    """

    def __init__(self, message: str, *, num_frames_decoded: int) -> None:
        super().__init__(message)
        self.num_frames_decoded = num_frames_decoded


class CorruptFrameError(DecodeError):
    """The decoder concealed damage in a wanted frame.

    Attributes:
        frame_idx: the frame's index in display order.
    """

    def __init__(self, message: str, *, frame_idx: int) -> None:
        super().__init__(message)
        self.frame_idx = frame_idx


class FrameIndexError(DecodeError, IndexError):
    """A frame index outside the clip."""
