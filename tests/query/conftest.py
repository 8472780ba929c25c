"""For tests of slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from query.worlds import World, make_world, open_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory, sample_catalog: Path, sample_release: Path) -> dict[str, World]:
    """The sample, and a random catalog opened twice; `steps.WORLDS` names them."""
    root = tmp_path_factory.mktemp("worlds")
    random_ = make_world(root / "random", 7, num_clips=40)
    warm = open_world(root / "random" / "catalog", random_.release)
    warm.opened.query.warm()
    return {"sample": open_world(sample_catalog, sample_release), "random": random_, "random, in memory": warm}
