"""What the two hosts answer: the Hub's API, `/resolve/`, and the files of the second host."""

from __future__ import annotations

import asyncio
import hashlib
import math
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from localhub import uploads
from localhub.counts import Tally
from localhub.faults import Fates, Faults
from localhub.repos import GIT_ATTRIBUTES, USER, Commit, File, Repo, make_file, scan
from localhub.wire import FileBody, Refusal, Request, Response, parse_range

if TYPE_CHECKING:
    from localhub.counts import Route
    from localhub.faults import Fate
    from localhub.limits import Quota, Signer


@dataclass(kw_only=True)
class Hub:
    """The server's state, and its answers.

    Args:
        endpoint: address of the Hub.
        cdn_endpoint: address of the second host.
        token: the one token that is good.
        page_size: entries of a page of a listing.
        lfs_threshold_bytes: files of this size or more lie behind the second host.
        redirect_small_files: answer `/resolve/` of other files with a relative redirect, as the Hub does since 2025.
        folder: where uploads are kept.
        signer: signs addresses of the second host.
        quota: of `/resolve/`.
    """

    endpoint: str
    cdn_endpoint: str
    token: str
    page_size: int
    lfs_threshold_bytes: int
    redirect_small_files: bool
    folder: Path
    signer: Signer
    quota: Quota
    tally: Tally = field(default_factory=Tally)
    fates: Fates = field(default_factory=lambda: Fates(Faults()))
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, File] = field(default_factory=dict)
    hashed: dict[str, File] = field(default_factory=dict)

    def route(self, request: Request, *, is_cdn: bool) -> Route:
        """Return what a request counts as."""
        if is_cdn:
            return "upload" if request.method == "PUT" else "cdn"
        match request.segments:
            case ["datasets", _, _, "resolve", *_]:
                return "resolve"
            case ["api", "datasets", _, _, "tree", *_]:
                return "tree"
            case ["api", "datasets", _, _, "preupload" | "commit", *_] | ["api", "validate-yaml"]:
                return "upload"
            case ["api", "repos", *_] | ["datasets", _, _, "info", "lfs", *_]:
                return "upload"
        return "api"

    async def answer(self, request: Request, fate: Fate, *, is_cdn: bool) -> Response:
        """Answer a request of either host."""
        try:
            if fate.refusal == 503:
                raise Refusal(503, "Service Unavailable (injected)")
            if fate.refusal == 429:
                wait = str(math.ceil(self.fates.faults.retry_after_seconds))
                raise Refusal(429, "Too Many Requests (injected)", headers={"Retry-After": wait})
            return await (self._answer_cdn(request, fate) if is_cdn else self._answer_hub(request, fate))
        except Refusal as error:
            return error.response

    # The Hub

    async def _answer_hub(self, request: Request, fate: Fate) -> Response:
        self._check_token(request)
        is_read = request.method in ("GET", "HEAD")
        match request.segments:
            case ["datasets", owner, name, "resolve", revision, *path] if path and is_read:
                return self._resolve(request, fate, f"{owner}/{name}", revision, "/".join(path))
            case ["api", "resolve-cache", "datasets", owner, name, revision, *path] if path and is_read:
                commit = self.commit(self.repo(request, f"{owner}/{name}"), revision)
                return _file_response(request, fate, self._file(commit, "/".join(path)), _commit_headers(commit))
            case ["api", "datasets", owner, name] if is_read:
                return self._info(request, f"{owner}/{name}", "main")
            case ["api", "datasets", owner, name, "revision", revision] if is_read:
                return self._info(request, f"{owner}/{name}", revision)
            case ["api", "datasets", owner, name, "tree", revision, *path] if is_read:
                return self._tree(request, f"{owner}/{name}", revision, "/".join(path))
            case ["api", "datasets", owner, name, "paths-info", revision] if request.method == "POST":
                return await self._paths_info(request, f"{owner}/{name}", revision)
            case ["api", "datasets", owner, name, "refs"] if is_read:
                repo = self.repo(request, f"{owner}/{name}")
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
                return Response.of_json({"branches": [branch], "converts": [], "tags": [], "pullRequests": []})
            case ["api", "datasets", owner, name, "commits", revision] if is_read:
                return self._commits(request, f"{owner}/{name}", revision)
            case ["api", "whoami-v2"] if is_read:
                return self._whoami(request)
        answer = await uploads.answer(self, request)
        if answer is None:
            raise Refusal(404, "Repository not found", code="RepoNotFound")
        return answer

    def is_known(self, request: Request) -> bool:
        """Whether the request brings the token."""
        return request.headers.get("authorization") == f"Bearer {self.token}"

    def repo(self, request: Request, repo_id: str) -> Repo:
        """Return a repository that the request may see."""
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and not self.is_known(request)):
            # as on the Hub, where a stranger cannot tell a private repository from none
            if self.is_known(request):
                raise Refusal(404, "Repository not found", code="RepoNotFound")
            raise Refusal(401, "Invalid username or password.", code="RepoNotFound")
        return repo

    def commit(self, repo: Repo, revision: str) -> Commit:
        """Return the commit of a revision."""
        commit = repo.at(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return commit

    def _check_token(self, request: Request) -> None:
        if "authorization" in request.headers and not self.is_known(request):
            raise Refusal(401, "Invalid credentials in Authorization header")

    def _file(self, commit: Commit, path: str) -> File:
        file = commit.files.get(path)
        if file is None:
            raise Refusal(404, "Entry not found", code="EntryNotFound", headers={"X-Repo-Commit": commit.sha})
        return file

    def _resolve(self, request: Request, fate: Fate, repo_id: str, revision: str, path: str) -> Response:
        is_allowed, limits = self.quota.take()
        if not is_allowed:
            raise Refusal(429, "Too Many Requests: you have reached your 'resolvers' rate limit.", headers=limits)
        commit = self.commit(self.repo(request, repo_id), revision)
        file = self._file(commit, path)
        headers = _commit_headers(commit) | limits
        if not file.is_lfs and not self.redirect_small_files:
            return _file_response(request, fate, file, headers)
        if file.is_lfs:
            self.objects[file.key] = file
            location = self.cdn_endpoint + self.signer.sign(f"/objects/{file.key}")
            headers |= {"X-Linked-Size": str(file.size_bytes), "X-Linked-Etag": f'"{file.etag}"'}
        else:
            location = f"/api/resolve-cache/datasets/{repo_id}/{commit.sha}/{quote(path, safe='')}"
        status = 302 if file.is_lfs else 307
        headers |= {"Location": location, "Accept-Ranges": "bytes", "ETag": f'"{file.etag}"'}
        return Response(status=status, headers=headers, body=f"Redirecting to {location}".encode())

    def _info(self, request: Request, repo_id: str, revision: str) -> Response:
        repo = self.repo(request, repo_id)
        commit = self.commit(repo, revision)
        siblings: list[dict[str, Any]] = []
        for path, file in sorted(commit.files.items()):
            sibling: dict[str, Any] = {"rfilename": path}
            if "blobs" in request.query:
                sibling |= {"blobId": file.blob_id, "size": file.size_bytes}
                if file.is_lfs:
                    pointer_size = (commit.entry(path) or {})["lfs"]["pointerSize"]
                    sibling["lfs"] = {"sha256": file.sha256, "size": file.size_bytes, "pointerSize": pointer_size}
            siblings.append(sibling)
        info = {
            "_id": hashlib.md5(repo_id.encode(), usedforsecurity=False).hexdigest()[:24],
            "id": repo_id,
            "author": repo_id.partition("/")[0],
            "sha": commit.sha,
            "lastModified": commit.date,
            "createdAt": next(iter(repo.commits.values())).date,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }
        return Response.of_json(info, headers=_commit_headers(commit))

    def _tree(self, request: Request, repo_id: str, revision: str, folder: str) -> Response:
        commit = self.commit(self.repo(request, repo_id), revision)
        if folder not in commit.folders:
            raise Refusal(404, f"{folder} does not exist on {revision}", code="EntryNotFound")
        query = {name: values[-1] for name, values in request.query.items()}
        entries = commit.listing(folder, recursive=query.get("recursive", "").lower() in ("1", "true"))
        start = int(query.get("cursor", 0))
        end = start + min(int(query.get("limit", self.page_size)), self.page_size)
        headers = _commit_headers(commit)
        if end < len(entries):
            following = urlencode({**query, "cursor": str(end)})
            headers["Link"] = f'<{self.endpoint}{request.path}?{following}>; rel="next"'
        return Response.of_json(_expanded(commit, entries[start:end], query.get("expand", "")), headers=headers)

    async def _paths_info(self, request: Request, repo_id: str, revision: str) -> Response:
        commit = self.commit(self.repo(request, repo_id), revision)
        if request.headers.get("content-type", "").startswith("application/json"):
            asked = await request.read_json()
            paths, expand = asked["paths"], str(asked.get("expand", ""))
        else:
            form = parse_qs((await request.read()).decode())
            paths, expand = form.get("paths", []), form.get("expand", [""])[0]
        entries = [entry for path in paths if (entry := commit.entry(path.strip("/")))]
        return Response.of_json(_expanded(commit, entries, expand), headers=_commit_headers(commit))

    def _commits(self, request: Request, repo_id: str, revision: str) -> Response:
        repo = self.repo(request, repo_id)
        last = self.commit(repo, revision)
        made = list(repo.commits.values())
        made = made[: made.index(last) + 1]
        author = {"message": "", "authors": [{"user": USER}]}
        return Response.of_json([{"id": c.sha, "title": c.title, "date": c.date, **author} for c in reversed(made)])

    def _whoami(self, request: Request) -> Response:
        if not self.is_known(request):
            raise Refusal(401, "Invalid username or password.")
        token = {"displayName": "localhub", "role": "write"}
        auth = {"type": "access_token", "accessToken": token}
        return Response.of_json({"type": "user", "id": "0", "name": USER, "fullname": USER, "orgs": [], "auth": auth})

    # The second host

    async def _answer_cdn(self, request: Request, fate: Fate) -> Response:
        if "authorization" in request.headers:
            self.tally.cdn_with_token += 1
        match request.segments:
            case ["objects", key] if request.method in ("GET", "HEAD"):
                if fault := self.signer.fault(request.path, request.query):
                    raise Refusal(403, f"Access denied: {fault}")
                file = self.objects.get(key)
                if file is None:
                    raise Refusal(404, "No such object")
                return _file_response(request, fate, file, {})
            case ["uploads", sha256] if request.method == "PUT":
                if fault := self.signer.fault(request.path, request.query):
                    raise Refusal(403, f"Access denied: {fault}")
                return await uploads.put_object(self, request, sha256)
        raise Refusal(404, "No such object")

    # The handle's own door: neither counted nor faulty

    async def administer(self, verb: str, asked: dict[str, Any]) -> Any:
        """Do what the test that holds the server asks."""
        match verb:
            case "add" | "move":
                return await self._take_folder(verb, **asked)
            case "head":
                return self._held(asked["repo_id"]).head
            case "faults":
                self.fates = Fates(Faults.from_json(asked))
                return None
            case "counts":
                return self.tally.to_json()
            case "reset":
                return self.tally.reset()
        raise ValueError(f"no such verb: {verb}")

    def create(self, repo_id: str, *, private: bool) -> Repo:
        """Create a repository that holds what the Hub puts into every new one."""
        repo = self.repos[repo_id] = Repo(repo_id, private=private)
        source = self.keep(GIT_ATTRIBUTES)
        repo.commit({".gitattributes": make_file(source, len(GIT_ATTRIBUTES), is_lfs=False)}, title="initial commit")
        return repo

    def keep(self, data: bytes) -> Path:
        """Keep a small file's bytes under their hash."""
        path = self.folder / hashlib.sha256(data).hexdigest()
        if not path.exists():
            path.write_bytes(data)
        return path

    async def _take_folder(
        self, verb: str, *, repo_id: str, folder: str, private: bool = False, hash_contents: bool = True
    ) -> str:
        if verb == "add" and repo_id in self.repos:
            raise ValueError(f"{repo_id} is there already; move() gives it a new commit")
        if repo_id.count("/") != 1:
            raise ValueError(f"expected owner/name, found {repo_id!r}")
        repo = Repo(repo_id, private=private) if verb == "add" else self._held(repo_id)
        files = await asyncio.to_thread(
            scan,
            Path(folder),
            lfs_threshold_bytes=self.lfs_threshold_bytes,
            hash_contents=hash_contents,
            known=self.hashed,
        )
        self.repos[repo_id] = repo
        return repo.commit(files, title=f"{verb} a folder").sha

    def _held(self, repo_id: str) -> Repo:
        if repo_id not in self.repos:
            raise ValueError(f"no repository {repo_id}; there are {sorted(self.repos)}")
        return self.repos[repo_id]


def _file_response(request: Request, fate: Fate, file: File, headers: dict[str, str]) -> Response:
    status = file.source.stat()  # the file may have been replaced behind the commit's back
    headers = headers | {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "ETag": f'"{file.etag}"',
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
    }
    try:
        span = None if fate.ignores_range else parse_range(request.headers.get("range"), status.st_size)
    except ValueError:
        return Response(status=416, headers=headers | {"Content-Range": f"bytes */{status.st_size}"})
    if span is None:
        return Response(headers=headers, body=FileBody(path=file.source, start=0, length=status.st_size))
    start, end = span
    if fate.shorten is not None and end - start > 1:
        end = start + 1 + int(fate.shorten * (end - start - 1))
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
    return Response(status=206, headers=headers, body=FileBody(path=file.source, start=start, length=end - start))


def _commit_headers(commit: Commit) -> dict[str, str]:
    return {"X-Repo-Commit": commit.sha}


def _expanded(commit: Commit, entries: list[dict[str, Any]], expand: str) -> list[dict[str, Any]]:
    if expand.lower() not in ("1", "true"):
        return entries
    last = {"id": commit.sha, "title": commit.title, "date": commit.date}
    return [{**entry, "lastCommit": last} for entry in entries]
