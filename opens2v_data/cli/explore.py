"""`opens2v explore`: a catalog's clips in a browser, to look at and to judge."""

from __future__ import annotations

import argparse
import ctypes
import gc
from contextlib import suppress

from opens2v_data.cli.evaluated import add_model_arguments, evaluation_of
from opens2v_data.cli.output import add_cache_argument, add_catalog_argument, gigabytes, note, open_cache

NAME = "explore"
HELP = "look at clips, subjects, pairs and views in a browser, and judge them (extra: explorer)"
DETAILS = (
    " Serves pages on this machine until Ctrl-C; nothing leaves it. Bytes come from where the release lies, a folder or the Hub,"
    " and only for what is shown. Verdicts are kept in a file of their own and never change the catalog."
)
EXAMPLE = "opens2v explore ./opens2v-5m --slice s.parquet"

_M_ARENA_MAX = -8  # malloc.h


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("--slice", metavar="FILE", help="only the clips of a slice that `opens2v slice -o FILE` saved")
    parser.add_argument(
        "--remap", action="store_true", help="the slice may be of another catalog: find its clips by part and key"
    )
    parser.add_argument(
        "--release",
        metavar="PATH",
        help="where the release lies now, a folder or hf://…, when not where it was at ingest",
    )
    serving = parser.add_argument_group("serving")
    serving.add_argument(
        "--port", type=_port, default=8501, metavar="N", help="port to listen on; 0 takes a free one (default: 8501)"
    )
    serving.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; others than the default can be reached from other machines, without a password "
        "(default: 127.0.0.1)",
    )
    serving.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer under this name too, such as a proxy's; several times",
    )
    serving.add_argument("--no-browser", action="store_true", help="do not open a browser")
    keeping = parser.add_argument_group("keeping")
    add_cache_argument(keeping)
    keeping.add_argument(
        "--pictures-gb",
        type=gigabytes,
        default=2.0,
        metavar="GB",
        help="keep pictures that were made on this machine, at most so many GB (default: 2; 0: none)",
    )
    judging = parser.add_argument_group("judging")
    judging.add_argument(
        "--verdicts",
        metavar="FILE",
        help="file of verdicts (default: one per catalog in ~/.local/share/opens2v/verdicts)",
    )
    judging.add_argument("--reviewer", metavar="NAME", help="whose verdicts are written (default: the user's name)")
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    _take_few_arenas()
    # What is imported is no garbage: to look for some takes 0.1 of the 0.4 s until the first page can be asked for.
    gc.disable()
    try:
        _serve(arguments)
    finally:
        gc.enable()
    from opens2v_explorer.serving import leave

    leave(0)


def _take_few_arenas() -> None:
    """Let glibc's allocator share two arenas among all threads, before there are any.

    With one a thread, what decoding leaves free in one is of no use to the others: 971 and 1,022 MB were resident after 200 clips
    of 5 M, with two 865 and 882 (benchmarks/explorer.py), at the same speed. Other C libraries have no such setting.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _serve(arguments: argparse.Namespace) -> None:
    import opens2v_data
    from opens2v_data.errors import MissingExtraError

    try:
        import opens2v_explorer.serving as serving
    except ImportError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise MissingExtraError(package="streamlit", extra="explorer", needed_for="the explorer") from error
    dataset = opens2v_data.open(arguments.catalog, release=arguments.release, cache=open_cache(arguments))
    serving.serve(
        dataset,
        slice_path=arguments.slice,
        remap=arguments.remap,
        host=arguments.host,
        port=arguments.port,
        allow_hosts=arguments.allow_host,
        reviewer=arguments.reviewer,
        verdicts_path=arguments.verdicts,
        pictures_gb=arguments.pictures_gb,
        evaluation=evaluation_of(arguments),
        open_browser=not arguments.no_browser,
        on_ready=lambda address: note(f"{dataset.catalog.uri} is at {address} (Ctrl-C ends it)"),
        on_warning=note,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text}")
    return port
