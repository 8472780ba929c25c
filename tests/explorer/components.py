"""What a page hands to components of its own: their data, and the HTML of the stages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest


def data_of(test: AppTest, name: str) -> list[dict[str, Any]]:
    """Return the data of each component of a name, in order."""
    found = (one.proto for one in test.get("bidi_component"))
    return [json.loads(proto.json) for proto in found if proto.component_name == name]


def stage_html(test: AppTest) -> str:
    """Return the HTML of all stages, one after another."""
    return "\n".join(one["html"] for one in data_of(test, "opens2v_stage"))


def codes(test: AppTest) -> set[str]:
    """Return the codes of states and notices that are shown."""
    return {piece.partition('"')[0] for piece in stage_html(test).split('data-code="')[1:]}
