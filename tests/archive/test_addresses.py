from __future__ import annotations

from pathlib import Path

import pytest

from opens2v_data.archive import LocalStore, open_store
from opens2v_data.archive.addresses import HubAddress, is_remote
from opens2v_data.archive.httpstore import HttpStore
from opens2v_data.archive.remote import HubStore

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected", "is_pinned"),
    [
        ("hf://datasets/a/b", HubAddress(repo_id="a/b"), False),
        ("hf://datasets/a/b@main", HubAddress(repo_id="a/b", revision="main"), False),
        (
            "hf://datasets/a/b.c-d@refs%2Fpr%2F1/x/y",
            HubAddress(repo_id="a/b.c-d", revision="refs/pr/1", path="x/y"),
            False,
        ),
        (f"hf://datasets/a/b@{COMMIT}/", HubAddress(repo_id="a/b", revision=COMMIT), True),
    ],
)
def test_an_address_is_read_and_written(text: str, expected: HubAddress, is_pinned: bool) -> None:
    assert HubAddress.parse(text) == expected
    assert HubAddress.parse(str(expected)) == expected
    assert expected.is_pinned is is_pinned


@pytest.mark.parametrize(
    "text", ["hf://a/b", "datasets/a/b", "hf://datasets/a", "hf://datasets/a/b@", "hf://models/a/b"]
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected hf://datasets/OWNER/NAME"):
        HubAddress.parse(text)


def test_a_store_is_opened_for_a_folder_an_address_and_a_repository(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path)), LocalStore)
    assert isinstance(open_store("https://example.org/release"), HttpStore)
    store = open_store("hf://datasets/a/b", revision=COMMIT)
    assert isinstance(store, HubStore)
    assert (store.repo_id, store.commit) == ("a/b", COMMIT)
    assert is_remote("hf://datasets/a/b")
    assert not is_remote("./hf")


def test_a_file_or_a_second_revision_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a whole repository"):
        open_store("hf://datasets/a/b/Videos")
    with pytest.raises(ValueError, match="names another revision than 'v2'"):
        open_store("hf://datasets/a/b@v1", revision="v2")
