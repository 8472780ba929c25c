"""Scores and prompts that tests of the benchmark share; they are read, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.made import UPSTREAM, write_model, write_prompts


@pytest.fixture(scope="session")
def upstream_eval() -> Path:
    """Upstream's prompts, demo scores and leaderboards, which lie beside the checkout."""
    if not UPSTREAM.is_dir():
        pytest.skip("upstream's evaluation files (../shared/upstream_sample/eval) are not on this machine")
    return UPSTREAM


@pytest.fixture(scope="session")
def prompts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated prompts of the open domain, with images."""
    return write_prompts(tmp_path_factory.mktemp("prompts"), images=True)


@pytest.fixture(scope="session")
def model_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of a model."""
    return write_model(tmp_path_factory.mktemp("model-a"), seed=1)


@pytest.fixture(scope="session")
def model_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of a better one."""
    return write_model(tmp_path_factory.mktemp("model-b"), seed=2, shift=0.15)
