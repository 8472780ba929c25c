"""Put a catalog on the Hub: plan what would change there, then do it.

    1. data that is new there    several commits, so that what is done is kept: tables, mask blobs, quarantine.jsonl
    2. one last commit           files that change, card, preview, manifest.json; deletes what only the old catalog had

`manifest.json` comes with the last commit, so a reader finds either no catalog, or the old one whole, or the new one whole.
Interrupted, the same call goes on: what has the same checksum there is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.utils import validate_repo_id

from opens2v_data.archive.addresses import is_commit, is_remote
from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.manifest import FILE_NAME
from opens2v_data.catalog.verify import verify
from opens2v_data.errors import CatalogDamagedError, CatalogError, RemoteError
from opens2v_data.hub.card import CARD_FILE, count_figures, make_card
from opens2v_data.hub.client import quiet_client, told
from opens2v_data.hub.planned import Action, Plan, PlannedFile, Published, PublishOptions
from opens2v_data.hub.preview import PREVIEW_FILE, Draw, write_preview
from opens2v_data.hub.provenance import check_says_nothing_of_this_machine, published_source
from opens2v_data.hub.repository import LocalFile, Repository, hashed, is_same, look

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.dataset import OpenS2V

Progress = Callable[[str, int, int], None]

COMMIT_FILES = 100
COMMIT_BYTES = 16 << 30
"""Data that is new goes in commits of at most so many files and, unless one file is larger, so many bytes: what a run that is
cut off can lose. The Hub asks for commits of some 50-100 files."""

UPLOAD_FILES = 10
"""Files that are sent between two reports of progress; blob files are some 150 MB, and a step costs two calls of the API."""


def plan_publication(
    dataset: OpenS2V,
    repo_id: str,
    *,
    work: Path,
    options: PublishOptions | None = None,
    draw: Draw | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    must_ask: bool = True,
    progress: Progress | None = None,
) -> Plan:
    """Check the catalog, make card, preview and manifest, and compare all with what is on the Hub; uploads nothing.

    Args:
        dataset: an opened catalog in a folder.
        repo_id: `owner/name` of the dataset repository.
        work: an empty folder for what is made; `upload` reads from it.
        options: by default those of `PublishOptions()`.
        draw: draws a preview's pictures; needed unless there are to be none.
        endpoint, token: of the Hub, by default as `huggingface_hub` has them.
        must_ask: False makes a plan to look at where no Hub answers, as if nothing were there, and says so in its notes.
        progress: called with "checksums" or "preview", how much is done and how much there is.

    Raises:
        ValueError: a repository id that is none, one that holds something else, or a public one that was to be private.
        CatalogDamagedError: a file of the catalog is not what its manifest says.
        CatalogError: the catalog is not whole in a folder, or names this machine's folders where they cannot be taken out.
        ArchiveError: no clip for the preview could be read.
        RemoteError: the Hub did not answer.
    """
    options = options or PublishOptions()
    if repo_id.count("/") != 1:
        raise ValueError(f"expected OWNER/NAME of a dataset repository, got {repo_id!r}")
    validate_repo_id(repo_id)
    if options.num_preview_rows and draw is None:
        raise ValueError("a preview needs a function that draws it; give draw, or num_preview_rows=0")
    catalog = dataset.catalog
    data = _data_files(catalog)
    api = HfApi(endpoint=endpoint, token=token)
    notes: list[str] = []
    is_asked = True
    try:
        with told(f"{repo_id} cannot be looked at"), quiet_client():
            remote = look(api, repo_id, options.branch, work / "there")
    except RemoteError as error:
        if must_ask or error.status is not None:
            raise
        remote, is_asked = Repository(is_there=False), False
        notes.append(f"this is what an empty repository would get: {error}")
    if options.is_private and remote.is_there and not remote.is_private:
        raise ValueError(f"{repo_id} is there and public; make it private on the Hub first, or leave --private out")
    _check_whole(catalog, progress)
    if not options.force:
        _check_ours(repo_id, remote, {file.path: file for file in data})
    source = published_source(catalog.manifest.source, options.source)
    if not is_remote(source.uri):
        notes.append(
            f"the catalog was made from a folder, so the published one says {source.uri!r} and readers get no clips from it "
            "without a copy of the release; name the release on the Hub with --source hf://datasets/BestWishYsh/OpenS2V-5M@COMMIT"
        )
    check_says_nothing_of_this_machine(catalog)
    manifest = msgspec.structs.replace(catalog.manifest, source=source)
    if remote.manifest is not None and remote.manifest.digest != catalog.digest:
        notes.append(f"{repo_id} holds another catalog, of digest {remote.manifest.digest}; this one takes its place")
    manifests.save(manifest, work)
    made = [hashed(FILE_NAME, work / FILE_NAME)]
    if options.num_preview_rows and draw is not None:
        preview = write_preview(
            dataset, work / PREVIEW_FILE, num_rows=options.num_preview_rows, draw=draw, progress=progress
        )
        if preview.path is not None:
            made.append(hashed(PREVIEW_FILE, preview.path))
        if len(preview.clip_ids) < options.num_preview_rows:
            notes.append(
                f"the preview has {len(preview.clip_ids)} clips of {options.num_preview_rows} wanted: there are no more with "
                "masks that can be shown"
            )
        if preview.skipped:
            clip_id, why = preview.skipped[0]
            notes.append(f"{len(preview.skipped)} clips could not be shown; the first, clip {clip_id}: {why}")
    card = make_card(
        count_figures(catalog),
        source=source,
        repo_id=repo_id,
        has_preview=any(file.path == PREVIEW_FILE for file in made),
    )
    (work / CARD_FILE).write_text(card, encoding="utf-8")
    made.append(hashed(CARD_FILE, work / CARD_FILE))
    planned = [
        PlannedFile(
            path=file.path,
            size_bytes=file.size_bytes,
            action=_action(file, remote.files.get(file.path)),
            local=file.local,
        )
        for file in (*data, *made)
    ]
    kept = {file.path for file in planned}
    planned += (
        PlannedFile(path=path, size_bytes=there.size, action="delete", local=None)
        for path, there in remote.files.items()
        if path not in kept and remote.manifest is not None and (path == PREVIEW_FILE or remote.has_own(path))
    )
    return Plan(
        repo_id=repo_id,
        options=options,
        files=tuple(sorted(planned, key=lambda file: file.path)),
        card=card,
        manifest=manifest,
        head=remote.head,
        is_new=not remote.is_there,
        has_branch=remote.has_branch,
        is_asked=is_asked,
        notes=tuple(notes),
        api=api,
    )


def upload(plan: Plan, *, progress: Progress | None = None) -> Published:
    """Do what was planned.

    Args:
        plan: as `plan_publication` made it, its work folder still there.
        progress: called with "upload", how many bytes are done and how many there are.

    Raises:
        ValueError: the plan was made without asking the Hub.
        RemoteError: the Hub did not take it; what is done is kept, and planning and uploading again goes on.
    """
    if not plan.is_asked:
        raise ValueError(f"the plan for {plan.repo_id} was made without asking the Hub; make it again where it answers")
    options, api = plan.options, plan.api
    todo = plan.of("upload", "replace")
    total, done = sum(file.size_bytes for file in todo), 0
    say = progress or (lambda stage, done, total: None)
    head = plan.head
    with told(f"{plan.repo_id} could not be published"), quiet_client():
        if plan.is_new:
            api.create_repo(plan.repo_id, repo_type="dataset", private=options.is_private, exist_ok=True)
        if not plan.has_branch and options.branch != "main":
            api.create_branch(plan.repo_id, repo_type="dataset", branch=options.branch, revision=head, exist_ok=True)
        if not todo and not plan.of("delete"):
            return _published(plan, head or "")

        def commit(operations: list[Any], message: str) -> str:
            made = api.create_commit(
                plan.repo_id,
                operations,
                commit_message=message,
                repo_type="dataset",
                revision=options.branch,
                parent_commit=head if head is not None and is_commit(head) else None,
            )
            return made.oid

        def sent(files: list[PlannedFile]) -> list[Any]:
            nonlocal done
            additions = [_addition(file) for file in files]
            for start in range(0, len(files), UPLOAD_FILES):
                few = slice(start, start + UPLOAD_FILES)
                api.preupload_lfs_files(
                    plan.repo_id, additions[few], repo_type="dataset", revision=options.branch, free_memory=False
                )
                done += sum(file.size_bytes for file in files[few])
                say("upload", done, total)
            return additions

        batches = list(_batches([file for file in plan.of("upload") if _is_data(file.path)]))
        for number, batch in enumerate(batches, start=1):
            head = commit(sent(batch), f"{options.message} (data {number}/{len(batches)})")
        last = sent([file for file in todo if file.action == "replace" or not _is_data(file.path)])
        last += (CommitOperationDelete(path_in_repo=file.path) for file in plan.of("delete"))
        if last:
            head = commit(last, options.message)
    return _published(plan, head or "")


def _check_whole(catalog: Catalog, progress: Progress | None) -> None:
    """Refuse a catalog whose files are not what its manifest says; what they link to is for `opens2v verify`."""
    for check in verify(catalog, progress=progress):
        if check.name not in ("checksums", "row counts and columns"):
            return
        if not check.is_ok:
            raise CatalogDamagedError(
                f"the catalog at {catalog.root} is damaged, nothing was uploaded: {'; '.join(check.problems[:5])}"
            )


def _check_ours(repo_id: str, remote: Repository, data: dict[str, LocalFile]) -> None:
    """Refuse a repository that holds something else: no catalog, and not the beginning of this one either."""
    if remote.manifest is not None:
        return
    strange = sorted(
        path
        for path, there in remote.files.items()
        if path != ".gitattributes" and not (path in data and is_same(data[path], there))
    )
    if strange:
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise ValueError(
            f"expected an empty repository or a catalog at {repo_id}, found {', '.join(strange[:5])}{more} and no {FILE_NAME} "
            "of a catalog; name another repository, or publish beside them with --force"
        )


def _data_files(catalog: Catalog) -> list[LocalFile]:
    files = [
        LocalFile(path=file.path, local=catalog.root / file.path, size_bytes=file.size_bytes, sha256=file.sha256)
        for file in (*catalog.manifest.tables.values(), *catalog.manifest.files)
    ]
    if missing := [file.path for file in files if not file.local.is_file()]:
        raise CatalogError(
            f"expected all {len(files)} files of the catalog in {catalog.root}, {len(missing)} are not there: "
            f"{', '.join(missing[:5])}; copy the catalog whole before it is published"
        )
    return files


def _is_data(path: str) -> bool:
    return path not in (FILE_NAME, CARD_FILE, PREVIEW_FILE)


def _action(file: LocalFile, there: RepoFile | None) -> Action:
    if there is None:
        return "upload"
    return "skip" if is_same(file, there) else "replace"


def _batches(files: list[PlannedFile]) -> Iterator[list[PlannedFile]]:
    batch: list[PlannedFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= COMMIT_FILES or size + file.size_bytes > COMMIT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size_bytes
    if batch:
        yield batch


def _addition(file: PlannedFile) -> CommitOperationAdd:
    return CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=cast("Path", file.local))


def _published(plan: Plan, commit: str) -> Published:
    uploaded = plan.of("upload", "replace")
    return Published(
        commit=commit,
        num_uploaded=len(uploaded),
        num_skipped=len(plan.of("skip")),
        num_deleted=len(plan.of("delete")),
        uploaded_bytes=sum(file.size_bytes for file in uploaded),
    )
