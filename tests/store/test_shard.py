"""Codes on disk, read by readers that know nothing of us."""

import numpy as np
import pytest
import tensorstore
import zarr

from ssah_index.errors import CorruptError
from ssah_index.store.shard import CHUNK_BYTES, SHARD, chunk_rows, read_codes, write_codes
from tests.conftest import random_codes

SHAPES = [(0, 64), (1, 64), (1000, 24), (CHUNK_BYTES // 8 + 3, 64), (30_000, 1024)]


@pytest.mark.parametrize(("n", "bits"), SHAPES)
def test_zarr_alone_reads_the_same_codes(tmp_path, n, bits):
    codes = random_codes(1, n, bits)
    write_codes(tmp_path, codes)
    array = zarr.open_array(tmp_path / "codes", mode="r")
    assert array.shape == (n, bits // 8)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[:], codes)


@pytest.mark.parametrize(("n", "bits"), SHAPES)
def test_tensorstore_alone_reads_the_same_codes(tmp_path, n, bits):
    codes = random_codes(1, n, bits)
    write_codes(tmp_path, codes)
    source = {"driver": "file", "path": str(tmp_path / "codes")}
    array = tensorstore.open({"driver": "zarr3", "kvstore": source}, read=True).result()
    assert array.dtype.name == "uint8"
    np.testing.assert_array_equal(array.read().result(), codes)


@pytest.mark.parametrize(("n", "bits"), SHAPES)
def test_codes_are_mapped_as_they_lie(tmp_path, n, bits):
    codes = random_codes(1, n, bits)
    write_codes(tmp_path, codes)
    read, prefetch = read_codes(tmp_path, n, bits // 8)
    prefetch()
    np.testing.assert_array_equal(read, codes)
    assert not n or not read.flags.owndata
    if n:
        assert (tmp_path / SHARD).read_bytes()[: codes.size] == codes.tobytes()


def test_the_shard_is_what_zarr_itself_would_write(tmp_path):
    codes = random_codes(1, 1000, 64)
    write_codes(tmp_path / "ours", codes)
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.create_array(
            tmp_path / "theirs", shape=codes.shape, dtype="u1", compressors=None, fill_value=0,
            chunks=(chunk_rows(1000, 8), 8), shards=(1000, 8),
        )  # fmt: skip
        array[:] = codes
    theirs = (tmp_path / "theirs/c/0/0").read_bytes()
    assert (tmp_path / "ours" / SHARD).read_bytes() == theirs


def test_a_shard_with_chunks_out_of_order_is_read(tmp_path):
    codes = random_codes(1, CHUNK_BYTES // 8 * 2, 64)
    write_codes(tmp_path, codes)
    swap_chunks(tmp_path / SHARD)
    read, prefetch = read_codes(tmp_path, len(codes), 8)
    prefetch()
    np.testing.assert_array_equal(read, codes)


def swap_chunks(path):
    """Exchange the two chunks of a shard and their places in its index."""
    import google_crc32c

    content = path.read_bytes()
    first, second = content[:CHUNK_BYTES], content[CHUNK_BYTES : 2 * CHUNK_BYTES]
    index = np.array([[CHUNK_BYTES, CHUNK_BYTES], [0, CHUNK_BYTES]], "<u8").tobytes()
    checksum = google_crc32c.value(index).to_bytes(4, "little")
    path.write_bytes(second + first + index + checksum)


def test_a_damaged_index_is_refused(tmp_path):
    codes = random_codes(1, 100, 64)
    write_codes(tmp_path, codes)
    content = bytearray((tmp_path / SHARD).read_bytes())
    content[-6] ^= 1
    (tmp_path / SHARD).write_bytes(content)
    with pytest.raises(CorruptError, match="chunk index"):
        read_codes(tmp_path, 100, 8)
