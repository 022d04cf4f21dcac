"""Sizes of the sources that make no sense are refused before anything is read."""

import re
from typing import Any

import pytest

from stages.read_jsonl import ReadJsonl
from stages.read_parquet import ReadParquet
from stages.read_warc import ReadWarc


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        (ReadWarc, "max_bytes"),
        (ReadWarc, "table_bytes"),
        (ReadWarc, "piece_bytes"),
        (ReadWarc, "max_pieces"),
        (ReadParquet, "table_bytes"),
        (ReadParquet, "piece_bytes"),
        (ReadJsonl, "table_bytes"),
        (ReadJsonl, "piece_bytes"),
    ],
)
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_are_at_least_one(source: Any, setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{source.__name__}.{setting} should be at least 1, got {value}")):
        source(**{setting: value})
    assert getattr(source(**{setting: 1}), setting) == 1
