"""Files of a repository on the Hub, with its signed addresses and quotas.

    Hub     /resolve/<commit>/<piece>  ──302──▶  signed address on another host, good for an hour or so
    us      one call per piece, then ranges straight from there; called again when the address is refused

The Hub counts calls of `/resolve`. One per clip is 17 clips a second for a free account; one per piece is 1,050 for all of
the release. A piece's address is asked for once, however many threads want it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from opens2v_data.archive.addresses import HubAddress, is_commit
from opens2v_data.archive.answers import AddressRefusedError, retry_after_seconds
from opens2v_data.archive.careful import head, origin_of
from opens2v_data.archive.daemons import interruptible
from opens2v_data.archive.flights import EARLY_SECONDS, Flight, Resolved, lifetime_seconds
from opens2v_data.archive.forked import forget_after_fork
from opens2v_data.archive.http import Address, read_address
from opens2v_data.archive.http_options import Counters, HttpOptions, backoff
from opens2v_data.archive.httpstore import RangesOverHttp
from opens2v_data.archive.plain import Connections
from opens2v_data.archive.quota import bucket_of
from opens2v_data.archive.stores import Buffer, check_name, check_range
from opens2v_data.errors import (
    MissingExtraError,
    MissingPieceError,
    RemoteError,
    RevisionMovedError,
    ShortReadError,
)
from opens2v_data.waiting import sleep

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_REDIRECTS = 5
_ADVICE = "check the name, or log in with `hf auth login` (or HF_TOKEN) if it is private or gated"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        path: below the repository.
        size_bytes: its length.
        sha256: of its bytes, for files kept as LFS objects; None for small ones.
    """

    path: str
    size_bytes: int
    sha256: str | None


