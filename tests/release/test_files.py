"""The files of a local release."""

from __future__ import annotations

from pathlib import Path

from opens2v_data.release.files import MAX_OPEN_FILES, LocalFiles


def test_many_files_can_be_read_and_few_stay_open(tmp_path: Path) -> None:
    for number in range(3 * MAX_OPEN_FILES):
        (tmp_path / f"{number}.json").write_bytes(b"%d" % number)
    files = LocalFiles(tmp_path)
    before = len([*Path("/proc/self/fd").iterdir()]) if Path("/proc/self/fd").is_dir() else None
    for number in [*range(3 * MAX_OPEN_FILES), 0, 1]:
        buffer = bytearray(4)
        count = files.readinto(f"{number}.json", 0, memoryview(buffer))
        assert bytes(buffer[:count]) == b"%d" % number
    if before is not None:
        assert len([*Path("/proc/self/fd").iterdir()]) - before <= MAX_OPEN_FILES
    files.close()
