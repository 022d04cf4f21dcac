import importlib.util
import sys
from itertools import chain
from pathlib import Path

import datatrove
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import PUNCTUATION, simplify_text
from hypothesis import given
from hypothesis import strategies as st

from schemas import columns as c
from stages.minhash_signature import MinHashSignature
from stages.stage import Stage, check
from stages.text.simplify import CONTROLS, MARKS, simplify

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FOX = "The quick brown fox jumps over the lazy dog near the river bank."


def texts(*values: str | None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(values))], "text": pa.array(values, c.TEXT)})


def signatures(stage: MinHashSignature, *values: str | None) -> list[list[int] | None]:
    return stage.open()(texts(*values)).column("signature").to_pylist()


def datatroves_minhash():
    """Its module alone: the package around it does not import without the tokenizers that other blocks need."""
    path = Path(datatrove.__file__).parent / "pipeline" / "dedup" / "minhash.py"
    spec = importlib.util.spec_from_file_location("datatrove_minhash", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_is_a_stage():
    schema = check((MinHashSignature(),), pa.schema([c.ID, c.BODY]))
    assert isinstance(MinHashSignature(), Stage)
    assert len(signatures(MinHashSignature(num_buckets=9), FOX)[0]) == 72
    assert MinHashSignature().open()(texts(FOX)).schema.field("signature") == schema.field("signature")


def test_parameters_are_datatroves():
    a, b = MinHashSignature().parameters()
    assert a[:3].tolist() == [775169054918279404, 1758426461858698313, 2109959069025162]
    assert b[:3].tolist() == [1062448801025099917, 1324811268927594100, 1217488311597731462]
    assert MinHashSignature(seed=2).parameters()[0][0] != a[0]


def test_signature_by_sha1_is_datatroves():
    signature = signatures(MinHashSignature(shingles="datatrove_sha1"), FOX)[0]
    assert signature[:3] == [197166454002902972, 284080765670708113, 96549057967596277]


@pytest.mark.parametrize("hash_name", ["sha1", "xxhash"])
@pytest.mark.parametrize("data", [None, "webtext-dev", "lid-dev"])
def test_signatures_are_datatroves(tmp_path, hash_name, data):
    values = [
        FOX,
        "a b c d",
        "a b c d e",
        "",
        "I can't, don't; Mr. O'Neill paid $1,234.56 (U.S.) at 3.14.15 — “ok”!  x",
    ]
    if data:
        if not DATA.exists():
            pytest.skip("needs the shared data")
        values = (
            pq.read_table(DATA / f"{data}.parquet").column("text").to_pylist()[:: 100 if data == "webtext-dev" else 300]
        )
    minhash = datatroves_minhash()
    config = minhash.MinhashConfig(hash_config=HashConfig(hash_fc=hash_name))
    theirs = minhash.MinhashDedupSignature(str(tmp_path), config, language="en")
    if hash_name == "xxhash":  # datatrove hands it text, which xxhash 4 no longer encodes
        theirs._hash_func = lambda shingle: xxhash.xxh64_intdigest(shingle.encode())
    expected = []
    for value in values:
        shingles = theirs.get_shingles(value)
        expected.append([*chain.from_iterable(theirs.get_signature(shingles))] if shingles.size else None)
    assert signatures(MinHashSignature(shingles=f"datatrove_{hash_name}"), *values) == expected


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("Héllo,  WORLD! It's 3.14 on Monday\n\nCafé—ok", "hello world it s 0 on monday cafe ok"),
        ("The price was $1,234.56 in 2023.", "the price was 0 0 in 0"),
        ("1|2|3", "0 0 0"),
    ],
)
def test_simplify(text, simple):
    assert simplify(text) == simple
    assert set(MARKS).union(map(chr, CONTROLS)) == set(PUNCTUATION)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_simplify_is_datatroves(text):
    assert simplify(text) == simplify_text(text)


