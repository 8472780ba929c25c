"""The explorer of OpenS2V-5M: pages to see subjects, pairs and GPT-Image-1 views, and to judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opens2v_explorer.serving import serve as serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    # Streamlit takes a second to import, which `opens2v --help` must not wait for.
    if name == "serve":
        from opens2v_explorer.serving import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
