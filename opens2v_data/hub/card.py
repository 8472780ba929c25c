"""The card of a published catalog: `dataset_card.md` with front matter and figures from the catalog itself.

The template is a card with `{{names}}` in it. What is true of every catalog stands there, in its front matter too; what
differs is put in from `Figures`: what the manifest says, and what questions of `sql/questions` answer. `opens2v card` renders it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData

from opens2v_data.archive.addresses import SCHEME, HubAddress
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.manifest import Source
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.query import Query
from opens2v_data.query.questions import question

CARD_FILE = "README.md"
PREVIEW_CONFIG = "preview"
PREVIEW_FILES = "preview/*.parquet"
TEMPLATE = "dataset_card.md"

MAX_CLASSES = 20
MAX_SIZES = 6
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
SCORES = ("aesthetic", "motion", "tech")
_SIZES = ((1_000, "K"), (1_000_000, "M"), (1_000_000_000, "B"), (1_000_000_000_000, "T"))
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a card says of a catalog in numbers.

    Attributes:
        digest: of the catalog.
        num_rows: rows per table.
        table_bytes: size of each table; mask_bytes: of the mask blobs.
        num_clips_with_video: clips whose video is in the release.
        video_bytes: size of all video files of the release.
        seconds: length of all clips whose cut and frame rate are recorded.
        num_masks: masks of all clips.
        quantiles: `QUANTILES` of each of `SCORES` that any clip has.
        num_scored: how many clips have that score.
        frame_sizes: (width, height, clips), the most frequent first, at most `MAX_SIZES`.
        parts: (part, clips), in order of name.
        classes: (class, subjects, clips), the most frequent first, at most `MAX_CLASSES`.
        num_records, num_quarantined: records of the release's JSON, and those that gave no clip.
        quarantine: such records by reason.
        quirks: clips by oddity.
    """

    digest: str
    num_rows: dict[str, int]
    table_bytes: dict[str, int]
    mask_bytes: int
    num_clips_with_video: int
    video_bytes: int
    seconds: float
    num_masks: int
    quantiles: dict[str, tuple[float, ...]]
    num_scored: dict[str, int]
    frame_sizes: tuple[tuple[int, int, int], ...]
    parts: tuple[tuple[str, int], ...]
    classes: tuple[tuple[str, int, int], ...]
    num_records: int
    num_quarantined: int
    quarantine: dict[str, int]
    quirks: dict[str, int]


def count_figures(catalog: Catalog) -> Figures:
    """Count a catalog's figures by questions of `sql/questions`; what the manifest says is taken from there.

    Raises:
        CatalogDamagedError: a table cannot be read.
        ArchiveError: a server does not give it.
    """
    with closing(Query(catalog)) as query:
        return _count_figures(catalog, lambda name, **values: _answer(query, name, values))


def _count_figures(catalog: Catalog, ask: Callable[..., list[dict[str, Any]]]) -> Figures:
    manifest = catalog.manifest
    (totals,) = ask("report-totals")
    scores = {score: ask("report-score-quantiles", score=score)[0] for score in SCORES}
    return Figures(
        digest=manifest.digest,
        num_rows={name: file.rows for name, file in manifest.tables.items()},
        table_bytes={name: file.size_bytes for name, file in manifest.tables.items()},
        mask_bytes=sum(file.size_bytes for file in manifest.files if file.path.startswith("masks/")),
        num_clips_with_video=totals["num_clips_with_video"],
        video_bytes=ask("report-video-files")[0]["size_bytes"],
        seconds=totals["seconds"] or 0.0,
        num_masks=totals["num_masks"],
        quantiles={
            score: tuple(row[f"p{round(q * 100)}"] for q in QUANTILES)
            for score, row in scores.items()
            if row["num_clips"]
        },
        num_scored={score: row["num_clips"] for score, row in scores.items()},
        frame_sizes=tuple(
            (row["width"], row["height"], row["num_clips"]) for row in ask("report-sizes", most=MAX_SIZES)
        ),
        parts=tuple((row["part"], row["num_clips"]) for row in ask("parts")),
        classes=tuple(
            (row["class_name"], row["num_subjects"], row["num_clips"]) for row in ask("top-classes", most=MAX_CLASSES)
        ),
        num_records=manifest.report["records"],
        num_quarantined=manifest.report["quarantined"],
        quarantine=_most_first(manifest.report["quarantined_by_reason"]),
        quirks={row["quirk"]: row["num_clips"] for row in ask("quirks")},
    )


