"""`opens2v verdicts`: what reviewers decided in the explorer, how far they agree, and files of it for other commands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.output import add_output_arguments, note, output_file, print_json, print_table

if TYPE_CHECKING:
    from opens2v_explorer.verdicts.agreement import Agreement
    from opens2v_explorer.verdicts.store import VerdictStore

NAME = "verdicts"
HELP = "count what reviewers decided in the explorer, measure their agreement, and export it"
DETAILS = (
    " A file written with --export is a saved slice (.parquet; needs --of), the clips' keys (.txt, a line each), or the events"
    " themselves (.jsonl). stream, fetch, export and others take a saved slice with --slice, ClipLoader as"
    " `catalog.slice(FILE)` or exclude=`catalog.slice(FILE).ids()`."
)
EXAMPLE = "opens2v verdicts verdicts.sqlite --export kept.slice.parquet --verdict keep --of ./opens2v-5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", help="the file that `opens2v explore --verdicts FILE` writes; Review shows where it is")
    parser.add_argument("--kind", choices=("clip", "subject", "pair", "view"), help="verdicts on these (default: all)")
    parser.add_argument(
        "--agreement",
        action="store_true",
        help="print Cohen's kappa of each two reviewers and Krippendorff's alpha of all",
    )
    group = parser.add_argument_group("export")
    group.add_argument(
        "--export", type=output_file, metavar="FILE", help="write them there: .slice.parquet, .txt or .jsonl"
    )
    group.add_argument(
        "--verdict", metavar="WORD", help="targets with this verdict: keep, drop, flag; same, different, …"
    )
    group.add_argument(
        "--by",
        choices=("all", "any"),
        default="all",
        help="all who judged a target say so, or any of them does (default: all)",
    )
    group.add_argument("--who", metavar="NAME", help="verdicts of this reviewer alone")
    group.add_argument("--of", metavar="CATALOG", help="whose clips a saved slice names")
    add_output_arguments(parser, with_json="print counts, agreement and file as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_explorer.verdicts.store import VerdictStore

    _check(arguments)
    with VerdictStore(arguments.file, read_only=True) as store:
        tallies = [tally for tally in store.tallies() if arguments.kind in (None, tally.kind)]
        told: dict[str, Any] = {"num_events": store.count(arguments.kind)}
        told["verdicts"] = [
            {"who": one.who, "kind": one.kind, "round": one.round, "verdict": one.verdict, "count": one.count}
            for one in tallies
        ]
        if arguments.agreement:
            told["agreement"] = _agreement(store, arguments.kind)
        if arguments.export is not None:
            told["export"] = _export(store, arguments)
    if arguments.json:
        print_json(told)
        return 0
    if arguments.agreement:
        _print_agreement(told["agreement"])
    elif arguments.export is None:
        print_table(
            [list(row.values()) for row in told["verdicts"]], header=("who", "kind", "round", "verdict", "targets")
        )
    if not arguments.quiet:
        _note(arguments, told)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ValueError: they do not.
    """
    from opens2v_explorer.verdicts.events import VERDICTS

    if arguments.export is None:
        if asked := [name for name in ("verdict", "who", "of") if getattr(arguments, name) is not None]:
            raise ValueError(f"--{asked[0]} chooses what --export writes; give --export FILE")
        return
    suffix = Path(arguments.export).suffix
    if suffix not in (".parquet", ".txt", ".jsonl"):
        raise ValueError(
            f"expected --export FILE with .slice.parquet, .txt or .jsonl at its end, got {arguments.export}"
        )
    if suffix == ".parquet" and arguments.of is None:
        raise ValueError("a saved slice is of a catalog: give --of CATALOG")
    known = VERDICTS[arguments.kind or "clip"]
    if suffix == ".jsonl" and (arguments.verdict or arguments.who):
        raise ValueError(
            "a .jsonl holds all events, undone ones too; --verdict and --who choose for .slice.parquet and .txt"
        )
    if suffix != ".jsonl" and arguments.verdict not in known:
        raise ValueError(f"expected --verdict, one of {', '.join(known)}, got {arguments.verdict}")


def _agreement(store: VerdictStore, kind: str | None) -> list[dict[str, Any]]:
    from opens2v_explorer.verdicts.agreement import all_kappas, krippendorffs_alpha, ratings_of
    from opens2v_explorer.verdicts.targets import KINDS

    found = []
    for one in KINDS:
        ratings = ratings_of(store.current(one)) if kind in (None, one) else {}
        if ratings:
            found.append(_measure("alpha", one, krippendorffs_alpha(ratings)))
            found += [_measure("kappa", one, kappa) for kappa in all_kappas(ratings)]
    return found


def _measure(name: str, kind: str, one: Agreement) -> dict[str, Any]:
    return {
        "kind": kind,
        "measure": name,
        "reviewers": list(one.reviewers),
        "value": one.value,
        "observed": one.observed,
        "expected": one.expected,
        "num_targets": one.num_targets,
    }


def _print_agreement(rows: list[dict[str, Any]]) -> None:
    header = ("kind", "measure", "reviewers", "value", "observed", "by chance", "targets")
    print_table(
        [
            (
                row["kind"],
                row["measure"],
                ", ".join(row["reviewers"]) or "-",
                *("-" if row[name] is None else f"{row[name]:.3f}" for name in ("value", "observed", "expected")),
                row["num_targets"],
            )
            for row in rows
        ],
        header=header,
    )


def _export(store: VerdictStore, arguments: argparse.Namespace) -> dict[str, Any]:
    from opens2v_explorer.verdicts.exporting import chosen_targets, clip_keys, event_lines, key_lines, save_slice

    path = Path(arguments.export)
    if path.suffix == ".jsonl":
        lines = list(event_lines(store, kind=arguments.kind))
        _write(path, "".join(lines))
        return {"file": str(path), "num_events": len(lines)}
    kind = arguments.kind or "clip"
    keys = clip_keys(kind, chosen_targets(store, kind, arguments.verdict, by=arguments.by, who=arguments.who))
    if path.suffix == ".txt":
        _write(path, key_lines(keys))
        return {"file": str(path), "num_clips": len(keys), "num_unknown": None}
    import opens2v_data

    written = save_slice(opens2v_data.open(arguments.of), keys, path)
    return {"file": str(path), "num_clips": written.num_clips, "num_unknown": written.num_unknown}


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _note(arguments: argparse.Namespace, told: dict[str, Any]) -> None:
    if arguments.export is None:
        note(f"{told['num_events']:,} events in {arguments.file}")
        return
    export = told["export"]
    if "num_events" in export:
        note(f"{export['num_events']:,} events in {export['file']}")
        return
    unknown = f"; {export['num_unknown']:,} more are not in {arguments.of}" if export["num_unknown"] else ""
    note(f"{export['num_clips']:,} clips in {export['file']}{unknown}")
