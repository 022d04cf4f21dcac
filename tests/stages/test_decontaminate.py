"""Which documents are taken for contaminated, by the rules as published and by datatrove's own filter."""

import importlib.util
import json
import sys
from pathlib import Path

import datatrove
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.utils.hashing import HashConfig, create_hash_func
from datatrove.utils.word_tokenizers import load_word_tokenizer

from schemas import columns as c
from stages.decontaminate import Decontaminate
from stages.decontamination.index import gpt3_size
from stages.decontamination.items import read_items
from stages.stage import Stage, StageError, check

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ITEMS = DATA / "benchmarks-dev.parquet"
TEN = "one two three four five six seven eight nine ten"
BAKER = (
    "A baker makes twelve loaves of bread each morning and sells nine of them. "
    "How many loaves are left at the end of the week?"
)
FILLER = "The river was low that summer and nobody in the village could remember a drier one. " * 4


def table(*texts):
    return pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())})


@pytest.fixture
def items(tmp_path):
    """A file of items of one field each: `items({"bench": [text, ...]})`."""

    def write(by_benchmark, **settings):
        path = tmp_path / "items.jsonl"
        rows = [{"benchmark": b, "item": i, "question": q} for b, qs in by_benchmark.items() for i, q in enumerate(qs)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Decontaminate(benchmarks=str(path), **settings)

    return write


def found(stage, *texts):
    """[(benchmark, item, score), ...] or None, for each text."""
    column = stage.open()(table(*texts)).column("contaminated_by").to_pylist()
    return [hits and [(h["benchmark"], h["item"], round(h["score"], 4)) for h in hits] for hits in column]


def test_is_a_stage(items):
    stage = items({"b": [TEN]})
    assert isinstance(stage, Stage)
    check((stage,), pa.schema([c.ID, c.BODY]))
    assert len(stage.files_sha256[0]) == 64
    result = stage.open()(table("x"))
    assert result.schema.field("contaminated_by") == c.CONTAMINATED_BY


def test_tulu3_needs_more_than_half_of_the_words_in_eight_grams(items):
    """methods 17: of 10 words, the first 8 in order are 8/10; 7 are none."""
    stage = items({"b": [TEN]}, rule="tulu3")
    first_8, first_7 = "one two three four five six seven eight", "one two three four five six seven"
    assert found(stage, first_8, first_7, f"x {TEN} y", None, "") == [
        [("b", "0", 0.8)],
        None,
        [("b", "0", 1.0)],
        None,
        None,
    ]


def test_tulu3_splits_at_its_characters_alone(items):
    stage = items({"b": [TEN]}, rule="tulu3")
    same = 'ONE,two.three?Four!five:six;seven(eight)"nine-ten'
    tabs = TEN.replace(" ", "\t")
    assert found(stage, same, tabs, TEN.replace(" ", "'")) == [[("b", "0", 1.0)], None, None]


def test_tulu3_counts_a_repeated_ngram_at_its_last_place(items):
    """Sixteen words, the same eight twice: a document with them matches 8 of 16, which is not more than half."""
    eight = "a b c d e f g h"
    stage = items({"b": [f"{eight} {eight}"]}, rule="tulu3", threshold=0.0)
    assert found(stage, eight) == [[("b", "0", 0.5)]]


def test_tulu3_averages_over_the_prompts_of_an_item(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"benchmark": "b", "item": 1, "passage": TEN, "question": "how many were there"}))
    stage = Decontaminate(str(path), rule="tulu3", fields={"b": ["passage", "question"]}, threshold=0.4)
    assert found(stage, TEN) == [[("b", "1", 0.5)]]  # the question is too short for an 8-gram: 0


@pytest.mark.parametrize(
    ("lengths", "n"), [([30] * 100, 13), ([3] * 100, 8), ([10] * 100, 10), ([2] * 4 + [11] * 96, 11), ([9, 40], 10)]
)
def test_gpt3_n_is_the_fifth_percentile_from_8_to_13(lengths, n):
    assert gpt3_size(lengths) == n


def test_gpt3_ignores_case_punctuation_and_white_space(items):
    stage = items({"b": [BAKER]})
    other = BAKER.upper().replace(" ", "\n ").replace(".", "!!")
    apart = BAKER.replace("twelve", "many").replace("them", "those").replace("left", "sold")
    assert found(stage, other, apart) == [[("b", "0", 1.0)], None]


def test_gpt3_ngrams_of_more_than_ten_items_say_nothing(items):
    rest = "in the old house by the road under the hill near one of the {} mills"
    stage = items({"b": [rest.format(i) for i in range(11)]})
    assert found(stage, "in the old house by the road under the hill near one of the", rest.format(3)) == [
        None,
        [("b", "3", 0.5)],  # the n-grams that have the number in them
    ]
    assert found(items({"b": [rest.format(i) for i in range(10)]}), rest.format(99))[0] is not None


def test_gpt3_ngrams_of_a_list_say_nothing(items, tmp_path):
    path = tmp_path / "common.txt"
    path.write_text("one two three four five six seven eight\n")
    eight = "one two three four five six seven eight"
    assert found(items({"b": [TEN]}, n=8), eight) == [[("b", "0", 0.3333)]]
    assert found(items({"b": [TEN]}, n=8, ignore=str(path)), eight, TEN) == [None, [("b", "0", 0.6667)]]


def test_cosmopedia_compares_characters_of_candidates(items):
    """Scores of cosmopedia's decontaminate.py."""
    texts = [
        "Here it is: " + BAKER.upper().replace("?", "!!"),
        "A baker makes twelve loaves of bread each morning and sells them to the school.",
        "And then: twelve loaves of bread each morning and sells nine of them in a small shop",
        "A baker makes many loaves of bread each morning, and sells some of them.",  # no 10-gram
    ]
    stage = items({"b": [BAKER]}, rule="cosmopedia", threshold=0.0)
    assert found(stage, *texts) == [[("b", "0", 1.0)], [("b", "0", 0.4917)], [("b", "0", 0.4833)], None]
    assert found(items({"b": [BAKER]}, rule="cosmopedia"), *texts) == [[("b", "0", 1.0)], None, None, None]


@pytest.fixture(scope="module")
def datatroves():
    """Its module alone: the package around it does not import without the tokenizers that other blocks need."""
    path = Path(datatrove.__file__).parent / "pipeline" / "decont" / "n_grams.py"
    spec = importlib.util.spec_from_file_location("datatrove_n_grams", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def datatroves_filter(module, items, folder):
    """Its filter over an index that its indexer's own hashes make; the indexer's constructor asks for lighteval."""
    config = module.NGramsDecontConfig(hash_config=HashConfig(hash_fc="sha1"))
    indexer = object.__new__(module.NGramsDecontIndexer)
    indexer.config, indexer.tokenizer = config, load_word_tokenizer("en")
    indexer.hash_func = create_hash_func(config.hash_config)
    hashes = {h for item in items for h in indexer.compute_hashes(item.answer, "\n".join(item.prompts))}
    folder.mkdir()
    np.array(sorted(hashes), np.uint64).tofile(folder / "all.index.hashes")
    return module.NGramsDecontFilter(str(folder), config)


def test_datatrove_decides_as_its_filter(datatroves, tmp_path):
    rows = [
        {
            "benchmark": "b",
            "item": 0,
            "question": BAKER,
            "answer": "They have 21.5 loaves, i.e. 3 a day, and can't sell",
        },
        {
            "benchmark": "b",
            "item": 1,
            "question": "Who?",
            "answer": TEN + " cannot dont \u20ac5 10km na\u00efve \u0130x",
        },
        {"benchmark": "b", "item": 2, "question": "Short?", "answer": "No."},
        {"benchmark": "b", "item": 3, "question": BAKER + " And now 1 2 3 4 5 6 7 8 9 10 11?", "answer": "1 2 3"},
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = Decontaminate(str(tmp_path / "items.jsonl"), rule="datatrove")
    texts = [
        BAKER,
        BAKER + " They have",
        FILLER + BAKER.upper() + " THEY   HAVE (7) loaves; i.e. 9 a day, and can't sell. " + FILLER,
        "the end of the week? They have 21.5 loaves, i.e. 3 a",
        TEN + " can not",
        TEN + " cannot d",
        "three four five six seven eight nine ten cannot dont",
        "two three four five six seven eight nine ten can notdont",
        "five six seven eight nine ten cannot dont \u20ac9 77km",
        "seven eight nine ten cannot dont \u20ac5 10km naive ix",
        "no who short",
        "9 9 9 9 9 9 9 9 9 9 9 9 9 9",
        "1.5 2,5 3.5 4.5 5 6 7 8 9 1 1 1",
        "1.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24",
        "",
    ]
    theirs = datatroves_filter(datatroves, read_items(tmp_path / "items.jsonl"), tmp_path / "index")
    expected = [theirs.filter(Document(text=text, id="")) is not True for text in texts]
    assert [hits is not None for hits in found(stage, *texts)] == expected
    assert {True, False} == set(expected)


@pytest.mark.skipif(not ITEMS.exists(), reason="no shared data")
def test_datatrove_decides_as_its_filter_on_real_texts(datatroves, tmp_path):
    """Web texts, every fourth with a part of an item in it."""
    items = read_items(ITEMS)[::20]
    with_answers = [item for item in items if item.answer]
    column = pq.read_table(DATA / "webtext-dev.parquet", columns=["text"]).column("text")
    texts = [text[:3000] for text in column.to_pylist()[::32]]
    for row in range(0, len(texts), 4):
        item = with_answers[row % len(with_answers)]
        texts[row] += "\n" + (item.prompts[0][-150:] + "\n" + item.answer).upper()
    keep = {(item.benchmark, item.item) for item in items}
    rows = [r for r in pq.read_table(ITEMS).to_pylist() if (r["benchmark"], str(r["item"])) in keep]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    theirs = datatroves_filter(datatroves, items, tmp_path / "index")
    expected = [theirs.filter(Document(text=text, id="")) is not True for text in texts]
    stage = Decontaminate(str(tmp_path / "items.parquet"), rule="datatrove")
    assert [hits is not None for hits in found(stage, *texts)] == expected
    assert sum(expected) > 8


def test_drop_and_mark(items):
    for action, reason in (("drop", "contaminated"), ("mark", None)):
        result = items({"b": [BAKER]}, action=action).open()(table(FILLER + BAKER, FILLER))
        assert result.column("drop_reason").to_pylist() == [reason, None]
        assert result.column("text").to_pylist() == [FILLER + BAKER, FILLER]
        hit = result.column("contaminated_by").to_pylist()[0][0]
        assert hit["ngram"] == "a baker makes twelve loaves of bread each morning and sells nine of"
        assert hit["places"] == list(range(13))


def test_cut_takes_out_what_is_shared_and_200_characters_around_it(items):
    before, after, short = "b" * 450, "a" * 500, "s" * 398
    stage = items({"b": [BAKER]}, action="cut")
    texts = [f"{before} {BAKER} {after}", f"{short} {BAKER} {after}", BAKER, FILLER]
    result = stage.open()(table(*texts))
    assert result.column("text").to_pylist() == ["b" * 251 + "\n\n" + "a" * 301, "a" * 301, BAKER, FILLER]
    assert result.column("drop_reason").to_pylist() == [None, None, "contaminated", None]
    assert result.column("n_chars").to_pylist()[:2] == [554, 301]
    edit = {"stage": "Decontaminate", "rule": "contaminated", "n_chars_before": 1074, "n_chars_after": 554}
    assert result.column("edits").to_pylist() == [
        [edit],
        [{**edit, "n_chars_before": 1022, "n_chars_after": 301}],
        None,
        None,
    ]


def test_cut_drops_a_document_in_more_than_ten_pieces(items):
    stage = items({"b": [BAKER]}, action="cut")
    many, nine = (f"{BAKER} ".join(["x" * 700 + " "] * n) for n in (11, 10))
    assert stage.open()(table(many, nine)).column("drop_reason").to_pylist() == ["contaminated", None]


@pytest.mark.parametrize("rule", ["gpt3", "tulu3", "datatrove", "cosmopedia"])
def test_items_that_are_short_empty_or_there_twice(tmp_path, rule):
    rows = [
        {"benchmark": "b", "item": 0, "question": "", "answer": ""},
        {"benchmark": "b", "item": 1, "question": "Why?", "answer": "So."},
        {"benchmark": "b", "item": 2},
        {"benchmark": "b", "item": 3, "question": BAKER, "answer": TEN + " " + BAKER},
        {"benchmark": "c", "item": 3, "question": BAKER, "answer": TEN + " " + BAKER},
        {
            "benchmark": "b",
            "item": 4,
            "question": "\u0baf\u0bbe\u0ba4\u0bc1\u0bae\u0bcd \uac00\ub098 \U0001f600 \u4f60\u597d\u4e16\u754c " * 9,
            "answer": "\U0001f600 " * 20,
        },
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [f"{BAKER} {TEN} {BAKER}", "Why? So. " * 5, "\U0001f600 " * 30, "\u4f60\u597d" * 50, FILLER]
    hits = found(Decontaminate(str(path), rule=rule, n=8), *texts)
    assert [(b, i) for b, i, _ in hits[0]] == [("b", "3"), ("c", "3")]
    assert hits[1] is None
    assert hits[3:] == [None, None]


def test_nothing_to_look_for_ends_the_run(items, tmp_path):
    with pytest.raises(StageError, match=r"set Decontaminate\.benchmarks"):
        Decontaminate().open()
    with pytest.raises(StageError, match=r"none of 2 items in .* has an n-gram to find"):
        items({"b": ["too short", ""]}).open()
    stage = items({"b": [TEN]})
    (tmp_path / "items.jsonl").write_text("")
    with pytest.raises(StageError, match="the files have SHA-256"):
        stage.open()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rule": "gpt4"},
            "rule should be one of gpt3, tulu3, datatrove, cosmopedia, got 'gpt4'; did you mean 'gpt3'?",
        ),
        ({"action": "kill"}, "action should be one of drop, cut, mark, got 'kill'"),
        ({"n": 0}, "Decontaminate.n should be at least 1, got 0"),
        ({"rule": "tulu3", "action": "cut"}, "action 'cut' is of rule 'gpt3'; 'tulu3' takes 'drop' or 'mark'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError) as caught:
        Decontaminate(**settings)
    assert str(caught.value) == message


def test_a_document_of_50_megabytes(items):
    stage = items({"b": [BAKER]}, action="cut")
    large = FILLER * 150_000
    result = stage.open()(table(large, large[:1000] + BAKER))
    assert result.column("contaminated_by").is_valid().to_pylist() == [False, True]
    assert result.column("n_chars").to_pylist()[0] == 50_400_000
