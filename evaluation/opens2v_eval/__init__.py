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
    from opens2v_eval.prompts import Prompt as Prompt
    from opens2v_eval.prompts import Prompts as Prompts
    from opens2v_eval.prompts import category as category
    from opens2v_eval.prompts import domain_keys as domain_keys
    from opens2v_eval.prompts import load_prompts as load_prompts
    from opens2v_eval.scales import METRICS as METRICS
    from opens2v_eval.videos import VideoCheck as VideoCheck
    from opens2v_eval.videos import check_videos as check_videos

_MODULES = {
    "prompts": ("Prompt", "Prompts", "category", "domain_keys", "load_prompts"),
    "scales": ("METRICS",),
    "videos": ("VideoCheck", "check_videos"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "METRICS",
    "Prompt",
    "Prompts",
    "VideoCheck",
    "category",
    "check_videos",
    "domain_keys",
    "load_prompts",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
