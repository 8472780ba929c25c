"""The prompts as they lie on the Hub: the file of a domain and the images it names, fetched into the Hub's own cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from opens2v_data.errors import MissingExtraError, PromptsError, RemoteError
from opens2v_eval.prompts import Prompts, file_name, read_prompts
from opens2v_eval.scales import Domain
from opens2v_eval.threads import map_in_threads

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_ADDRESS = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/?")
_NUM_FETCHERS = 8
_LINK = re.compile(r"https?://\S+")


def fetch_prompts(address: str, *, domain: Domain, check: bool = True) -> Prompts:
    """Fetch a domain's prompts and their images, at one commit; what is in the cache already is not fetched again.

    Where the Hub cannot be reached, what the cache has will do, and `Prompts.source` says so.

    Raises:
        PromptsError: the repository has no such file, or it is not as published.
        RemoteError: the Hub does not give it.
        MissingExtraError: huggingface_hub is not installed.
        ValueError: it is no address of a dataset.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"expected hf://datasets/OWNER/NAME[@REVISION], got {address!r}")
    repo, revision = match["repo"], (match["revision"] or "main").replace("%2F", "/")
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError(package="huggingface_hub", extra="eval", needed_for="prompts from the Hub") from error
    api = HfApi()
    try:
        with _told(address):
            info = api.dataset_info(repo, revision=revision)
    except RemoteError as error:
        cached = None if error.status is not None else _cached(repo, revision, domain, check)
        if cached is None:
            raise
        return cached
    files = {file.rfilename for file in info.siblings or ()}
    name = file_name(domain)
    found = sorted(path for path in files if PurePosixPath(path).name == name)
    if len(found) != 1:
        raise PromptsError(
            f"{address}: expected one file {name}, found {', '.join(found) or f'none among {len(files)} files'} at {revision}"
        )
    with _told(address):
        # By the revision's name, so that the cache remembers which commit it was; all else at that commit.
        path = _fetch(api, repo, revision, found[0])
    # Image names are relative to the repository; the cache keeps its paths below a folder named for the commit.
    root = path.parents[len(PurePosixPath(found[0]).parts) - 1]
    commit = root.name
    prompts = read_prompts(path, domain=domain, root=root, source=f"hf://datasets/{repo}@{commit}", check=check)
    wanted = dict.fromkeys(name for prompt in prompts for name in prompt.image_names if name in files)
    with _told(address):
        for _ in map_in_threads(lambda name: _fetch(api, repo, commit, name), wanted, threads=_NUM_FETCHERS):
            pass
    return prompts


def _cached(repo: str, revision: str, domain: Domain, check: bool) -> Prompts | None:
    """Return what an earlier call left in the cache, for machines that cannot reach the Hub; None where that is nothing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        root = Path(snapshot_download(repo, repo_type="dataset", revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    found = sorted(root.rglob(file_name(domain)))
    if len(found) != 1:
        return None
    source = f"hf://datasets/{repo}@{root.name} in the cache"
    return read_prompts(found[0], domain=domain, root=root, source=source, check=check)


def _fetch(api: HfApi, repo: str, revision: str, name: str) -> Path:
    return Path(api.hf_hub_download(repo, name, repo_type="dataset", revision=revision))


@contextmanager
def _told(address: str) -> Iterator[None]:
    """Raise the client's faults as ours, without the addresses in them, which may be signed; show no bars."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # pyright: ignore[reportPrivateImportUsage]
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        said = _LINK.sub("…", str(error)).splitlines()
        to_do = "check the name, log in with `hf auth login` if it is private, and run the same command again"
        if status is None:
            to_do = (
                "run the same command again where the Hub can be reached, or give a folder that has the dataset's files "
                "instead of its address"
            )
        raise RemoteError(
            f"{address}: the Hub did not give the prompts: {said[0] if said else type(error).__name__}; {to_do}: what is "
            "fetched is kept",
            status=status,
            is_retryable=status is None or status == 429 or status >= 500,
        ) from None
    finally:
        if had_bars:
            enable_progress_bars()
