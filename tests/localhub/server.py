"""The server's process: two listening sockets on one event loop, until its parent goes."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from localhub.faults import SOUND
from localhub.limits import Quota, Signer
from localhub.routes import Hub
from localhub.wire import Connection, Request, Response

PARENT_CHECK_SECONDS = 1.0


def main() -> None:
    """Read the options as one line of JSON, print the two ports, serve until the input closes or the parent is gone."""
    options = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory(prefix="localhub-") as own:
        asyncio.run(_serve(options, Path(options.pop("folder") or own)))


async def _serve(options: dict[str, Any], folder: Path) -> None:
    doors = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
    hub_port, cdn_port = (door.getsockname()[1] for door in doors)
    folder.mkdir(parents=True, exist_ok=True)
    limit, window_seconds = options["resolve_quota"] or (None, 0.0)
    cdn_endpoint = f"http://localhost:{cdn_port}"
    hub = Hub(
        endpoint=f"http://127.0.0.1:{hub_port}",
        cdn_endpoint=options.get("cdn_front") or cdn_endpoint,
        token=options["token"],
        page_size=options["page_size"],
        lfs_threshold_bytes=options["lfs_threshold_bytes"],
        redirect_small_files=options["redirect_small_files"],
        folder=folder,
        signer=Signer(lifetime_seconds=options["url_lifetime_seconds"], secret=secrets.token_bytes(32)),
        quota=Quota(limit, window_seconds),
    )
    tasks: set[asyncio.Task[None]] = set()  # the loop holds tasks only weakly
    for door, is_cdn in zip(doors, (False, True), strict=True):
        door.setblocking(False)
        tasks.add(asyncio.create_task(_accept(hub, door, is_cdn=is_cdn, tasks=tasks)))
    sys.stdout.write(json.dumps({"endpoint": hub.endpoint, "cdn_endpoint": cdn_endpoint}) + "\n")
    sys.stdout.flush()
    await _parent_gone()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _parent_gone() -> None:
    parent = os.getppid()
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), closed.set)
    loop.add_signal_handler(signal.SIGTERM, closed.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the whole group; the parent closes us
    while os.getppid() == parent and not closed.is_set():
        # a child of the parent may hold the other end of our input open, so that its end alone is not enough
        try:
            await asyncio.wait_for(closed.wait(), PARENT_CHECK_SECONDS)
        except TimeoutError:
            continue


async def _accept(hub: Hub, door: socket.socket, *, is_cdn: bool, tasks: set[asyncio.Task[None]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        sock, _ = await loop.sock_accept(door)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.create_task(_converse(hub, sock, is_cdn=is_cdn))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _converse(hub: Hub, sock: socket.socket, *, is_cdn: bool) -> None:
    with sock:
        connection = Connection(sock)
        try:
            while request := await connection.read_request():
                if request.path.startswith("/-/") and not is_cdn:
                    await _administer(hub, connection, request)
                elif not await _handle(hub, connection, request, is_cdn=is_cdn):
                    return
        except (ConnectionError, ValueError):
            return  # the client hung up or does not speak HTTP


async def _handle(hub: Hub, connection: Connection, request: Request, *, is_cdn: bool) -> bool:
    route = hub.route(request, is_cdn=is_cdn)
    with hub.tally.request(route) as counts:
        fate = hub.fates.draw(route)
        if fate.delay_seconds:
            await asyncio.sleep(fate.delay_seconds)
        try:
            response = await hub.answer(request, fate, is_cdn=is_cdn)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the server goes on, the client and the terminal see it
            traceback.print_exc()
            response = Response.of_json({"error": f"{type(error).__name__}: {error}"}, status=500)
        await request.read()  # what a refused upload left on the wire
        head_only = request.method == "HEAD"
        is_silent = fate.cut is not None and (head_only or not response.num_body_bytes)
        counts.statuses[0 if is_silent else response.status] += 1
        goes_on = await connection.send(response, head_only=head_only, fate=fate, sent=counts.sent)
    return goes_on and request.headers.get("connection", "").lower() != "close"


async def _administer(hub: Hub, connection: Connection, request: Request) -> None:
    asked = await request.read_json()
    try:
        response = Response.of_json(await hub.administer(request.path.removeprefix("/-/"), asked))
    except (ValueError, TypeError, OSError) as error:
        response = Response.of_json({"error": str(error)}, status=400)
    await connection.send(response, head_only=False, fate=SOUND, sent=lambda _: None)
