"""Bands: what they are a hash of, how many texts share one, what they say of themselves."""

import numpy as np
import pyarrow as pa
import pytest

from schemas import columns as c
from stages.dedup.bands import KIND, MinHashBands, best_layout
from stages.minhash_signature import MinHashSignature
from stages.stage import Stage, check

FOX = "The quick brown fox jumps over the lazy dog near the river bank."


def table(*texts: str | None) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, c.TEXT)})


def bands(stage: MinHashBands, *texts: str | None) -> list[list[int] | None]:
    return stage.open()(table(*texts)).column("bands").to_pylist()


def test_is_a_stage() -> None:
    assert isinstance(MinHashBands(), Stage)
    assert check((MinHashBands(),), pa.schema([c.ID, c.BODY])).field("bands").type == pa.list_(pa.uint64())


def test_texts_share_a_band_where_their_signatures_share_its_values() -> None:
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("abcdefgh"), 9)) for _ in range(400)]  # digits would all be 0
    texts = []
    for changed in range(0, 200, 4):
        text = list(words)
        for place in rng.choice(400, changed, replace=False):
            text[place] = f"x{text[place]}"
        texts.append(" ".join(text))
    found = np.array(bands(MinHashBands(), *texts), np.uint64)
    signatures = np.array(MinHashSignature().open()(table(*texts)).column("signature").to_pylist(), np.uint64)
    same_values = (signatures.reshape(-1, 14, 8) == signatures[0].reshape(14, 8)).all(axis=2)
    assert ((found == found[0]) == same_values).all()
    assert 0 < same_values[1:].sum() < 14 * 49


def test_bands_of_equal_values_differ_by_their_place() -> None:
    (row,) = bands(MinHashBands(hashes_per_bucket=1, num_buckets=40), "a b c d e")
    assert len(set(row)) == 40


def test_short_and_missing_texts_have_none() -> None:
    assert bands(MinHashBands(), "four words are few", None, "")[:3] == [None, None, None]
    assert [b is None for b in bands(MinHashBands(), "a b c d", FOX, None)] == [True, False, True]
    assert bands(MinHashBands()) == []


def test_optimiser_shares_the_permutations_out() -> None:
    assert best_layout(0.5, 128) == (25, 5)  # datasketch's own answer
    assert MinHashBands(threshold=0.5, num_buckets=16).layout == (25, 5)
    assert len(bands(MinHashBands(threshold=0.5, num_buckets=16), FOX)[0]) == 25


def test_kind_tells_what_can_be_compared() -> None:
    kind = MinHashBands().adds.field("bands").metadata[KIND].decode()
    assert kind == "14 bands of 8, shingles of 5 words, fast, seed 1, version 1"
    others = [
        MinHashBands(n_grams=6),
        MinHashBands(num_buckets=13),
        MinHashBands(seed=2),
        MinHashBands(shingles="datatrove_sha1"),
        MinHashBands(shingles="datatrove_sha1", language="de"),
        MinHashBands(threshold=0.9),
    ]
    assert len({kind, *(other.kind for other in others)}) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, "MinHashBands.threshold should be between 0 and 1, got 1.0"),
        ({"threshold": 0}, "MinHashBands.threshold should be between 0 and 1, got 0"),
        ({"num_buckets": 0}, "MinHashBands.num_buckets should be at least 1, got 0"),
        ({"hashes_per_bucket": 0}, "MinHashBands.hashes_per_bucket should be at least 1, got 0"),
        ({"n_grams": 0}, "n_grams should be at least 1, got 0"),
        ({"shingles": "md5"}, "shingles should be one of fast, datatrove_sha1, datatrove_xxhash, got 'md5'"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        MinHashBands(**settings)
