import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.tars import base256, header, pax_record
from opens2v_data.archive.tarheader import HeaderFault, parse_header, parse_pax, pax_size


@pytest.mark.parametrize(
    ("field", "size_bytes"),
    [
        (b"00000000017\0", 15),
        (b"         17\0", 15),
        (b"17 \0\0\0\0\0\0\0\0\0", 15),
        (b"777777777777", 8**12 - 1),
        (bytes(12), 0),
        (base256(15), 15),
        (base256(2**40), 2**40),
    ],
)
def test_every_way_to_write_a_size_is_read(field: bytes, size_bytes: int):
    assert parse_header(header(b"a", field)).size_bytes == size_bytes


@pytest.mark.parametrize("field", [b"-0000000017\0", b"0000_000017\0", b"00000000018\0", b"0x1\0" * 3, b"\xff" * 12])
def test_a_size_that_is_no_number_is_a_fault(field: bytes):
    with pytest.raises(HeaderFault, match=r"the size field is .*, not a number"):
        parse_header(header(b"a", field))


def test_one_flipped_byte_anywhere_is_a_fault():
    block = header(b"part/clip.mp4", 1234, prefix=b"deep")
    for position in set(range(512)) - {155}:  # the byte behind the checksum's own NUL means nothing
        damaged = bytearray(block)
        damaged[position] ^= 0x04
        with pytest.raises(HeaderFault, match="the checksum field"):
            parse_header(bytes(damaged))


def test_checksums_of_signed_chars_are_accepted():
    name = "видео.mp4".encode()
    assert parse_header(header(name, 1, is_signed_sum=True)).name_raw == name


def test_the_prefix_is_part_of_the_name_in_ustar_only():
    assert parse_header(header(b"b" * 100, 0, prefix=b"a" * 155)).name_raw == b"a" * 155 + b"/" + b"b" * 100
    assert parse_header(header(b"b", 0, prefix=b"14617474536\0", magic=b"ustar  \0")).name_raw == b"b"


@given(st.dictionaries(st.binary(min_size=1, max_size=9).filter(lambda key: b"=" not in key), st.binary(max_size=200)))
def test_pax_records_come_back_as_written(records: dict[bytes, bytes]):
    payload = b"".join(pax_record(key, value) for key, value in records.items())
    assert parse_pax(payload) == records
    assert parse_pax(payload + bytes(7)) == records


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"9 path=a",
        b"99 path=a\n",
        b"4 path=a\n",
        b"0 path=a\n",
        b"-9 path=a\n",
        b"7 patha\n",
        b"5 =a\n",
        b"1" * 90,
    ],
)
def test_a_malformed_pax_record_is_a_fault(payload: bytes):
    with pytest.raises(HeaderFault, match=r"byte 0 of the PAX header does not start"):
        parse_pax(payload)


@given(st.binary(max_size=60))
def test_any_bytes_are_records_or_a_fault(payload: bytes):
    with contextlib.suppress(HeaderFault):
        assert all(parse_pax(payload))


def test_a_pax_size_is_a_plain_number():
    assert pax_size({}) is None
    assert pax_size({b"size": b""}) is None
    assert pax_size({b"size": b"8589934592"}) == 8589934592
    for digits in (b"-1", b"1.5", b"9" * 5000):
        with pytest.raises(HeaderFault, match=r"the PAX size is b'.*', not a number"):
            pax_size({b"size": digits})
