"""The server as a test holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localhub.counts import Counts
from localhub.faults import Faults

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_TOKEN = "hf_localhub"


class LocalHub:
    """A Hub in a process of its own, from creation until `close`.

    ```
    with LocalHub({"owner/name": folder}) as hub:
        store = HubStore("owner/name", endpoint=hub.endpoint, revision=hub.head("owner/name"))
        hub.faults = Faults(p503=0.05, seed=1)
        assert hub.counts().cdn.num_requests == 0
    ```

    Args:
        source: the folder that uploads are kept in, or repositories to add (folders by repo id).
        page_size: most entries of a page of a listing; small, so that clients meet several.
        url_lifetime_seconds: how long an address of the second host is good for.
        resolve_quota: `(calls, window_seconds)` of `/resolve/`; None for no quota.
        token: the one token that is good.
        lfs_threshold_bytes: files of this size or more are behind the second host.
        redirect_small_files: answer other files with a relative redirect, as the Hub does, instead of at once.
        cdn_front: what addresses of the second host begin with, where something stands before it (TLS); None for its own.
        faults: what goes wrong from the start.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | None = None,
        *,
        page_size: int = 50,
        url_lifetime_seconds: float = 3600.0,
        resolve_quota: tuple[int, float] | None = None,
        token: str = DEFAULT_TOKEN,
        lfs_threshold_bytes: int = 1000,
        redirect_small_files: bool = False,
        cdn_front: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        repos = source if isinstance(source, Mapping) else {}
        folder = None if source is None or isinstance(source, Mapping) else str(Path(source).absolute())
        options = {
            "folder": folder,
            "page_size": page_size,
            "url_lifetime_seconds": url_lifetime_seconds,
            "resolve_quota": resolve_quota,
            "token": token,
            "lfs_threshold_bytes": lfs_threshold_bytes,
            "redirect_small_files": redirect_small_files,
            "cdn_front": cdn_front,
        }
        self.token = token
        # -S: no site-packages, which the server does not need and which take longer to find than the rest to start
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-m", "localhub"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(options) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the local Hub did not start: exit code {self._process.wait()}, see stderr")
        addresses = json.loads(line)
        self.endpoint: str = addresses["endpoint"]
        self.cdn_endpoint: str = addresses["cdn_endpoint"]
        self._faults = Faults()
        try:
            if faults is not None:
                self.faults = faults
            for repo_id, repo_folder in repos.items():
                self.add_repo(repo_id, repo_folder)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"LocalHub({self.endpoint!r})"

    def __enter__(self) -> LocalHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """The server's process, whose CPU time benchmarks count."""
        return self._process.pid

    def close(self) -> None:
        """Stop the server."""
        if self._process.poll() is None:
            self._process.terminate()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def add_repo(
        self,
        repo_id: str,
        folder: str | os.PathLike[str],
        *,
        private: bool = False,
        hash_contents: bool = True,
    ) -> str:
        """Add a dataset repository whose first commit is a folder, which is served in place.

        Args:
            repo_id: "owner/name".
            folder: its files; they must stay.
            private: whether only the token opens it.
            hash_contents: False gives large files a made-up SHA-256 instead of reading them (for many gigabytes).

        Returns:
            The commit.
        """
        asked = {"repo_id": repo_id, "private": private, "hash_contents": hash_contents}
        return self._ask("add", {**asked, "folder": str(Path(folder).absolute())})

    def move(self, repo_id: str, folder: str | os.PathLike[str], *, hash_contents: bool = True) -> str:
        """Make `main` a new commit that is another folder (or the same again); earlier commits stay.

        Returns:
            The commit.
        """
        asked = {"repo_id": repo_id, "hash_contents": hash_contents}
        return self._ask("move", {**asked, "folder": str(Path(folder).absolute())})

    def head(self, repo_id: str) -> str:
        """Return the commit that `main` is at."""
        return self._ask("head", {"repo_id": repo_id})

    @property
    def faults(self) -> Faults:
        """What goes wrong; new faults hold from the next request on, and their draws start anew."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._ask("faults", faults.to_json())
        self._faults = faults

    def counts(self) -> Counts:
        """Return what was asked and sent since the last reset."""
        return Counts.from_json(self._ask("counts"))

    def reset_counts(self) -> None:
        """Start the counts from zero."""
        self._ask("reset")

    def environment(self, home: str | os.PathLike[str], *, with_token: bool = False) -> dict[str, str]:
        """Return variables under which huggingface_hub and datasets, imported in a new process, use this Hub.

        Args:
            home: where they keep their caches.
            with_token: whether they are logged in.
        """
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_TOKEN": self.token if with_token else "",
            "HF_HUB_OFFLINE": "0",
            # Of seconds; where the machine is busy the clients' 10 may pass before this Hub's process has its turn.
            "HF_HUB_DOWNLOAD_TIMEOUT": "200",
            "HF_HUB_ETAG_TIMEOUT": "200",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def _ask(self, verb: str, value: dict[str, Any] | None = None) -> Any:
        # imported here, as the server's process imports this module too and starts a third faster without
        from http.client import HTTPConnection

        connection = HTTPConnection(self.endpoint.removeprefix("http://"), timeout=600)
        try:
            connection.request("POST", f"/-/{verb}", json.dumps(value or {}))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer
