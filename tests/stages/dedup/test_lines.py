"""Lines that come again: which of them stay, over any number of partitions, in any order."""

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from cluster.barrier import Particular, Spreading
from schemas import columns as c
from stages.dedup.lines import RepeatedLines

ROWS = pa.schema([c.ID, c.URL, c.DUMP, c.N_CHARS, c.BODY])
Verdict = dict[str, list[int]]


def judged(shuffle: RepeatedLines, rows: Sequence[dict[str, Any]], partitions: int = 1, shards: int = 1) -> Verdict:
    """The repeated lines by id, as cluster/exchange/shuffle.py finds them, rows dealt out to so many shards."""
    spread = []
    for shard in range(shards):
        table = pa.Table.from_pylist(list(rows[shard::shards]), ROWS).select(shuffle.reads.names)
        units = shuffle.spread(table.append_column("row", pa.array(range(table.num_rows), pa.int64())))
        spread.append(units.append_column("shard", pa.array([shard] * units.num_rows, pa.int32())))
    units = pa.concat_tables(spread)
    verdicts = []
    for partition in range(partitions):
        mine = [key % partitions == partition for key in units["line_hash"].to_pylist()]
        verdicts.append(shuffle.reduce(units.filter(pa.array(mine, pa.bool_()))).select(["shard", "row", *ADDS]))
    found = {}
    for shard in range(shards):
        of_shard = pa.concat_tables(verdicts).filter(pa.compute.field("shard") == shard).sort_by("row")
        for row in shuffle.gather(of_shard.select(["row", *ADDS])).to_pylist():
            found[rows[row["row"] * shards + shard]["id"]] = row["repeated_lines"]
    return found


ADDS = RepeatedLines.adds.names


def documents(*texts: str | None, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": str(number), "text": text, **{name: values[number] for name, values in more.items()}}
        for number, text in enumerate(texts)
    ]


SITE = documents(
    "Home and About us\nThe first article of all.\nRead more articles",
    "home and about us\nThe second article of all.\nREAD MORE ARTICLES!\nThe first article of all!",
    None,
    "Something else altogether.\nIt says so twice, it says.\nIt says so twice, it says.",
    "",
    "Home and About us",
)
FIRST = {"1": [0, 2, 3], "3": [2], "5": [0]}


def test_is_a_spreading_shuffle() -> None:
    assert isinstance(RepeatedLines(), Spreading) and isinstance(RepeatedLines(), Particular)


@pytest.mark.parametrize("partitions", [1, 2, 7])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_first_occurrence_stays(partitions: int, shards: int) -> None:
    assert judged(RepeatedLines(), SITE, partitions, shards) == FIRST


def test_the_same_lines_stay_whatever_the_order() -> None:
    for seed in range(10):
        rows = random.Random(seed).sample(SITE, len(SITE))
        assert judged(RepeatedLines(), rows, partitions=2, shards=2) == FIRST


def test_rows_are_in_order_of_id_and_lines_in_order_of_place() -> None:
    rows = documents(*["A line of some length"] * 12)
    assert sorted(judged(RepeatedLines(), rows)) == sorted(str(n) for n in range(1, 12))
    ids = judged(
        RepeatedLines(),
        [{"id": "b", "text": "one of two lines\n\none of two lines"}, {"id": "a", "text": "ONE of two lines"}],
    )
    assert ids == {"b": [0, 2]}


def test_best_row_keeps_its_lines() -> None:
    rows = documents("A line of some length", "A line of some length", "A line of some length", n_chars=[5, 9, 7])
    assert judged(RepeatedLines(keep="highest n_chars"), rows, shards=2) == {"0": [0], "2": [0]}
    assert judged(RepeatedLines(keep="lowest n_chars"), rows, shards=2) == {"1": [0], "2": [0]}


def test_boilerplate_goes_everywhere_and_the_rest_stays() -> None:
    assert judged(RepeatedLines(in_documents=3), SITE, partitions=3, shards=2) == {"0": [0], "1": [0], "5": [0]}
    assert judged(RepeatedLines(in_documents=2), SITE) == {"0": [0, 1, 2], "1": [0, 2, 3], "5": [0]}
    assert judged(RepeatedLines(in_documents=4), SITE) == {}


def test_short_lines_are_not_judged() -> None:
    rows = documents("abc\nabcd\n}\n***", "abc\nabcd\n}\n***")
    assert judged(RepeatedLines(min_chars=4), rows) == {"1": [1]}
    assert judged(RepeatedLines(min_chars=1), rows) == {"1": [0, 1]}
    assert judged(RepeatedLines(), rows) == {}


def test_paragraphs_are_cut_whole() -> None:
    rows = documents(
        "First paragraph\nof two lines.\n\nAnother one.\n",
        "Another line.\nof two lines.\n\n\nFIRST paragraph of\ntwo lines",
    )
    assert judged(RepeatedLines(unit="paragraph"), rows) == {"1": [4, 5]}
    assert judged(RepeatedLines(), rows) == {"1": [1]}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("dataset", ["1", "2", "3", "4", "5"]),
        ("site", ["1", "3"]),
        ("host", ["3"]),
        ("dump", ["1", "3", "5"]),
    ],
)
def test_scope(scope: Any, expected: list[str]) -> None:
    rows = documents(
        *["A line of some length"] * 6,
        url=["http://a.example.org/1", "http://b.example.org/2", "http://www.c.net", "https://C.net:443/x", None, ""],
        dump=["CC-1", "CC-1", "CC-2", "CC-2", None, None],
    )
    assert judged(RepeatedLines(scope=scope), rows, partitions=2, shards=2) == {id_: [0] for id_ in expected}


def test_row_without_url_is_a_site_by_itself() -> None:
    rows = documents("A line of some length\nA line of some length", "A line of some length", url=[None, None])
    assert judged(RepeatedLines(scope="site"), rows) == {"0": [1]}


def test_it_reads_what_its_settings_need() -> None:
    assert RepeatedLines().reads == pa.schema([c.ID, c.BODY])
    assert RepeatedLines(scope="host", keep="highest n_chars").reads == pa.schema([c.ID, c.N_CHARS, c.BODY, c.URL])
    assert RepeatedLines(scope="dump").reads == pa.schema([c.ID, c.BODY, c.DUMP])


def test_nothing_at_all() -> None:
    assert judged(RepeatedLines(), []) == {}
    assert judged(RepeatedLines(in_documents=2, unit="paragraph"), documents(None, "", "\n\n")) == {}


def test_verdicts_have_the_declared_type() -> None:
    table = pa.table({"row": [0, 0, 3], "repeated_lines": pa.array([[4, 9], [2], [1]], pa.list_(pa.int32()))})
    gathered = RepeatedLines().gather(table)
    assert gathered.to_pydict() == {"row": [0, 3], "repeated_lines": [[2, 4, 9], [1]]}
    assert gathered.select(ADDS).cast(RepeatedLines.adds).schema.field(0).type == pa.list_(pa.int32())


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"min_chars": 0}, "RepeatedLines.min_chars should be at least 1, got 0"),
        ({"in_documents": 1}, "RepeatedLines.in_documents should be at least 2, or null, got 1"),
        ({"keep": "best"}, "keep should be 'first' or a list of .*; got 'best'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        RepeatedLines(**settings)
