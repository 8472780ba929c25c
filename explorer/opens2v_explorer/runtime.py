"""What the explorer of this process has open: made by `serving`, read by pages and routes."""

from __future__ import annotations

import getpass
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.dataset import OpenS2V
    from opens2v_data.query.slices import Slice
    from opens2v_explorer.evaluation.loading import Evaluation
    from opens2v_explorer.media.reader import MediaReader
    from opens2v_explorer.verdicts.store import VerdictStore


def default_reviewer() -> str:
    """Return the name of whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user{os.getuid()}"


@dataclass(kw_only=True)
class Explorer:
    """One opened catalog, and what surrounds it.

    Attributes:
        catalog: what is looked at.
        verdicts: what reviewers decided.
        media: pictures and video.
        token: that a POST must bring in its header `X-Explorer-Token`; another one each run.
        start_slice: the clips that the explorer was started with; None: all.
        slice_name: what to call them.
        reviewer: whose verdicts these are, unless the page's address says `who`.
        evaluation: models on the benchmark; None: none were given, and there is no page of them.
    """

    catalog: OpenS2V
    verdicts: VerdictStore
    media: MediaReader
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    start_slice: Slice | None = None
    slice_name: str | None = None
    reviewer: str = field(default_factory=default_reviewer)
    evaluation: Evaluation | None = None

    @property
    def version(self) -> str:
        """Of the catalog's content: in every address of a picture, so that a browser may keep it for ever."""
        return self.catalog.fingerprint[:12]

    def safe_sql(self, statement: str, *, max_rows: int = 1000, seconds: float = 10.0) -> pa.Table:
        """Answer a stranger's SELECT: it reads the catalog's views and nothing else.

        Raises:
            QueryError: no SQL, not one SELECT, too slow, or it names what is not there.
        """
        return self.catalog.sql(statement, safe=True, max_rows=max_rows, seconds=seconds)


_current: Explorer | None = None


def current() -> Explorer:
    """Return the explorer of this process.

    Raises:
        RuntimeError: none was made.
    """
    if _current is None:
        raise RuntimeError("no catalog is open: start the explorer with `opens2v explore CATALOG`, not `streamlit run`")
    return _current


def use(explorer: Explorer | None) -> None:
    """Make an explorer the one of this process; None: have none."""
    global _current
    _current = explorer
