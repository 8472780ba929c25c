"""One process that serves the pages, the media and the verdicts of one catalog.

Streamlit's `st.App` is an ASGI app that takes routes of ours; `streamlit run` would leave them out, so uvicorn is run here.
What a settings file of Streamlit's says is overruled where it would open a door or send something elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from opens2v_data.errors import MissingExtraError
from opens2v_explorer.front import Front, streamlit_files
from opens2v_explorer.runtime import Explorer, default_reviewer, use
from opens2v_explorer.security import Guard, Hosts, is_loopback
from opens2v_explorer.warming import warm

try:
    import uvicorn
except ImportError as error:
    raise MissingExtraError(package="streamlit", extra="explorer", needed_for="the explorer") from error

if TYPE_CHECKING:
    from types import FrameType

    from starlette.applications import Starlette
    from starlette.routing import Route
    from streamlit import App

    from opens2v_data.dataset import OpenS2V
    from opens2v_explorer.evaluation.loading import Evaluation

SCRIPT = Path(__file__).with_name("script") / "run.py"

STOP_SECONDS = 1
"""For answers under way when Ctrl-C comes."""


def streamlit_options(*, host: str, port: int) -> dict[str, Any]:
    """Return what Streamlit is told, as the flags of `streamlit run` would, which go before settings files and variables."""
    return {
        "browser.gatherUsageStats": False,
        "server.address": host,
        "server.port": port,
        "browser.serverPort": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.allowRunOnSave": False,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.baseUrlPath": "",
        "server.maxUploadSize": 1,  # no page takes a file
        "server.showEmailPrompt": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "full" if is_loopback(host) else "type",
        "client.showErrorLinks": False,  # they lead to search engines
        "client.allowedOrigins": [],  # of Streamlit's own cloud
        "client.showSidebarNavigation": True,
        "runner.magicEnabled": False,
        "logger.level": "error",
        "global.developmentMode": False,
        # Those of `static/theme.css`; the system says which of the two colours.
        "theme.font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif',
        "theme.codeFont": 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace',
        "theme.light.primaryColor": "#0a5bb5",
        "theme.light.backgroundColor": "#ffffff",
        "theme.light.secondaryBackgroundColor": "#f4f5f7",
        "theme.light.textColor": "#1b1f24",
        "theme.dark.primaryColor": "#78b7ff",
        "theme.dark.backgroundColor": "#0e1117",
        "theme.dark.secondaryBackgroundColor": "#1b1f27",
        "theme.dark.textColor": "#f0f2f5",
    }


def make_app(
    explorer: Explorer, *, hosts: Hosts | None = None, pages: bool = True, host: str = "127.0.0.1", port: int = 8501
) -> App | Starlette:
    """Return the ASGI app of an explorer, and make it the one of this process.

    Args:
        explorer: what to serve.
        hosts: under which names; by default loopback's.
        pages: False leaves Streamlit out: media, verdicts and static files only. There can be one app with pages a process.
        host, port: where it is going to be bound to.
    """
    from starlette.middleware import Middleware

    from opens2v_explorer.media.routes import nothing_else
    from opens2v_explorer.media.routes import routes as media_routes
    from opens2v_explorer.verdicts.routes import routes as verdict_routes

    use(explorer)
    routes = [*media_routes(explorer), *verdict_routes(explorer), *_evaluation_routes(explorer), nothing_else()]
    hosts = hosts or Hosts()
    if not pages:
        from starlette.applications import Starlette

        return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts, token=explorer.token)])
    import streamlit
    from streamlit import config

    page = (streamlit_files() / "index.html").read_text(encoding="utf-8")
    middleware = [Middleware(Guard, hosts=hosts, token=explorer.token, page=page)]

    _look_for_no_components()
    config.get_config_options(force_reparse=True, options_from_flags=streamlit_options(host=host, port=port))
    return streamlit.App(SCRIPT, routes=routes, middleware=middleware)


def _evaluation_routes(explorer: Explorer) -> list[Route]:
    if explorer.evaluation is None:
        return []
    from opens2v_explorer.evaluation.routes import routes

    return routes(explorer.evaluation)


def _look_for_no_components() -> None:
    """Keep Streamlit from looking for components in all installed packages: our pages bring their own.

    It parses the metadata of each package several times, on the thread that answers: 0.15 s with 123 packages.
    """
    from streamlit.components.v2 import manifest_scanner

    manifest_scanner.scan_component_manifests = lambda max_workers=None: []


def make_explorer(
    catalog: OpenS2V,
    *,
    slice_path: str | os.PathLike[str] | None = None,
    remap: bool = False,
    reviewer: str | None = None,
    verdicts_path: str | os.PathLike[str] | None = None,
    pictures_dir: str | os.PathLike[str] | None = None,
    pictures_gb: float = 2.0,
    evaluation: Evaluation | None = None,
) -> Explorer:
    """Open what surrounds a catalog.

    Args:
        catalog: what is looked at.
        slice_path: a saved slice: only its clips are shown.
        remap: the slice may be of another catalog; its clips are found by part and key.
        reviewer: whose verdicts are written; by default the user's.
        verdicts_path: file of verdicts; by default `default_verdicts_path`.
        pictures_dir, pictures_gb: where pictures are kept, and how much of them; 0: none.
        evaluation: models on the benchmark, which have a page then.

    Raises:
        QueryError: no saved slice, or another catalog's.
    """
    from opens2v_explorer.media.cache import PictureCache, default_cache_folder
    from opens2v_explorer.media.reader import MediaReader
    from opens2v_explorer.verdicts.store import VerdictStore

    start_slice = None if slice_path is None else catalog.slice(slice_path, remap=remap)
    limit_bytes = int(pictures_gb * 1e9)
    cache = None if limit_bytes <= 0 else PictureCache(pictures_dir or default_cache_folder(), limit_bytes=limit_bytes)
    path = Path(verdicts_path).expanduser() if verdicts_path is not None else default_verdicts_path(catalog)
    path.parent.mkdir(parents=True, exist_ok=True)
    return Explorer(
        catalog=catalog,
        verdicts=VerdictStore(path),
        media=MediaReader(catalog, cache=cache),
        start_slice=start_slice,
        slice_name=None if slice_path is None else Path(slice_path).name,
        reviewer=reviewer or default_reviewer(),
        evaluation=evaluation,
    )


def default_verdicts_path(catalog: OpenS2V) -> Path:
    """Return where verdicts on a catalog are kept: `opens2v/verdicts` in `$XDG_DATA_HOME` or `~/.local/share`, a file a catalog.

    Its name comes from where the catalog lies and not from its content, so that verdicts outlive a new ingest.
    """
    base = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    uri = str(catalog.catalog.uri)
    name = "".join(
        letter if letter.isalnum() or letter in "-_" else "-" for letter in uri.rstrip("/").rpartition("/")[2]
    )
    return base / "opens2v" / "verdicts" / f"{name}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}.sqlite"


def serve(
    catalog: OpenS2V,
    *,
    slice_path: str | os.PathLike[str] | None = None,
    remap: bool = False,
    host: str = "127.0.0.1",
    port: int = 8501,
    allow_hosts: Iterable[str] = (),
    reviewer: str | None = None,
    verdicts_path: str | os.PathLike[str] | None = None,
    pictures_dir: str | os.PathLike[str] | None = None,
    pictures_gb: float = 2.0,
    evaluation: Evaluation | None = None,
    open_browser: bool = False,
    on_ready: Callable[[str], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> None:
    """Serve the explorer of a catalog until interrupted (SIGINT, SIGTERM); then return.

    Args:
        catalog: what is looked at.
        slice_path, remap, reviewer, verdicts_path, pictures_dir, pictures_gb, evaluation: see `make_explorer`.
        host: address to bind; only this machine can reach the default.
        port: 0 takes a free one.
        allow_hosts: further names to answer under, such as a proxy's.
        open_browser: show the address in a browser.
        on_ready: called with the address, once it can be asked; the app behind it is made then, see `front`.
        on_warning: called with what should be known of this run.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
        QueryError: no saved slice, or another catalog's.
    """
    warn = on_warning or (lambda _: None)
    if not is_loopback(host):
        warn(
            f"warning: {host} can be reached from other machines, and whoever reaches it sees this catalog and writes verdicts; "
            "there are no passwords. To look from elsewhere, an SSH tunnel to 127.0.0.1 is safer"
        )
    explorer = make_explorer(
        catalog,
        slice_path=slice_path,
        remap=remap,
        reviewer=reviewer,
        verdicts_path=verdicts_path,
        pictures_dir=pictures_dir,
        pictures_gb=pictures_gb,
        evaluation=evaluation,
    )
    listening = bound(host, port)
    port = listening.getsockname()[1]
    try:
        hosts = Hosts.of(host, allow_hosts)
        address = f"http://{_shown(host)}:{port}"

        def make() -> App:
            app = cast("App", make_app(explorer, hosts=hosts, host=host, port=port))
            threading.Thread(target=warm, args=(explorer, warn), name="opens2v-warm", daemon=True).start()
            return app

        def ready() -> None:
            if on_ready is not None:
                on_ready(address)
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        run(Front(make, hosts=hosts), listening, ready)
    finally:
        listening.close()
        explorer.verdicts.close()
        if explorer.media.cache is not None:
            explorer.media.cache.close()
        use(None)


def bound(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the port is in use, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(
            f"cannot listen on port {port} of {host}: {what}; --port 0 takes a free port, --port N another one"
        ) from error


def run(app: Front, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Run uvicorn on a socket until a signal ends it, or the app that stands behind cannot be made; raise why."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_ready()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Answers that are cut off now are no errors.
            logging.getLogger("uvicorn.error").disabled = True
            super().handle_exit(sig, frame)

    settings = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws_ping_interval=30,
        ws_ping_timeout=30,
        timeout_graceful_shutdown=STOP_SECONDS,
        use_colors=False,
    )
    # Not `asyncio.run`, which in the end waits for threads of requests that nobody waits for any more.
    factory = settings.get_loop_factory()
    loop = asyncio.new_event_loop() if factory is None else factory()
    server = Server(settings)

    def end() -> None:
        logging.getLogger("uvicorn.error").disabled = True  # the reason is raised below, once
        server.should_exit = True

    app.on_failure = end
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises again what ended it
        loop.run_until_complete(server.serve(sockets=[listening]))
    if app.failure is not None:
        raise app.failure


def leave(code: int = 0) -> NoReturn:
    """End this process now, after `serve`, as Ctrl-C is meant.

    Threads may be in the middle of a question to DuckDB or of a read from a server. Python would wait for some of them, and
    stop the others inside C++, which aborts (SIGABRT, seen while a catalog of 5 M clips was being loaded).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