class HubStore(RangesOverHttp):
    """A dataset repository on the Hub, at one commit; a `Store`.

    Needs the extra `hub`. The endpoint is HF_ENDPOINT or the Hub. It can be pickled to other processes; each opens connections
    and asks for addresses of its own.

    Args:
        repo_id: `owner/name`.
        revision: commit, branch or tag; a branch is taken at its commit of now, for as long as this store lives.
        endpoint: of the Hub.
        token: None: the one that `huggingface_hub` finds; False: none; else this one. It is sent to the endpoint only.
        options: how patient to be.

    Attributes:
        counters: what was asked of the servers.
    """

    def __init__(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        endpoint: str | None = None,
        token: str | bool | None = None,
        options: HttpOptions | None = None,
    ) -> None:
        try:
            from huggingface_hub import constants
            from huggingface_hub.utils import build_hf_headers
        except ImportError as error:
            raise MissingExtraError(
                package="huggingface_hub", extra="hub", needed_for=f"reading {repo_id} from the Hub"
            ) from error
        self.repo_id = repo_id
        self.revision = revision
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self.options = options or HttpOptions()
        self.counters = Counters()
        self._token = token
        self._headers = build_hf_headers(token=token, library_name="opens2v-data")
        self._commit = revision if revision is not None and is_commit(revision) else None
        self._flights: dict[str, Flight] = {}
        self._connections = Connections()
        self._lock = threading.Lock()
        forget_after_fork(self)

    def __repr__(self) -> str:
        return f"HubStore({self.repo_id!r}, revision={self._commit or self.revision!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_hub_store, (self.repo_id, self._commit or self.revision, self.endpoint, self._token, self.options)

    @property
    def commit(self) -> str:
        """The commit that all bytes are of.

        Raises:
            RemoteError: there is no such repository or revision, or no access to it.
        """
        if self._commit is None:
            with self._lock:
                if self._commit is None:
                    self._commit = str(
                        self._ask(lambda api: api.dataset_info(self.repo_id, revision=self.revision)).sha
                    )
        return self._commit

    @property
    def uri(self) -> str:
        """The address of the repository at its commit."""
        return str(HubAddress(repo_id=self.repo_id, revision=self.commit))

    def walk(self, prefix: str = "") -> Iterator[RemoteFile]:
        """Give all files below a folder, in path order; nothing when there is no such folder.

        Raises:
            RemoteError: as `commit`.
        """
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        def listing(api: Any) -> list[Any]:
            try:
                return list(
                    api.list_repo_tree(
                        self.repo_id, prefix or None, recursive=True, revision=self.commit, repo_type="dataset"
                    )
                )
            except EntryNotFoundError:
                return []

        found = [entry for entry in self._ask(listing) if isinstance(entry, RepoFile)]
        for entry in sorted(found, key=lambda entry: entry.path):
            sha256 = entry.lfs.sha256 if entry.lfs is not None else None
            yield RemoteFile(path=entry.path, size_bytes=entry.size, sha256=sha256)

    def size(self, path: str) -> int:
        """Return the file's size in bytes: what the Hub says when asked for its address, which reading needs anyway."""
        return self._flight(path).resolved(self).size_bytes

    def _read(self, path: str, start: int, length: int, *, as_buffer: bool) -> Buffer:
        check_range(start, length)
        flight = self._flight(path)
        for _ in range(self.options.attempts):
            resolved = flight.resolved(self)
            if start + length > resolved.size_bytes:
                raise ShortReadError(
                    f"{self.uri}/{path}: expected {length} bytes from byte {start} on, the file has {resolved.size_bytes}; "
                    "the index is not of this upload"
                )
            if resolved.is_plain:
                # What a plain call of /resolve sends is counted as one.
                self._take()
                self.counters.add(num_resolves=1)
            try:
                data = read_address(
                    resolved.address,
                    start,
                    length,
                    label=f"{self.repo_id}/{path}",
                    options=self.options,
                    counters=self.counters,
                    as_buffer=as_buffer,
                )
                resolved.has_served = True
                return data
            except AddressRefusedError as refused:
                if resolved.is_plain:
                    raise RemoteError(
                        f"{self.uri}/{path}: the Hub answered {refused.status}; {_ADVICE}", status=refused.status
                    ) from None
                flight.refused(resolved)
        raise RemoteError(
            f"{self.uri}/{path}: the addresses that the Hub gave were refused {self.options.attempts} times; check this "
            "machine's clock, and run again",
            status=403,
            is_retryable=True,
        )

    def close(self) -> None:
        """Forget addresses and connections; the store can still be used."""
        with self._lock:
            self._flights.clear()
        self._connections.close()

    def _after_fork(self) -> None:
        self._lock, self._flights = threading.Lock(), {}
        self.counters.after_fork()

    # -- addresses ---------------------------------------------------------------------------------------------------

    @property
    def _has_token(self) -> bool:
        return "authorization" in self._headers

    def _take(self) -> None:
        """Wait until a call of `/resolve` may be made."""
        bucket_of(self.endpoint, has_token=self._has_token).take(self.counters.wait)

    def _flight(self, path: str) -> Flight:
        with self._lock:
            if path not in self._flights:
                check_name(path, self.repo_id)
                self._flights[path] = Flight(path)
            return self._flights[path]

    def resolve(self, path: str) -> Resolved:
        """Ask the Hub where a file's bytes are; `flights.Flight` asks once for all who read it.

        Raises:
            RemoteError, MissingPieceError: it does not say.
            RevisionMovedError: it answers for another commit.
        """
        from huggingface_hub import constants

        url = self._resolve_url(path)
        for _ in range(_MAX_REDIRECTS):
            headers = self._call(url, path)
            location = headers.get("Location")
            target = urljoin(url, location) if location else None
            if target is None or origin_of(target) != origin_of(self.endpoint):
                break
            url = target  # a repository that was renamed, or a small file that the Hub serves under another address
        else:
            raise RemoteError(f"{self.uri}/{path}: the Hub redirects in circles")
        served = headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
        if served is not None and served != self.commit:
            raise RevisionMovedError(
                f"{self.repo_id}/{path}: expected commit {self.commit}, the Hub answered for {served}; every offset may have "
                "shifted: pin a commit that is there, and index it anew"
            )
        size = headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_SIZE) or (
            None if target else headers.get("Content-Length")
        )
        if size is None or not size.isdigit():
            raise RemoteError(
                f"{self.uri}/{path}: the Hub did not say how long it is (headers {sorted(headers.keys())})"
            )
        if target is None:
            # A small file, which the Hub serves itself: it gets the token, and nobody else does.
            return Resolved(self._plain(url), int(size), None, is_plain=True)
        lifetime = lifetime_seconds(target, headers.get("Date"))
        expires_at = None if lifetime is None else time.monotonic() + lifetime - min(EARLY_SECONDS, 0.1 * lifetime)
        address = Address(target, self.options, connections=self._connections)
        return Resolved(address, int(size), expires_at, is_plain=False)

    def plain_address(self, path: str) -> Address:
        """Return the address of a file at the Hub itself, which redirects each request and counts it."""
        return self._plain(self._resolve_url(path))

    def _plain(self, url: str) -> Address:
        headers = {"Authorization": self._headers["authorization"]} if self._has_token else {}
        # Never by the fast way, which cannot keep a header from the host that a redirect goes to.
        return Address(url, self.options, headers=headers or {"Accept": "*/*"})

    def _resolve_url(self, path: str) -> str:
        return f"{self.endpoint}/datasets/{self.repo_id}/resolve/{self.commit}/{quote(path)}"

    def _call(self, url: str, path: str) -> Any:
        """Call `/resolve` by HEAD, within the quota, until it gives an answer."""
        bucket = bucket_of(self.endpoint, has_token=self._has_token)
        headers = {**self._headers, "Accept-Encoding": "identity"}
        reason, status = "no answer", None
        for attempt in range(self.options.attempts):
            self._take()
            self.counters.add(num_resolves=1, num_retries=int(attempt > 0))
            wait: float | None = None
            try:
                status, answer = interruptible(
                    lambda: head(url, headers, label=path, timeout_seconds=self.options.timeout_seconds)
                )
            except RemoteError as error:
                reason, status = str(error), None
            else:
                bucket.learn(answer)
                if status < 400:
                    return answer
                self._refuse(path, status, answer)
                reason = f"the Hub answered {status} {answer.get('X-Error-Message', '')}".strip()
                wait = retry_after_seconds(answer)
                if (wait or 0) > self.options.max_retry_after_seconds:
                    break
            if wait is not None:
                bucket.close_for(wait)
                self.counters.wait(wait)
            else:
                sleep(backoff(attempt, self.options))
        raise RemoteError(
            f"{self.uri}/{path}: where its bytes are could not be had, at last: {reason}; run again later, or log in for a "
            "larger quota (hf auth login)",
            status=status,
            is_retryable=status is None or status == 429 or status >= 500,
        )

    def _refuse(self, path: str, status: int, headers: Any) -> None:
        """Raise what no repetition will change."""
        code = headers.get("X-Error-Code", "")
        if status == 404 and code == "EntryNotFound":
            raise MissingPieceError(f"{self.uri} has no file {path}; the catalog is of another upload")
        if status == 404 and code == "RevisionNotFound":
            raise self._gone()
        if status < 500 and status not in (408, 429):
            raise RemoteError(f"{self.uri}/{path}: the Hub answered {status} {code}; {_ADVICE}", status=status)

    def _ask(self, question: Any) -> Any:
        """Ask the Hub's API, with the client's own repetitions; say in our words what went wrong."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HTTPError,  # pyright: ignore[reportPrivateImportUsage] - of httpx or httpx2, by version
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        api = HfApi(endpoint=self.endpoint, token=self._token, library_name="opens2v-data")
        reason: Exception | None = None
        status: int | None = None
        for attempt in range(self.options.attempts):
            try:
                return question(api)
            except RevisionNotFoundError as error:
                raise self._gone() from error
            except RepositoryNotFoundError as error:
                raise RemoteError(
                    f"expected a dataset {self.repo_id} at {self.endpoint}, found none that may be read; {_ADVICE}",
                    status=404,
                ) from error
            except OfflineModeIsEnabled as error:
                raise RemoteError(f"{self.repo_id} cannot be read while HF_HUB_OFFLINE is set") from error
            except HfHubHTTPError as error:
                reason, status = error, error.response.status_code
                if status != 429 and status < 500:
                    break
                wait = retry_after_seconds(error.response.headers)
                if wait is not None:
                    self.counters.wait(min(wait, self.options.max_retry_after_seconds))
                    continue
            except HTTPError as error:
                reason = error
            sleep(backoff(attempt, self.options))
        raise RemoteError(
            f"{self.repo_id} at {self.endpoint} could not be asked: {reason}; check the connection and run again",
            status=status,
            is_retryable=True,
        ) from reason

    def _gone(self) -> RevisionMovedError:
        return RevisionMovedError(
            f"{self.repo_id} has no revision {self._commit or self.revision}: it was removed, or never there. Offsets are good "
            "for one commit only: name one that is there, and make the catalog of it anew (opens2v ingest)"
        )


def _new_hub_store(
    repo_id: str, revision: str | None, endpoint: str, token: str | bool | None, options: HttpOptions
) -> HubStore:
    return HubStore(repo_id, revision=revision, endpoint=endpoint, token=token, options=options)
