"""How is a catalog to be published, what would that do, and what did it do? Values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from opens2v_data.archive.addresses import HubAddress, is_commit

if TYPE_CHECKING:
    from pathlib import Path

    from huggingface_hub import HfApi

    from opens2v_data.catalog.manifest import Manifest

Action = Literal["upload", "replace", "skip", "delete"]


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """How to publish.

    Attributes:
        source: `hf://datasets/OWNER/NAME@COMMIT`, where the release lies for readers; None: as the catalog has it, though
            never a path of this machine.
        branch: goes there; made when absent.
        is_private: a repository that is made is private; one that is there must be.
        num_preview_rows: clips shown whole; 0: no preview.
        message: first line of the commits.
        force: publish to a repository that holds something else, whose files stay.
    """

    source: str | None = None
    branch: str = "main"
    is_private: bool = False
    num_preview_rows: int = 24
    message: str = "Publish a catalog of opens2v-data"
    force: bool = False

    def __post_init__(self) -> None:
        if self.num_preview_rows < 0:
            raise ValueError(f"num_preview_rows must be 0 or more, got {self.num_preview_rows}")
        if not self.branch.strip() or is_commit(self.branch):
            raise ValueError(f"expected the name of a branch to publish to, got {self.branch!r}")
        if not self.message.strip():
            raise ValueError("the message of a commit must not be empty")
        if self.source is not None:
            address = HubAddress.parse(self.source)
            if not address.is_pinned or address.path:
                raise ValueError(
                    f"expected a release at a commit, hf://datasets/OWNER/NAME@COMMIT with 40 digits, got {self.source!r}; a "
                    "branch moves, and offsets into its files with it"
                )


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """One file of the repository and what becomes of it.

    Attributes:
        path: in the repository.
        size_bytes: of the file here; of the one there where it is deleted.
        action: "skip": the Hub has it, byte for byte.
        local: where it lies here; None where it is deleted.
    """

    path: str
    size_bytes: int
    action: Action
    local: Path | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What publishing would do; nothing is done yet.

    Attributes:
        repo_id: `owner/name`.
        options: as given.
        files: in order of path.
        card: text of README.md.
        manifest: as published.
        head: commit it was compared with, None for none; where the branch is not there, that of `main`.
        is_new: the repository is not there.
        has_branch: the branch is there.
        is_asked: the Hub said what is there; a plan made without it cannot be uploaded.
        notes: what the publisher should know, for example that readers are told of no release.
        api: the client.
    """

    repo_id: str
    options: PublishOptions
    files: tuple[PlannedFile, ...]
    card: str = field(repr=False)
    manifest: Manifest = field(repr=False)
    head: str | None
    is_new: bool
    has_branch: bool
    is_asked: bool
    notes: tuple[str, ...]
    api: HfApi = field(repr=False)

    def of(self, *actions: Action) -> list[PlannedFile]:
        """Return the files that some actions are planned for."""
        return [file for file in self.files if file.action in actions]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was done.

    Attributes:
        commit: where the branch is now.
        num_uploaded, num_skipped, num_deleted: files.
        uploaded_bytes: size of those that were uploaded.
    """

    commit: str
    num_uploaded: int
    num_skipped: int
    num_deleted: int
    uploaded_bytes: int
