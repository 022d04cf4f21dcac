"""Near duplicates: who is linked, who stays, and what true similarity has to say."""

from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.barrier import Linking
from schemas import columns as c
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.kernels import fold
from stages.kernels.jaccard import jaccard, judge_rows, shingle_sets
from stages.text.buffers import text_buffers

DATA = Path(__file__).parents[3].parent / "shared" / "data"
LETTERS = "abcdefghijklmnopqrst"
WORDS_200 = [f"w{LETTERS[i // 20]}{LETTERS[i % 20]}" for i in range(200)]  # digits would all be 0


def text(*changed: int) -> str:
    """200 words; each change in the middle replaces five of the 196 shingles."""
    return " ".join(f"x{word}" if i in changed else word for i, word in enumerate(WORDS_200))


def rows(
    *components: list[str], ids: str | None = None, n_chars: list[int] | None = None, known: tuple[int, ...] = ()
) -> pa.Table:
    """A partition as `reduce` gets it: components of texts, one shard, rows in order."""
    texts = [t for component in components for t in component]
    n = len(texts)
    table = pa.table({"id": list(ids or "abcdefghijklmnop"[:n]), "text": pa.array(texts, c.TEXT)})
    table = MinHashBands().open()(table)
    sizes = [len(component) for component in components]
    columns = {
        "component": pa.array(np.repeat(np.arange(len(sizes)) * 7, sizes)),
        "component_size": pa.array(np.repeat(sizes, sizes)),
        "shard": pa.array([0] * n, pa.int32()),
        "row": pa.array(range(n), pa.int64()),
        "known": pa.array([i in known for i in range(n)], pa.bool_()),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table if n_chars is None else table.append_column("n_chars", pa.array(n_chars, pa.int64()))


def verdicts(shuffle: NearDuplicates, table: pa.Table) -> dict[str, tuple[str | None, str, int]]:
    """id -> duplicate_of, cluster_id, cluster_size."""
    ids = table.column("id").to_pylist()
    found = shuffle.reduce(shuffle.members(table)).to_pylist()
    return {ids[v["row"]]: (v["duplicate_of"], v["cluster_id"], v["cluster_size"]) for v in found}


def test_is_a_linking_shuffle() -> None:
    assert isinstance(NearDuplicates(), Linking)


def test_links_are_the_bands() -> None:
    table = rows([text(), "short", text(1)]).select(["bands", "row"])
    links = NearDuplicates().links(table)
    assert links.column("row").to_pylist() == [0] * 14 + [2] * 14
    assert links.column("link").to_pylist() == [band for row in table["bands"].to_pylist() if row for band in row]


def test_what_hangs_together_is_one_cluster_and_the_first_stays() -> None:
    table = rows([text(), text(9), text(50)], [text(1, 2), text(1, 3)], ids="cabed")
    assert verdicts(NearDuplicates(), table) == {
        "a": (None, "a", 3), "b": ("a", "a", 3), "c": ("a", "a", 3), "d": (None, "d", 2), "e": ("d", "d", 2),
    }  # fmt: skip


def test_the_best_stays() -> None:
    table = rows([text(), text(9), text(50)], n_chars=[5, 9, 9])
    assert verdicts(NearDuplicates(keep="highest n_chars"), table) == {
        "a": ("b", "a", 3), "b": (None, "a", 3), "c": ("b", "a", 3),
    }  # fmt: skip
    assert verdicts(NearDuplicates(keep="lowest n_chars"), table)["b"] == ("a", "a", 3)


def test_rows_that_are_not_similar_enough_are_no_duplicates() -> None:
    """A band in common is a hint; 20 changes far apart leave 96 of 296 shingles."""
    far = text(*range(5, 200, 10))
    table = rows([text(), text(100), far], ids="abc")
    assert verdicts(NearDuplicates(), table)["c"] == ("a", "a", 3)
    assert verdicts(NearDuplicates(verify=0.7), table) == {"a": (None, "a", 2), "b": ("a", "a", 2)}


def test_a_row_goes_only_if_it_is_like_one_that_stays() -> None:
    """a is like b and b like c, but c is not like a: with b gone, c stays, in the same cluster."""
    a, b, c_ = text(), text(20, 60, 100), text(20, 60, 100, 140, 150, 180)
    table = rows([a, b, c_], ids="abc")
    found = NearDuplicates(verify=0.8).reduce(table).to_pylist()
    assert [(v["duplicate_of"], v["cluster_id"], v["cluster_size"]) for v in found] == [
        (None, "a", 3), ("a", "a", 3), (None, "a", 3),
    ]  # fmt: skip
    assert [v["jaccard_score"] for v in found] == [None, pytest.approx(181 / 211), None]


def test_texts_travel_only_where_they_are_verified() -> None:
    table = rows([text(), text(1)], [text(5), text(6), text(7)])
    assert NearDuplicates().members(table).column("text").null_count == 5
    assert NearDuplicates(max_cluster=2).members(table).column("text").null_count == 2
    assert NearDuplicates(verify=0.7).members(table).column("text").null_count == 0


def test_a_giant_is_cut_up_by_the_first_band_and_verified() -> None:
    far = text(*range(5, 200, 10))
    table = rows([text(), text(), far, far], ids="abcd")
    assert len(set(NearDuplicates().members(table)["component"].to_pylist())) == 1
    shuffle = NearDuplicates(max_cluster=3)
    parts = shuffle.members(table)["component"].to_pylist()
    assert parts[0] == parts[1] != parts[2] == parts[3]
    assert verdicts(shuffle, table) == {
        "a": (None, "a", 2), "b": ("a", "a", 2), "c": (None, "c", 2), "d": ("c", "c", 2),
    }  # fmt: skip


def test_rows_of_an_index_stay() -> None:
    """Whatever is linked to them goes, though their texts are not there to compare."""
    table = rows([text(), text(1), text(2)], [text(3), text(4)], ids="abcde", known=(2, 4))
    for shuffle in (NearDuplicates(), NearDuplicates(verify=0.99)):
        found = {id_: verdict[0] for id_, verdict in verdicts(shuffle, table).items()}
        assert found == {"a": "c", "b": "c", "c": None, "d": "e", "e": None}


def test_nothing_to_judge() -> None:
    table = rows()
    assert NearDuplicates(verify=0.5).reduce(table).num_rows == 0
    assert NearDuplicates().links(table.select(["bands", "row"])).num_rows == 0


def test_bands_of_unknown_make_are_refused() -> None:
    own, other = MinHashBands().adds, MinHashBands(seed=2).adds
    assert NearDuplicates().faults(pa.schema([c.BANDS])) == [
        "column 'bands' does not say how it was made: let MinHashBands make it"
    ]
    assert NearDuplicates().faults(own) == NearDuplicates().index_faults(own, own) == []
    assert NearDuplicates().index_faults(own, other) == [
        "its bands cannot be compared with these: they are 14 bands of 8, shingles of 5 words, fast, seed"
        " 2, version 1, these are 14 bands of 8, shingles of 5 words, fast, seed 1, version 1"
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"verify": 0.0}, "NearDuplicates.verify should be above 0 and at most 1, got 0.0"),
        ({"verify": 1.5}, "NearDuplicates.verify should be above 0 and at most 1, got 1.5"),
        ({"max_cluster": 0}, "NearDuplicates.max_cluster should be at least 1, got 0"),
        ({"n_grams": 0}, "NearDuplicates.n_grams should be at least 1, got 0"),
        ({"keep": "biggest n_chars"}, "keep should be 'first' or a list of 'highest COLUMN'"),
    ],
)
def test_wrong_settings_are_told(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        NearDuplicates(**wrong)


def sets_of(texts: list[str], n_grams: int) -> tuple[np.ndarray, np.ndarray]:
    data, offsets = text_buffers(pa.array(texts, pa.large_string()))
    sets, ends = np.empty(int(offsets[-1]) // 2 + len(texts), np.uint64), np.empty(len(texts) + 1, np.int64)
    shingle_sets(data, offsets, fold.table(), n_grams, sets, ends)
    return sets, ends


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "東", "é"]), max_size=12)


