import subprocess
import sys


def test_importing_the_archive_brings_in_no_json_arrow_or_sql():
    code = "import sys, opens2v_data.archive; print(*({'json', 'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
