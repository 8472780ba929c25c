"""The room's public face: names are there when asked for, and nothing heavy is until one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import opens2v_loaders


def test_every_public_name_is_what_it_is_called() -> None:
    for name in opens2v_loaders.__all__:
        member = getattr(opens2v_loaders, name)
        assert callable(member) and member.__name__ == name
        assert name in dir(opens2v_loaders)


def test_other_names_are_missing_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = opens2v_loaders.nothing  # pyright: ignore[reportAttributeAccessIssue]


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_room_is_light_and_masks_need_neither_pyav_nor_pillow() -> None:
    heavy = "{'av', 'torch', 'PIL', 'torchcodec', 'pandas'} & set(sys.modules)"
    assert _run(f"import sys, opens2v_loaders; print({heavy} | ({{'numpy'}} & set(sys.modules)))") == "set()"
    assert _run(f"import sys; from opens2v_loaders import decode_rle; print({heavy})") == "set()"


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("av", "av", "read_frames"),
        ("av", "av", "probe"),
        ("pillow", "PIL", "cut_out"),
        ("pillow", "PIL", "contact_sheet"),
    ],
)
def test_a_missing_extra_names_its_install_command(package: str, module: str, name: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "import opens2v_loaders\nfrom opens2v_data.errors import MissingExtraError\n"
        f"try:\n    opens2v_loaders.{name}\nexcept MissingExtraError as error:\n    print(error.package, error)"
    )
    said = _run(code)
    assert said.startswith(f"{package} ") and 'pip install "opens2v-data[video]"' in said
