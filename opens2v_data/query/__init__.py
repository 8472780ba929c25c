"""Ask a catalog: rows by condition, slices, safe SQL. The only package that touches DuckDB."""

from __future__ import annotations

from opens2v_data.query.engine import CONFIGS, FETCH_ROWS, Config, Query

__all__ = ["CONFIGS", "FETCH_ROWS", "Config", "Query"]