@given(WORDS, WORDS, st.integers(1, 4))
def test_jaccard_is_that_of_the_sets_of_shingles(a: list[str], b: list[str], n: int) -> None:
    sets, ends = sets_of([" ".join(a), " ".join(b)], n)
    one, two = ({tuple(words[i : i + n]) for i in range(len(words) - n + 1)} for words in (a, b))
    expected = len(one & two) / len(one | two) if one | two else 0.0
    assert jaccard(sets, ends[0], ends[1], ends[1], ends[2]) == expected


@settings(max_examples=200)
@given(st.data())
def test_judgement_is_that_of_the_definition(data: st.DataObject) -> None:
    """Against plain Python, over small sets that share bands at random."""
    n = data.draw(st.integers(0, 9))
    members = [sorted(data.draw(st.sets(st.integers(0, 5), max_size=5))) for _ in range(n)]
    bands = np.array(data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=n, max_size=n)), np.uint64)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=3))) if n > 1 else []
    groups = np.array([0, *cuts, n] if n else [0], np.int64)
    least = data.draw(st.sampled_from([0.2, 0.5, 1.0]))
    sets = np.array([x for m in members for x in m], np.uint64)
    ends = np.cumsum([0, *map(len, members)])
    cluster, leader, score = (np.empty(n, kind) for kind in (np.int64, np.int64, np.float64))
    judge_rows(sets, ends, bands.reshape(n, 3), np.zeros(n, np.bool_), groups, least, cluster, leader, score)

    def similarity(i: int, j: int) -> float:
        a, b = set(members[i]), set(members[j])
        return len(a & b) / len(a | b) if a | b else 0.0

    group = np.searchsorted(groups, np.arange(n), side="right")
    pairs = {
        (i, j): similarity(i, j)
        for i, j in combinations(range(n), 2)
        if group[i] == group[j] and (bands[i] == bands[j]).any()
    }
    own = list(range(n))
    for (i, j), same in pairs.items():
        if same >= least:
            own = [min(own[i], own[j]) if x in (own[i], own[j]) else x for x in own]
    leaders: list[int] = []
    for j in range(n):
        near = [(-pairs[i, j], i) for i in range(j) if leaders[i] == i and pairs.get((i, j), 0) >= least]
        leaders.append(min(near)[1] if near else j)
    assert cluster.tolist() == own
    assert leader.tolist() == leaders


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_planted_pairs_in_news_are_found_and_no_others() -> None:
    truth = pq.read_table(DATA / "neardup-articles-dev.parquet")
    table = MinHashBands().open()(truth.select(["id"]).append_column("text", truth["text"].cast(c.TEXT)))
    links = NearDuplicates().links(table.append_column("row", pa.array(range(table.num_rows), pa.int64())))
    shared = pl.DataFrame(links).group_by("link").agg("row").filter(pl.col("row").list.len() > 1)
    ids = table["id"].to_pylist()
    found = {tuple(sorted(ids[row] for row in pair)) for pair in shared["row"].to_list()}
    pairs = zip(ids, truth["duplicates"].to_pylist(), strict=True)
    assert found == {tuple(sorted((id_, other))) for id_, others in pairs for other in others}
