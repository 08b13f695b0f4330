"""Tables against a stable sort, and equal codes against `numpy.unique`."""

import numpy as np
import pytest

from ssah_index.codes import to_words, unpack
from ssah_index.index import mih_build
from ssah_index.index.mih_build import build
from ssah_index.index.mih_plan import MihPlan
from ssah_index.kernels import Extent, entries
from tests.conftest import random_codes


def made(codes, shape):
    words = to_words(codes)
    arrays = {name: np.empty(size, kind) for name, (kind, size) in shape.sizes().items()}
    half = len(codes) // 2
    return build([Extent(words[:half], 0), Extent(words[half:], half)], shape, arrays, threads=2)


def shaped(n, bits, m, b, compact=False):
    order = tuple(np.random.default_rng(7).permutation(bits).tolist())
    return MihPlan(
        n=n, bits=bits, m=m, b=b, order=order, compact=compact, build_s=0, query_s=0, scan_s=0
    )


def permuted_bits(codes, shape):
    return unpack(codes)[:, list(shape.order)]


def keys(codes, shape, table):
    of_table = permuted_bits(codes, shape)[:, table * shape.b : (table + 1) * shape.b]
    return of_table.astype(np.int64) @ (1 << np.arange(shape.b))


@pytest.mark.parametrize("bits", [8, 64, 72, 128, 640])
def test_permuting_puts_each_bit_in_its_place(bits):
    codes = random_codes(1, 50, bits)
    shape = shaped(50, bits, 1, 4)
    out = np.empty(50 * shape.words, np.uint64)
    entries.permute(to_words(codes).reshape(-1), shape.lut(), shape.words, out)
    places = np.unpackbits(out.view(np.uint8).reshape(50, -1), axis=1, bitorder="little")
    np.testing.assert_array_equal(places[:, :bits], permuted_bits(codes, shape))
    assert not places[:, bits:].any()


@pytest.mark.parametrize(
    ("bits", "m", "b", "compact"),
    [(8, 1, 8, False), (64, 3, 10, False), (64, 2, 24, True), (136, 5, 13, False)],
)
@pytest.mark.parametrize("values", [2, 256])
def test_tables_hold_the_codes_by_their_keys(monkeypatch, bits, m, b, compact, values):
    """Over several chunks, parts and extents."""
    monkeypatch.setattr(mih_build, "CHUNK_CODES", 700)
    monkeypatch.setattr(mih_build, "PART_ENTRIES", 900)
    codes = random_codes(3, 4000, bits, values)
    shape = shaped(4000, bits, m, b, compact)
    arrays = made(codes, shape)
    distinct, counts = np.unique(codes, axis=0, return_counts=True)
    assert arrays["refs"].size == m * len(distinct)
    assert arrays["lists"].size == (counts > 1).sum() + 1
    assert arrays["list_rows"].size == counts[counts > 1].sum()
    for table in range(m):
        size = (1 << b) + 1
        offsets = arrays["offsets"][table * size : (table + 1) * size].astype(np.int64)
        of_distinct = np.bincount(keys(distinct, shape, table), minlength=1 << b)
        np.testing.assert_array_equal(np.diff(offsets), of_distinct)
        refs = arrays["refs"][table * len(distinct) : (table + 1) * len(distinct)]
        buckets = np.repeat(np.arange(1 << b), np.diff(offsets))
        rows = []
        for ref, bucket in zip(refs.tolist(), buckets.tolist(), strict=True):
            some = [ref]
            if ref & int(entries.REPEATED):
                number = ref ^ int(entries.REPEATED)
                some = arrays["list_rows"][slice(*arrays["lists"][number : number + 2])].tolist()
                assert some == np.flatnonzero((codes == codes[some[0]]).all(axis=1)).tolist()
            assert keys(codes[some[:1]], shape, table) == bucket
            rows += some
        assert sorted(rows) == list(range(4000))


def test_compact_entries_are_what_their_bucket_leaves_out():
    codes = random_codes(3, 500, 64)
    shape = shaped(500, 64, 2, 24, compact=True)
    arrays = made(codes, shape)
    flags = permuted_bits(codes, shape)
    for table in range(2):
        refs = arrays["refs"][table * 500 : (table + 1) * 500]
        rest = arrays["body"][table * 500 :][:500].astype(np.uint64)
        rest |= arrays["tails"][table * 500 :][:500].astype(np.uint64) << np.uint64(32)
        turned = np.roll(flags[refs], -(table + 1) * 24, axis=1)[:, :40]
        expected = turned.astype(np.uint64) @ (np.uint64(1) << np.arange(40, dtype=np.uint64))
        np.testing.assert_array_equal(rest, expected)
