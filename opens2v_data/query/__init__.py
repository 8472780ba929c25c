"""Ask a catalog: rows by condition, slices, safe SQL. The only package that touches DuckDB.

engine      one connection, views made when named, any statement with bound values
conditions  the rows of a config that a condition names
views       which views a statement needs              reading   whether a trusted one only reads
warm        the numbers of clips in memory             derived   tables worked out by a definition
bound       SQL with values bound to it                 hints     what DuckDB says of a mistake, as a message
spec        what a slice is, as values                  answers   what it is asked
slices      the slice that users hold                   saved     a slice in a file
tallies     how many clips have what                    bins      the bins of histograms, in SQL
locating    where clips' bytes lie                      questions the texts of sql/questions
safe        a stranger's statement                      sandbox   the same in a process that can be killed
"""

from __future__ import annotations

from opens2v_data.query.conditions import CONFIGS, FETCH_ROWS, Config, Query

__all__ = ["CONFIGS", "FETCH_ROWS", "Config", "Query"]
