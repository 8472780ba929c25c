import subprocess
import sys

import opens2v_data.archive


def test_the_archive_exports_exactly_what_it_promises():
    assert opens2v_data.archive.__all__ == [
        "Element", "Layout", "LocalStore", "Member", "MemberScan", "MemoryStore", "Need", "Part", "PartIndex",
        "PartReader", "Piece", "Refused", "Skipped", "Span", "Store", "WalkEnd", "drive", "fold", "index_files",
        "index_part", "name_fault", "starts_like_mp4", "tidy_name", "walk",
    ]  # fmt: skip
    assert all(hasattr(opens2v_data.archive, name) for name in opens2v_data.archive.__all__)


def test_importing_the_archive_brings_in_no_json_arrow_or_sql():
    code = "import sys, opens2v_data.archive; print(*({'json', 'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
