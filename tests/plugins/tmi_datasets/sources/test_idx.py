import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from tmi.errors import DataFileError
from tmi_datasets.sources.idx import decode, encode, read_content

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_decode_is_the_inverse_of_encode(array):
    back = decode(encode(array), "x")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, array)


def test_encode_writes_the_published_header():
    assert encode(IMAGES)[:16] == bytes.fromhex("00000803 00000002 00000003 00000004")


def test_every_truncation_is_refused():
    content = encode(IMAGES)
    for length in range(len(content)):
        with pytest.raises(DataFileError, match=r"^there/x: ") as caught:
            decode(content[:length], "there/x")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (encode(IMAGES) + b"\0", "left over"),
        (b"PK\3\4" + encode(IMAGES), "is no IDX file"),
        (b"", "missing"),
        (b"\0\0\x0d\3" + encode(IMAGES)[4:], "unsigned bytes"),  # 0d: float32
        (b"\0\0\x08\0", "at least one axis"),
        (b"\0\0\x08\3" + b"\xff" * 12, "is truncated"),  # 2^96 elements announced
    ],
)
def test_a_foreign_file_is_refused(content, what):
    with pytest.raises(DataFileError, match=what):
        decode(content, "x")


@pytest.mark.parametrize("array", [IMAGES.astype(float), np.uint8(3) * np.ones((), np.uint8)])
def test_encode_refuses_what_the_format_cannot_hold(array):
    with pytest.raises(DataFileError, match="expected uint8"):
        encode(array)


def test_gzipped_or_not(tmp_path):
    (tmp_path / "a").write_bytes(encode(IMAGES))
    (tmp_path / "a.gz").write_bytes(gzip.compress(encode(IMAGES)))
    assert read_content(tmp_path / "a") == read_content(tmp_path / "a.gz") == encode(IMAGES)


def test_a_damaged_gzip_file_is_refused(tmp_path):
    whole = gzip.compress(bytes(range(256)) * 40)
    damaged = {
        "cut": whole[:-9],
        "header": whole[:5],
        "sum": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
        "stream": whole[:12] + bytes(8) + whole[20:],
        "plain": bytes(range(256)),
        "more": whole + b"text",
    }
    for name, content in damaged.items():
        file = tmp_path / f"{name}.gz"
        file.write_bytes(content)
        with pytest.raises(DataFileError, match=f"{name}.gz: is not a whole gzip file"):
            read_content(file)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataFileError, match="absent: cannot be read"):
        read_content(tmp_path / "absent")
    with pytest.raises(DataFileError, match="cannot be read"):
        read_content(tmp_path)
