"""A report on a catalog, or on some of its clips: one page that needs no server, and its plots as files (extra `report`).

questions of sql/questions ──figures──▶ numbers ──plots──▶ SVG ──page──▶ index.html and plots/*.svg
"""

from __future__ import annotations

from opens2v_data.report.figures import Distribution, ReportFigures, count_figures
from opens2v_data.report.writing import ReportResult, write_report

__all__ = ["Distribution", "ReportFigures", "ReportResult", "count_figures", "write_report"]
