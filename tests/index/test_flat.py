import pytest

from ssah_index.index import FlatIndex
from tests.index.suite import IndexSuite


class TestFlat(IndexSuite):
    @pytest.fixture
    def build(self):
        return lambda store: FlatIndex.over(store.snapshot().select(None))
