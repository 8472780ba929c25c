"""Releases and catalogs that tests of any room may ask for; each is made once a session and only read."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from localhub import LocalHub
from madeonce import made_once
from opens2v_data.archive.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opens2v_data.sample import SampleFacts

# Shells start what runs in the background with SIGINT ignored, and processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take as long as the machine likes: a test that stands still for a second has found nothing.
settings.register_profile("opens2v", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("opens2v")

MAY_HEDGE = Crew._may_hedge
REAL_RELEASE = Path(__file__).parents[2] / "shared" / "upstream_sample" / "release"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is worked out and kept, such as categories of clips, goes to a folder of the session and not to the tester's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("OPENS2V_CACHE", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _late_requests_are_sent_once() -> Iterator[None]:
    """On a machine that stands still for a second requests are late, are sent a second time, and are counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opens2v_data.archive.crew.Crew._may_hedge", lambda crew: False)
        yield


@pytest.fixture
def late_requests_are_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are outside of tests."""
    monkeypatch.setattr("opens2v_data.archive.crew.Crew._may_hedge", MAY_HEDGE)


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where releases and catalogs are made: a folder that all processes of `make test` have, else one of this session."""
    shared = os.environ.get("OPENS2V_TESTS_MADE")
    return Path(shared) if shared else tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def sample_facts(made_folder: Path) -> SampleFacts:
    """The truth about the generated release of seed 0, which is written to `sample_facts.root`."""
    pytest.importorskip("av", reason="the generated release encodes its videos with PyAV")
    pytest.importorskip("PIL", reason="the generated release draws with Pillow")
    from opens2v_data.sample import write_sample_release

    # 12 CPU-s, as much as all tests of a small group.
    return made_once(made_folder / "sample" / "release", write_sample_release)


@pytest.fixture(scope="session")
def sample_release(sample_facts: SampleFacts) -> Path:
    """The generated release of seed 0."""
    return sample_facts.root


@pytest.fixture(scope="session")
def sample_catalog(made_folder: Path, sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of the generated release."""
    catalog = made_once(made_folder / "sample-catalog" / "opens2v-5m", lambda root: _ingested(sample_release, root))
    # Whoever opens a catalog may write a lock or an index into it: each process has its own.
    return shutil.copytree(catalog, tmp_path_factory.mktemp("sample-catalog") / "opens2v-5m")


@pytest.fixture(scope="session")
def real_release() -> Path:
    """A real piece of upstream's release, which lies beside the checkout and is not part of it."""
    if not REAL_RELEASE.is_dir():
        pytest.skip("the real piece of the upstream release (../shared/upstream_sample/release) is not on this machine")
    return REAL_RELEASE


@pytest.fixture(scope="session")
def real_catalog(real_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of the real piece."""
    return _ingested(real_release, tmp_path_factory.mktemp("real-catalog") / "opens2v-5m")


@pytest.fixture
def fresh_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No calls made yet, as far as this process knows: local Hubs of earlier tests may have had this one's port."""
    monkeypatch.setattr("opens2v_data.archive.quota._buckets", {})


@pytest.fixture
def hub(sample_release: Path, fresh_quotas: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A local Hub that has the generated release as `someone/release`, and is the Hub for this process."""
    with LocalHub({"someone/release": sample_release}) as server:
        # What HF_ENDPOINT sets when huggingface_hub is imported.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        yield server


def _ingested(release: Path, root: Path) -> Path:
    from opens2v_data.catalog.ingest import ingest
    from opens2v_data.release.layout import Release

    result = ingest(Release.open(str(release)), root)
    assert result.manifest is not None
    return root
