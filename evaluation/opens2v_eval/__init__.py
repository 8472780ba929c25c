"""OpenS2V-Eval, the benchmark of the paper: prompts, metrics, scores, leaderboard.

    prompts = load_prompts("hf://datasets/BestWishYsh/OpenS2V-Eval")
    check = check_videos("./my_model_videos", prompts)
    scores = read_scores("./scores", keys=prompts.keys)

Names are imported when first used, so that `import opens2v_eval` needs no model's package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opens2v_eval.agree import Agreement, Ratings, agree_with, read_ratings
    from opens2v_eval.bootstrap import Bootstrap, Interval
    from opens2v_eval.compare import Difference, compare_models
    from opens2v_eval.details import read_detail, write_detail
    from opens2v_eval.leaderboard import Board, RowCheck, add_model, check_board, read_board, write_board
    from opens2v_eval.prompts import Prompt, Prompts, category, domain_keys, load_prompts
    from opens2v_eval.running import RunReport, run
    from opens2v_eval.scales import METRICS
    from opens2v_eval.scorefiles import Note, Scores, merge_scores, read_scores, write_scores
    from opens2v_eval.side_by_side import Model, board_data
    from opens2v_eval.totals import CategoryRow, MetricLine, PromptRow, ScoreTable, by_category, by_prompt, score_table
    from opens2v_eval.videos import VideoCheck, check_videos

_MODULES = {
    "agree": ("Agreement", "Ratings", "agree_with", "read_ratings"),
    "bootstrap": ("Bootstrap", "Interval"),
    "compare": ("Difference", "compare_models"),
    "details": ("read_detail", "write_detail"),
    "leaderboard": ("Board", "RowCheck", "add_model", "check_board", "read_board", "write_board"),
    "prompts": ("Prompt", "Prompts", "category", "domain_keys", "load_prompts"),
    "running": ("RunReport", "run"),
    "scales": ("METRICS",),
    "scorefiles": ("Note", "Scores", "merge_scores", "read_scores", "write_scores"),
    "side_by_side": ("Model", "board_data"),
    "totals": ("CategoryRow", "MetricLine", "PromptRow", "ScoreTable", "by_category", "by_prompt", "score_table"),
    "videos": ("VideoCheck", "check_videos"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "METRICS",
    "Agreement",
    "Board",
    "Bootstrap",
    "CategoryRow",
    "Difference",
    "Interval",
    "MetricLine",
    "Model",
    "Note",
    "Prompt",
    "PromptRow",
    "Prompts",
    "Ratings",
    "RowCheck",
    "RunReport",
    "ScoreTable",
    "Scores",
    "VideoCheck",
    "add_model",
    "agree_with",
    "board_data",
    "by_category",
    "by_prompt",
    "category",
    "check_board",
    "check_videos",
    "compare_models",
    "domain_keys",
    "load_prompts",
    "merge_scores",
    "read_board",
    "read_detail",
    "read_ratings",
    "read_scores",
    "run",
    "score_table",
    "write_board",
    "write_detail",
    "write_scores",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
