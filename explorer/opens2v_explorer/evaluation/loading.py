"""What is there to show of the benchmark? Read once, at the start: prompts, models' videos and figures, a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opens2v_eval import Board, Prompts

Domain = Literal["open", "human", "single"]
Version = Literal["1.0", "1.1"]
Mode = Literal["published", "corrected"]

DOMAINS: tuple[Domain, ...] = ("open", "human", "single")
MODES: tuple[Mode, ...] = ("published", "corrected")


@dataclass(frozen=True, kw_only=True)
class ModelFolders:
    """Where a model's files lie.

    Attributes:
        videos: a folder of `<key>.mp4`; None: there are none to show.
        scores: a folder of score files; None: it was not scored.
    """

    videos: Path | None = None
    scores: Path | None = None

    def __post_init__(self) -> None:
        if self.videos is None and self.scores is None:
            raise ValueError("a model needs a folder of videos, of scores, or both; got neither")


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """A row of a leaderboard: percent, None where there is no number; `agrees`: its total is that of its columns."""

    name: str
    total: float | None
    values: Mapping[str, float | None]
    agrees: bool


@dataclass(frozen=True, kw_only=True)
class BoardTable:
    """A leaderboard.

    Attributes:
        source: its file.
        metrics: its columns.
        rows: best first.
        is_comparable: of the domain and version that the models' figures are of.
    """

    source: str
    metrics: tuple[str, ...]
    rows: tuple[BoardRow, ...]
    is_comparable: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the page shows, and the files that its addresses name.

    Attributes:
        source: of the prompts.
        domain, version: what figures are of.
        names: of the models, in the order given; a model's number is its place here.
        scored: those that have scores.
        figures: `opens2v_eval.board_data` of each mode.
        videos: file by key, of each model by number.
        references: files of a prompt's reference images, None where one is not on disk.
        domain_keys: keys of each domain that has some of the prompts and not all.
        notes: what is to be known of a model's files, in words.
        board: None where none was given.
    """

    source: str
    domain: Domain
    version: Version
    names: tuple[str, ...]
    scored: frozenset[str]
    figures: Mapping[Mode, Mapping[str, Any]] = field(repr=False)
    videos: tuple[Mapping[str, Path], ...] = field(repr=False)
    references: Mapping[str, tuple[Path | None, ...]] = field(repr=False)
    domain_keys: Mapping[str, frozenset[str]] = field(repr=False)
    notes: Mapping[str, tuple[str, ...]] = field(repr=False)
    board: BoardTable | None = None

    def __len__(self) -> int:
        return len(self.references)


def load_evaluation(
    models: Mapping[str, ModelFolders],
    *,
    prompts: str | Path,
    domain: Domain = "open",
    images: str | Path | None = None,
    check: bool = True,
    version: Version = "1.1",
    board: str | Path | None = None,
) -> Evaluation:
    """Read what the page shows.

    Args:
        models: by the name to show.
        prompts, domain, images, check: see `opens2v_eval.load_prompts`.
        version: whose weights.
        board: a leaderboard in upstream's CSV form.

    Raises:
        EvaluationError: prompts, scores, a folder of videos or the leaderboard are not there, or not as they should be.
        ValueError: no model.
    """
    import opens2v_eval

    if not models:
        raise ValueError("expected one model or more, got none")
    loaded = opens2v_eval.load_prompts(prompts, domain=domain, images=images, check=check)
    videos: dict[str, Mapping[str, Path]] = {}
    notes: dict[str, tuple[str, ...]] = {}
    given: dict[str, opens2v_eval.Model] = {}
    for name, folders in models.items():
        videos[name], about_videos = _videos(folders.videos, loaded)
        if folders.scores is None:
            scores = opens2v_eval.Scores(folder=Path(), rows={}, values={})
        else:
            scores = opens2v_eval.read_scores(folders.scores, keys=loaded.keys)
        given[name] = opens2v_eval.Model(scores=scores, videos=folders.videos)
        notes[name] = (*about_videos, *map(str, scores.notes))
    figures: dict[Mode, Mapping[str, Any]] = {
        mode: opens2v_eval.board_data(loaded, given, version=version, mode=mode) for mode in MODES
    }
    there = frozenset(loaded.keys)
    domains = {one: frozenset(opens2v_eval.domain_keys(one)) for one in DOMAINS}
    return Evaluation(
        source=str(prompts),
        domain=domain,
        version=version,
        names=tuple(models),
        scored=frozenset(name for name, folders in models.items() if folders.scores is not None),
        figures=figures,
        videos=tuple(videos[name] for name in models),
        references={one.key: tuple(path if path.is_file() else None for path in one.image_paths) for one in loaded},
        domain_keys={one: keys for one, keys in domains.items() if there & keys and not keys >= there},
        notes=notes,
        board=None if board is None else _board(opens2v_eval.read_board(board), domain, version),
    )


def _videos(folder: Path | None, prompts: Prompts) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return a model's videos by key, and what is to be said of its folder."""
    import opens2v_eval

    if folder is None:
        return {}, ("It was given without a folder of videos.",)
    # Not opened here: that takes 0.1 s each, and a video that cannot be decoded says so where it is shown.
    found = opens2v_eval.check_videos(folder, prompts, probe=False)
    files = found.found | {one.key: one.path for one in found.unreadable}
    said = [f"{found.folder}: {len(files)} of {len(prompts)} prompts have a video"]
    if found.extra:
        names = ", ".join(path.name for path in found.extra[:3])
        said.append(
            f"{found.folder}: {len(found.extra)} files are of no prompt ({names}{', …' if len(found.extra) > 3 else ''})"
        )
    said += [f"{one.path.name}: {one.reason}" for one in found.unreadable]
    return files, tuple(said)


def _board(board: Board, domain: Domain, version: Version) -> BoardTable:
    import opens2v_eval

    agreeing = {check.name: check.agrees for check in opens2v_eval.check_board(board)}
    rows = tuple(
        BoardRow(name=row.name, total=row.total, values={**row.values}, agrees=agreeing[row.name])
        for row in board.ranked()
    )
    is_comparable = board.version == version and board.is_human == (domain == "human")
    return BoardTable(source=board.source, metrics=board.metrics, rows=rows, is_comparable=is_comparable)
