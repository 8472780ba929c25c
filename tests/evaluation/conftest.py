"""Scores and prompts that tests of the benchmark share; they are read, never changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluation.made import UPSTREAM, write_model, write_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models of tests are so small that torch's threads wait for each other longer than they compute."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
