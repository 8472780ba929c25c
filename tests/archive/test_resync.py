import random
from itertools import pairwise

import pytest

from archive.tars import header, padded
from opens2v_data.archive.resync import find_candidate, resync
from opens2v_data.archive.tarwalk import Need


def test_only_a_block_at_a_multiple_of_512_with_magic_and_checksum_is_a_candidate():
    noise = random.Random(0).randbytes(512)
    good = header(b"a.mp4", 7)
    wrong_sum = bytearray(good)
    wrong_sum[0] ^= 1
    assert find_candidate(noise + good) == 512
    assert find_candidate(good + good, 512) == 512
    assert find_candidate(noise[:100] + good + noise) is None  # off the grid, as a tar in an mp4's box may lie
    assert find_candidate(noise[:100] + good + noise[:412] + good) == 1024
    assert find_candidate(bytes(wrong_sum) + noise) is None
    assert find_candidate(bytes(wrong_sum) + good) == 512
    assert find_candidate(header(b"a.mp4", 7, magic=b"")) is None
    assert find_candidate(noise + good[:511]) is None
    assert find_candidate(b"") is None


@pytest.mark.parametrize("scan_bytes", [512, 1024, 4096, 1 << 20])
@pytest.mark.parametrize("at", [0, 512, 1024, 4096, 19 * 512])
def test_a_scan_asks_for_whole_blocks_in_turn_until_it_finds_a_header(scan_bytes: int, at: int):
    noise = random.Random(1).randbytes(20 * 512)
    tar = noise + padded(noise[:at] + header(b"a", 1)) + noise
    scan = resync(len(noise), len(tar) - 100, scan_bytes=scan_bytes)
    needs: list[Need] = []
    found = None
    try:
        need = next(scan)
        while True:
            needs.append(need)
            need = scan.send(tar[need.start : need.start + need.length])
    except StopIteration as stop:
        found = stop.value
    assert found == len(noise) + at
    assert needs[0].start == len(noise)
    assert all(before.start + before.length == after.start for before, after in pairwise(needs))
    assert all(need.length % 512 == 0 and need.length <= scan_bytes for need in needs)
    assert needs[-1].start <= len(noise) + at


def test_a_scan_without_a_header_ends_at_its_last_whole_block():
    scan = resync(512, 512 + 2048 + 511, scan_bytes=1024)
    assert next(scan) == Need(512, 1024)
    assert scan.send(bytes(1024)) == Need(1536, 1024)
    with pytest.raises(StopIteration, match=r"^$"):
        scan.send(bytes(1024))
