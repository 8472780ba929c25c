"""The page of a report: `page.html` with numbers, plots and tables put in. Text of the release is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePath
from string import Template

from opens2v_data.archive.addresses import is_remote
from opens2v_data.report.figures import CATEGORY, MAX_SUBJECTS, ReportFigures
from opens2v_data.report.plots import Plot, bars, columns, histogram
from opens2v_data.version import __version__

TEMPLATE = Path(__file__).with_name("page.html")

_CLIP_VALUES = {
    "aesthetic": ("Aesthetic score", "score", "Upstream's LAION score of the clip."),
    "foreground_aesthetic": ("Aesthetic score of the foreground", "score", "Upstream's foreground_ase_score."),
    "background_aesthetic": ("Aesthetic score of the background", "score", "Upstream's background_ase_score."),
    "motion": ("Motion", "score", "Upstream's optical-flow score."),
    "tech": ("Technical quality", "score", "Upstream's tech score."),
    "duration_seconds": (
        "Length of clips",
        "seconds",
        "Of the range with a person in view where there is one, else of the cut.",
    ),
    "aspect_ratio": ("Width by height", "ratio", "After the crop."),
}
_SUBJECT_VALUES = {
    "gme_score": ("How well cut-outs fit their class", "cosine", "GME similarity of class name and cut-out."),
    "aes_score": ("Aesthetic score of cut-outs", "score", "LAION score of the cut-out."),
}
_PAIR_VALUES = {
    "image_similarity": ("Likeness of partners' cut-outs", "Near 1 both show the same picture."),
    "text_similarity": ("Likeness of partners' class names", "1: the same name."),
}


def make_plots(figures: ReportFigures) -> list[Plot]:
    """Draw what there is; a column that no clip has gives no plot."""
    made = [
        histogram(column, title, figures.values[column], unit=unit, counted="clips", note=note)
        for column, (title, unit, note) in _CLIP_VALUES.items()
        if column in figures.values
    ]
    for name, title, counts, what, note in (
        ("sizes", "Decoded frames", figures.sizes, "pixels", "The most frequent sizes, before the crop."),
        ("frame_rates", "Frame rates", figures.frame_rates, "frames a second", "The most frequent, to two decimals."),
        ("parts", "Parts of the release", figures.parts, "part", "Clips of each."),
        ("categories", *_categories(figures)),
        ("classes", "Classes of subjects", figures.classes, "class", "The most frequent, by subjects."),
    ):
        if counts:
            counted = "subjects" if name == "classes" else "clips"
            made.append(bars(name, title, counts, what=what, counted=counted, note=note))
    if figures.subject_counts:
        note = f"Clips with more than {MAX_SUBJECTS} count at {MAX_SUBJECTS}."
        made.append(
            columns(
                "subjects", "Subjects of a clip", figures.subject_counts, unit="subjects", counted="clips", note=note
            )
        )
    for column, (title, unit, note) in _SUBJECT_VALUES.items():
        if column in figures.subject_values:
            found = figures.subject_values[column]
            made.append(histogram(column, title, found, unit=unit, counted="subjects", note=note))
    for column, (title, note) in _PAIR_VALUES.items():
        if column in figures.pairs:
            made.append(histogram(column, title, figures.pairs[column], unit="cosine", counted="pairs", note=note))
    return made


def _categories(figures: ReportFigures) -> tuple[str, tuple[tuple[str, int], ...], str, str]:
    if figures.categories_by == CATEGORY:
        return "Categories", figures.categories, "category", "What clips show, by the definition in sql/category.sql."
    return (
        "Upstream's tags",
        figures.categories,
        "tag",
        f"Entries of clips.{figures.categories_by}; a clip can have several.",
    )


_SECTIONS = {
    "What clips show": ("categories", "classes", "subjects", "gme_score", "aes_score"),
    "Scores": ("aesthetic", "motion", "foreground_aesthetic", "background_aesthetic", "tech"),
    "Length and shape": ("duration_seconds", "aspect_ratio", "sizes", "frame_rates", "parts"),
    "Cross-video pairs": ("image_similarity", "text_similarity"),
}


def make_page(figures: ReportFigures, plots: Sequence[Plot]) -> str:
    """Return the page."""
    by_name = {plot.name: plot for plot in plots}
    sections = [
        _section(title, "".join(_figure(by_name[name]) for name in names if name in by_name), css="plots")
        for title, names in _SECTIONS.items()
        if any(name in by_name for name in names)
    ]
    quirks = _table(("oddity", "clips"), figures.quirks) if figures.quirks else "<p>No clip has one.</p>"
    sections.append(_section("Oddities in upstream's records, kept as they are", quirks, css="card"))
    if figures.num_records is not None:
        left_out = sum(count for _, count in figures.quarantine)
        told = f"<p>{figures.num_records:,} records were read, {left_out:,} gave no clip.</p>"
        table = _table(("reason", "records"), figures.quarantine) if figures.quarantine else ""
        sections.append(_section("Records left out", told + table, css="card"))
    place = figures.uri if is_remote(figures.uri) else PurePath(figures.uri).name
    where = ""
    if figures.where is not None:
        where = f'<p class="where">Only clips where <code>{escape(_cut(figures.where))}</code></p>'
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title="OpenS2V-5M catalog" if figures.where is None else "OpenS2V-5M catalog: some clips",
        place=f"<code>{escape(place)}</code>",
        digest=escape(figures.digest),
        version=escape(__version__),
        where=where,
        totals="\n".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in _totals(figures)
        ),
        sections="\n".join(sections),
    )


def _totals(figures: ReportFigures) -> list[tuple[str, str]]:
    totals = figures.totals
    names = {
        "num_clips": "clips",
        "num_clips_with_video": "with their video in the release",
        "num_source_videos": "source videos",
        "num_subjects": "subjects",
        "num_masks": "masks",
        "num_pairs": "cross-video pairs",
        "num_views": "GPT-Image-1 views",
    }
    return [(name, f"{totals[key]:,}") for key, name in names.items()] + [
        ("length in all", _time_text(totals["seconds"] or 0.0))
    ]


def _time_text(seconds: float) -> str:
    if seconds >= 36_000:
        return f"{seconds / 3600:,.0f} h"
    return f"{seconds / 60:,.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _section(title: str, body: str, *, css: str) -> str:
    return f'<h2>{escape(title)}</h2>\n<div class="{css}">{body}</div>'


def _figure(plot: Plot) -> str:
    numbers = f'<details><summary>numbers</summary><div class="scroll">{_table(plot.header, plot.rows)}</div></details>'
    return f"<figure>{plot.inline()}<figcaption>{escape(plot.note)}</figcaption>{numbers}</figure>\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(tag: str, value: object, at: int) -> str:
        text = f"{value:,}" if isinstance(value, int) else str(value)
        kind = ' class="number"' if at else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    def line(tag: str, values: Sequence[object]) -> str:
        return f"<tr>{''.join(cell(tag, value, at) for at, value in enumerate(values))}</tr>"

    return (
        f"<table><thead>{line('th', header)}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"
    )


def _cut(text: str, *, max_length: int = 2_000) -> str:
    return text if len(text) <= max_length else f"{text[:max_length]}… ({len(text):,} characters)"