def _answer(query: Query, name: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    asked = question(name)
    return query.ask(asked.text, asked.bind(values)).to_pylist()


def make_card(figures: Figures, *, source: Source, repo_id: str, has_preview: bool, template: str | None = None) -> str:
    """Return the card's text: front matter for the Hub, then Markdown.

    Args:
        figures: of the catalog.
        source: what the published manifest says of the release.
        repo_id: where the catalog goes, `owner/name`.
        has_preview: whether `preview/*.parquet` goes there too.
        template: text with `{{names}}`; by default the project's `dataset_card.md`.

    Raises:
        ValueError: the template names something that there is no text for.
    """
    card = DatasetCard(read_template() if template is None else template)
    front = _front_matter(card.data.to_dict(), figures, has_preview=has_preview)
    texts = _texts(figures, source, repo_id, has_preview)

    def text_of(match: re.Match[str]) -> str:
        if match[1] not in texts:
            raise ValueError(f"the template has {match[0]}; what can stand there: {', '.join(sorted(texts))}")
        return texts[match[1]]

    # The class drops keys that are empty and keeps the order given.
    data = DatasetCardData(**front).to_yaml(line_break="\n")
    return f"---\n{data.strip()}\n---\n{_PLACE.sub(text_of, card.text).rstrip()}\n"


def read_template() -> str:
    """Return the template: package data of an installed wheel, the checkout's file otherwise."""
    package = Path(__file__).parents[1]
    packaged = package / TEMPLATE
    return (packaged if packaged.is_file() else package.parent / TEMPLATE).read_text(encoding="utf-8")


def configs(num_rows: Mapping[str, int], *, has_preview: bool) -> list[dict[str, Any]]:
    """Return the viewer's configs: the preview where there is one, then every table that has rows.

    `datasets` 5.2 refuses a split without rows, and the viewer shows an error for it: a table without rows has no config.
    """
    made: list[dict[str, Any]] = [{"config_name": PREVIEW_CONFIG, "data_files": PREVIEW_FILES}] if has_preview else []
    made += ({"config_name": name, "data_files": f"{name}.parquet"} for name in TABLES if num_rows.get(name))
    return [{**config, "default": True} if index == 0 else config for index, config in enumerate(made)]


def size_category(num_rows: int) -> str:
    """Return the Hub's name for a number of rows, for example `1M<n<10M`."""
    if num_rows < 1_000:
        return "n<1K"
    if num_rows >= 10**12:
        return "n>1T"
    low = 10 ** (len(str(num_rows)) - 1)
    return f"{_short(low)}<n<{_short(10 * low)}"


def _short(number: int) -> str:
    unit, letter = next(pair for pair in reversed(_SIZES) if number >= pair[0])
    return f"{number // unit}{letter}"


def _front_matter(front: dict[str, Any], figures: Figures, *, has_preview: bool) -> dict[str, Any]:
    front["size_categories"] = [size_category(figures.num_rows["clips"])]
    front["configs"] = configs(figures.num_rows, has_preview=has_preview)
    return front


def _texts(figures: Figures, source: Source, repo_id: str, has_preview: bool) -> dict[str, str]:
    return {
        "repo_id": repo_id,
        "digest": figures.digest,
        "source": _source_text(source),
        "bytes": _bytes_text(source),
        "preview": _preview_text(has_preview),
        "figures": _figures_table(figures),
        "scores": _scores_table(figures),
        "parts": _table(("part", "clips"), figures.parts),
        "sizes": _table(
            ("decoded frame", "clips"), [(f"{width}x{height}", count) for width, height, count in figures.frame_sizes]
        ),
        "classes": _table(("class", "subjects", "clips"), figures.classes),
        "tables": _tables_table(figures),
        "quarantine": _table(("reason", "records"), figures.quarantine.items())
        if figures.quarantine
        else "No record was left out.",
        "quirk_counts": _table(("quirk", "clips"), figures.quirks.items())
        if figures.quirks
        else "No clip of this catalog has one.",
    }


def _source_text(source: Source) -> str:
    if source.uri.startswith(SCHEME):
        address = HubAddress.parse(source.uri)
        revision = source.revision or address.revision
        link = f"https://huggingface.co/datasets/{address.repo_id}"
        if revision:
            return f"commit [`{revision}`]({link}/tree/{revision}) of [{address.repo_id}]({link})"
        return f"[{address.repo_id}]({link}), at no recorded commit"
    return "a copy of it on disk, at no recorded commit"


def _bytes_text(source: Source) -> str:
    if source.uri.startswith(SCHEME):
        return (
            "Clips, views and plates are read by byte range out of that release on the Hub; with a copy of the release on disk, "
            "name it with `OPENS2V_RELEASE`."
        )
    return (
        "**The manifest names no release on the Hub**, so clips, views and plates can be read only with a copy of the release "
        "it was made from: name its folder with `OPENS2V_RELEASE`. Tables, captions and masks need none."
    )


def _preview_text(has_preview: bool) -> str:
    if not has_preview:
        return "This copy was published without a preview."
    return (
        f"The config `{PREVIEW_CONFIG}` has a few clips whole: the mp4, its annotated frame with every subject outlined, and the "
        "cut-outs, some with GPT-Image-1 views and some with the same subject in another clip. It is there to look at, not "
        "to train on."
    )


def _figures_table(figures: Figures) -> str:
    rows = figures.num_rows
    counts: list[tuple[str, object]] = [
        ("clips", rows["clips"]),
        ("clips whose video is in the release", figures.num_clips_with_video),
        ("length of the clips whose cut and frame rate are recorded", _time_text(figures.seconds)),
        ("video files of the release", f"{rows['members']:,} ({_size_text(figures.video_bytes)})"),
        ("subjects", rows["subjects"]),
        ("masks", figures.num_masks),
        ("classes", rows["classes"]),
        ("cross-video pairs", rows["pairs"]),
        ("GPT-Image-1 views", rows["views"]),
        ("background plates", rows["backgrounds"]),
        ("records read", figures.num_records),
        ("records left out, see below", figures.num_quarantined),
        ("size of the tables", _size_text(sum(figures.table_bytes.values()))),
        ("size of the mask blobs", _size_text(figures.mask_bytes)),
    ]
    return _table(("what", "how many"), counts)


def _scores_table(figures: Figures) -> str:
    header = ("score", "clips with it", *(f"{round(q * 100)}%" for q in QUANTILES))
    found = [
        (name, figures.num_scored[name], *(f"{value:.3g}" for value in values))
        for name, values in figures.quantiles.items()
    ]
    return _table(header, found) if found else "No clip has a score."


def _tables_table(figures: Figures) -> str:
    rows = [
        (f"`{name}.parquet`", schema.doc, figures.num_rows[name], _size_text(figures.table_bytes[name]))
        for name, schema in TABLES.items()
        if name in figures.num_rows
    ]
    return _table(("file", "rows", "how many", "size"), rows, plain_first=False)


def _table(header: Sequence[str], rows: Any, *, plain_first: bool = True) -> str:
    """Return a Markdown table, numbers to the right; its first column is text of the release, unless said otherwise."""
    cells = [list(row) for row in rows]
    is_number = [bool(cells) and all(isinstance(row[at], int) for row in cells) for at in range(len(header))]
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join('---:' if number else '---' for number in is_number)}|"]
    for row in cells:
        first = _plain(row[0]) if plain_first else row[0]
        rest = [f"{value:,}" if isinstance(value, int) else str(value) for value in row[1:]]
        lines.append(f"| {' | '.join([first, *rest])} |")
    return "\n".join(lines)


def _plain(text: str, *, max_length: int = 80) -> str:
    """Return text of the release so that Markdown shows it as it is, on one line."""
    line = " ".join(text.split())
    if len(line) > max_length:
        line = line[: max_length - 1] + "…"
    return re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", escape(line, quote=False))


def _size_text(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _time_text(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds:.1f} s"


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
