"""Search captions: an index by tantivy (extra `search`), or a scan in SQL that finds the same clips.

query text ──terms──▶ what must be there ──engine──▶ clip ids        opens2v search-index builds it
                             └───────────scan──▶ SQL over captions   needs nothing
"""

from __future__ import annotations

from opens2v_data.search.building import IndexResult, build_index
from opens2v_data.search.captions import CaptionSearch, IndexState, index_state
from opens2v_data.search.scan import scan_condition
from opens2v_data.search.terms import parse_query

__all__ = [
    "CaptionSearch",
    "IndexResult",
    "IndexState",
    "build_index",
    "index_state",
    "parse_query",
    "scan_condition",
]
