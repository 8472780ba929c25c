"""`opens2v cache`: what clips are kept on this machine."""

from __future__ import annotations

import argparse
import time

from opens2v_data.cli.output import add_output_arguments, note, print_json, size_text

NAME = "cache"
HELP = "show or empty the cache of fetched clips"
DETAILS = (
    " It is off unless a command that reads clips is given --cache-gb. It lies in $OPENS2V_CACHE, or"
    " ~/.cache/opens2v/clips."
)
EXAMPLE = "opens2v cache info"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("what", choices=("info", "clear"), help="show what is kept, or remove it")
    parser.add_argument("--folder", metavar="PATH", help="another cache than the default")
    add_output_arguments(parser, with_json="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.archive.cache import ClipCache, is_cache

    if arguments.folder is not None and not is_cache(arguments.folder):
        raise ValueError(
            f"expected a cache of clips at {arguments.folder}, found none; --cache-gb begins one in $OPENS2V_CACHE"
        )
    cache = ClipCache(arguments.folder)
    info = cache.clear() if arguments.what == "clear" else cache.info()
    if arguments.json:
        print_json(
            {
                "folder": str(info.root),
                "clips": info.num_files,
                "bytes": info.size_bytes,
                "limit_bytes": info.limit_bytes,
                "oldest_used_at": info.oldest_used_at,
                "cleared": arguments.what == "clear",
            }
        )
        return 0
    if arguments.what == "clear":
        if not arguments.quiet:
            note(f"removed {info.num_files:,} clips, {size_text(info.size_bytes)}, from {info.root}")
        return 0
    print(f"folder   {info.root}")
    print(f"clips    {info.num_files:,}, {size_text(info.size_bytes)}")
    print(f"limit    {'none set yet: give --cache-gb' if not info.limit_bytes else size_text(info.limit_bytes)}")
    if info.oldest_used_at is not None:
        print(f"oldest   last used {time.strftime('%Y-%m-%d %H:%M', time.localtime(info.oldest_used_at))}")
    return 0
