"""Writing: new repositories, LFS objects and commits, as `HfApi.create_repo` and `create_commit` without Xet ask."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from localhub.repos import USER, File, make_file
from localhub.wire import Refusal, Response

if TYPE_CHECKING:
    from pathlib import Path

    from localhub.routes import Hub
    from localhub.wire import Request

LFS_TYPE = {"Content-Type": "application/vnd.git-lfs+json"}


async def answer(hub: Hub, request: Request) -> Response | None:
    """Answer a request that writes, or return None if this is none."""
    if request.method != "POST":
        return None
    segments = request.segments
    if segments == ["api", "validate-yaml"]:
        return await _validate_yaml(request)
    if not hub.is_known(request):
        raise Refusal(401, "Invalid username or password.")
    match segments:
        case ["api", "repos", "create"]:
            return await _create(hub, request)
        case ["api", "datasets", owner, name, "preupload", revision]:
            return await _preupload(hub, request, f"{owner}/{name}", revision)
        case ["api", "datasets", owner, name, "commit", revision]:
            return await _commit(hub, request, f"{owner}/{name}", revision)
        case ["datasets", owner, name, "info", "lfs", "objects", "batch"] if name.endswith(".git"):
            return await _batch(hub, request, f"{owner}/{name.removesuffix('.git')}")
        case ["datasets", _, name, "info", "lfs", "objects", "verify"] if name.endswith(".git"):
            return await _verify(hub, request)
    return None


async def put_object(hub: Hub, request: Request, sha256: str) -> Response:
    """Store the object that the body is, if it has the hash that it was announced with."""
    path = hub.folder / sha256
    partial = path.with_name(f"{sha256}.{id(request)}.partial")  # the same object may come twice at once
    digest = hashlib.sha256()
    with partial.open("wb") as stream:
        async for chunk in request.body:
            digest.update(chunk)
            stream.write(chunk)
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise Refusal(400, f"expected an object of SHA-256 {sha256}, found {digest.hexdigest()}")
    partial.replace(path)
    return Response(headers={"ETag": f'"{sha256}"'})


async def _create(hub: Hub, request: Request) -> Response:
    asked = await request.read_json()
    repo_id = f"{asked.get('organization') or USER}/{asked['name']}"
    if asked.get("type") != "dataset":
        raise Refusal(400, "this Hub holds datasets only: give repo_type='dataset'")
    url = f"{hub.endpoint}/datasets/{repo_id}"
    if repo_id in hub.repos:
        message = "You already created this dataset repo"
        return Response.of_json({"error": message, "url": url}, status=409, headers={"X-Error-Message": message})
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.create(repo_id, private=private)
    return Response.of_json({"url": url, "name": repo_id, "id": repo_id, "private": private})


async def _validate_yaml(request: Request) -> Response:
    content = (await request.read_json())["content"]
    # the Hub parses the YAML; that it is closed is all that can be told without a parser
    if content.startswith("---\n") and "\n---" not in content[3:]:
        errors = [{"message": "the metadata block at the top of README.md has no closing ---"}]
        return Response.of_json({"errors": errors, "warnings": []}, status=400)
    return Response.of_json({"errors": [], "warnings": []})


async def _preupload(hub: Hub, request: Request, repo_id: str, revision: str) -> Response:
    commit = hub.commit(hub.repo(request, repo_id), revision)
    files = []
    for asked in (await request.read_json())["files"]:
        held = commit.files.get(asked["path"])
        mode = "lfs" if asked["size"] >= hub.lfs_threshold_bytes else "regular"
        same_mode = held is not None and held.is_lfs == (mode == "lfs")
        oid = held.etag if held is not None and same_mode else None
        files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Response.of_json({"files": files})


async def _batch(hub: Hub, request: Request, repo_id: str) -> Response:
    hub.repo(request, repo_id)
    verify = {"href": f"{hub.endpoint}/datasets/{repo_id}.git/info/lfs/objects/verify"}
    objects = []
    for asked in (await request.read_json())["objects"]:
        held = {"oid": asked["oid"], "size": asked["size"]}
        if not _object(hub, asked["oid"]).exists():
            # good for an hour however short the addresses of downloads live: clients do not ask again for these
            upload = {"href": hub.cdn_endpoint + hub.signer.sign(f"/uploads/{asked['oid']}", lifetime_seconds=3600)}
            held["actions"] = {"upload": upload, "verify": verify}
        objects.append(held)
    return Response.of_json({"transfer": "basic", "objects": objects}, headers=LFS_TYPE)


async def _verify(hub: Hub, request: Request) -> Response:
    asked = await request.read_json()
    path = _object(hub, asked["oid"])
    if not path.exists() or path.stat().st_size != asked["size"]:
        raise Refusal(404, f"object {asked['oid']} of {asked['size']} bytes is not here")
    return Response.of_json({})


async def _commit(hub: Hub, request: Request, repo_id: str, revision: str) -> Response:
    repo = hub.repo(request, repo_id)
    if revision != "main":
        raise Refusal(400, f"this Hub has one branch, main; found {revision!r}")
    if request.query.get("create_pr") == ["1"]:
        raise Refusal(400, "this Hub has no pull requests")
    lines = [json.loads(line) for line in (await request.read()).splitlines() if line]
    files = dict(repo.commits[repo.head].files)
    title = ""
    for line in lines:
        value = line["value"]
        if line["key"] == "header":
            title = value["summary"]
            parent = value.get("parentCommit")
            if parent and parent != repo.head:
                raise Refusal(412, f"A commit has happened since {parent}: the branch is at {repo.head}")
            continue
        _apply(hub, files, line["key"], value)
    made = repo.commit(files, title=title)
    url = f"{hub.endpoint}/datasets/{repo_id}/commit/{made.sha}"
    return Response.of_json({"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})


def _apply(hub: Hub, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
    path = value["path"]
    if any(part in ("", ".", "..") for part in path.rstrip("/").split("/")):
        raise Refusal(400, f"invalid path: {path!r}")
    match key:
        case "file":
            data = base64.b64decode(value["content"])
            files[path] = make_file(hub.keep(data), len(data), is_lfs=False)
        case "lfsFile":
            source = _object(hub, value["oid"])
            if not source.exists():
                raise Refusal(400, f"{path}: object {value['oid']} was not uploaded")
            files[path] = make_file(source, source.stat().st_size, is_lfs=True, sha256=value["oid"])
        case "deletedFile":
            if files.pop(path, None) is None:
                raise Refusal(404, "A file with this name doesn't exist", code="EntryNotFound")
        case "deletedFolder":
            prefix = path.rstrip("/") + "/"
            for name in [name for name in files if name.startswith(prefix)]:
                del files[name]
        case _:
            raise Refusal(400, f"unknown operation {key!r}")


def _object(hub: Hub, oid: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", oid):
        raise Refusal(400, f"expected a SHA-256 in hexadecimal, found {oid!r}")
    return hub.folder / oid
