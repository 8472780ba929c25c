"""Addresses of things on the Hub: `hf://datasets/<owner>/<name>[@<revision>][/<path>]`, as `huggingface_hub` spells them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "hf://"
_FORM = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """A dataset repository, a folder or a file in it.

    Attributes:
        repo_id: `owner/name`.
        revision: commit, branch or tag; a branch with `/` is written with `%2F`. None: the default branch.
        path: below the repository, without slashes around it; "" for the repository itself.
    """

    repo_id: str
    revision: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Read an address.

        Raises:
            ValueError: it is none.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"expected hf://datasets/OWNER/NAME[@REVISION][/PATH], got {text!r}")
        revision = match["revision"]
        return cls(
            repo_id=match["repo"],
            revision=None if revision is None else revision.replace("%2F", "/").replace("%2f", "/"),
            path=(match["path"] or "").strip("/"),
        )

    def __str__(self) -> str:
        revision = "" if self.revision is None else "@" + self.revision.replace("/", "%2F")
        path = f"/{self.path}" if self.path else ""
        return f"{SCHEME}datasets/{self.repo_id}{revision}{path}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, whose bytes never change."""
        return self.revision is not None and is_commit(self.revision)


def is_commit(revision: str) -> bool:
    """Say whether a revision is a whole commit id."""
    return _COMMIT.fullmatch(revision) is not None


def is_remote(uri: str) -> bool:
    """Say whether bytes at `uri` come from a server."""
    return uri.startswith((SCHEME, "http://", "https://"))