@pytest.mark.parametrize("shingles", ["fast", "datatrove_sha1", "datatrove_xxhash"])
def test_null_for_texts_under_n_grams_words(shingles):
    got = signatures(MinHashSignature(shingles=shingles), None, "", "a b c d", "a b c d e", "?!", None)
    assert [signature is not None for signature in got] == [False, False, False, True, False, False]
    assert signatures(MinHashSignature(shingles=shingles)) == []


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("one two three four five", "ONE, two?  Three\u00ad—“four”\nfi\u0301ve!"),
        ("in 2023 we paid $12.50 each", "In 1999 we paid $7 each"),
        ("ΟΔΟΣ a b c d", "οδος a b c d"),
        ("你好世界吗", "你 好、世界 吗？"),
        ("a b c d e", "a b c d e a b c d e a b c d e"[:19]),
    ],
)
def test_texts_that_are_the_same_to_the_fast_kernel(text, same):
    got = signatures(MinHashSignature(), text, same)
    assert got[0] is not None
    assert (got[0] == got[1]) == (text != "a b c d e")  # the last one has more shingles


def test_tables_in_chunks_slices_and_plain_strings():
    values = [FOX, None, "a b c d e", "x", FOX + FOX]
    expected = signatures(MinHashSignature(), *values)
    sign = MinHashSignature().open()
    table = texts(*values)
    assert sign(pa.concat_tables([table[:1], table[1:4], table[4:]])).column("signature").to_pylist() == expected
    assert sign(table[2:]).column("signature").to_pylist() == expected[2:]
    assert sign(pa.table({"text": pa.array(values, pa.string())})).column("signature").to_pylist() == expected
    assert sign(table.slice(0, 0)).column("signature").to_pylist() == []


def test_a_signature_depends_on_its_text_alone():
    sign = MinHashSignature().open()
    assert sign(texts(FOX, "a b c d e f")).column("signature")[1] == sign(texts("a b c d e f")).column("signature")[0]


def test_estimates_of_jaccard_err_as_theory_says():
    """10,000 random pairs: the share of equal values has mean J and variance J (1 - J) / n."""
    rng, stage = np.random.default_rng(7), MinHashSignature()
    n, length, vocabulary = 10_000, 60, np.array([f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(500)])
    first = rng.integers(0, len(vocabulary), (n, length))
    second = first.copy()
    for row, changes in enumerate(rng.integers(0, 12, n)):
        second[row, rng.integers(0, length, changes)] = rng.integers(0, len(vocabulary), changes)
    sign = stage.open()
    columns = [[" ".join(vocabulary[row]) for row in side] for side in (first, second)]
    matrices = [sign(texts(*column)).column("signature").combine_chunks().values.to_numpy() for column in columns]
    estimates = (matrices[0] == matrices[1]).reshape(n, -1).mean(axis=1)
    shingles = [
        [{tuple(row[i : i + 5]) for i in range(length - 4)} for row in side.tolist()] for side in (first, second)
    ]
    exact = np.array([len(a & b) / len(a | b) for a, b in zip(*shingles, strict=True)])
    assert (estimates[exact == 1] == 1).all()
    inner = (exact > 0) & (exact < 1)
    errors = (estimates - exact)[inner] / np.sqrt(exact * (1 - exact) / 112)[inner]
    assert inner.sum() > 8000
    assert abs(errors.mean()) < 4 / np.sqrt(inner.sum())
    assert 0.97 < errors.std() < 1.03
    assert np.abs(errors).max() < 6


def test_a_long_text_takes_no_more_memory_than_a_block():
    text = "the mill wheel turns and the miller sleeps by day " * 40_000
    assert signatures(MinHashSignature(), text) == signatures(MinHashSignature(), text[: len(text) // 100])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_grams": 0}, "n_grams should be at least 1, got 0"),
        ({"num_buckets": 0}, "num_buckets should be at least 1"),
        ({"shingles": "sha1"}, "shingles should be one of fast, datatrove_sha1, datatrove_xxhash, got 'sha1'"),
    ],
)
def test_bad_settings_are_told(wrong, message):
    with pytest.raises(ValueError, match=message):
        MinHashSignature(**wrong)
