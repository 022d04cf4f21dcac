"""Which text of an item is looked for."""

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.decontamination.items import BENCHMARKS, Item, read_items

ITEMS = Path(__file__).parents[3].parent / "shared" / "data" / "benchmarks-dev.parquet"


def items(tmp_path, *rows, **how):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_items(path, **how)


@pytest.mark.parametrize(
    ("benchmark", "data", "prompt", "answer"),
    [
        ("arc_easy", {"query": "Question: Why?", "choices": ["so", "thus"], "gold": 1}, "Why?", "thus"),
        ("boolq", {"query": "Passage: It is.\nQuestion: is it?", "choices": ["no"], "gold": 0}, "It is.\nis it?", ""),
        ("commonsense_qa", {"query": "Question: Where?\nChoices:\nA. bank\nB. mall\nAnswer:"}, "Where?", ""),
        ("math_qa", {"query": "Question: how many ?\nA. 1\nB. 2\nAnswer: "}, "how many ?", ""),
        ("winogrande", {"context_options": ["so A", "so B"], "continuation": "won.", "gold": 1}, "so B won.", ""),
        ("jeopardy_all", {"context": "WORLD HISTORY: He flew: far", "continuation": "Byrd"}, "He flew: far", "Byrd"),
        ("triviaqa_sm_sub", {"context": "Question: Who?\nAnswer:", "answer": "I"}, "Who?", "I"),
        ("bigbench_strategy_qa", {"query": "Q: Was it?\nA:"}, "Was it?", ""),
        ("gsm8k_test_original", {"question": "How\nmany?", "answer": "#### 5"}, "How\nmany?", "#### 5"),
        ("another", {"id": "x", "question": "Q: Why?", "answer": "so"}, "Q: Why?", "so"),
    ],
)
def test_prompt_and_answer(tmp_path, benchmark, data, prompt, answer):
    row = {"benchmark": benchmark, "item": 7, "json": json.dumps(data)}
    assert items(tmp_path, row) == [Item(benchmark, "7", (prompt,), answer)]


def test_unknown_benchmark_gives_its_long_texts(tmp_path):
    long = "x" * 40
    row = {"benchmark": "b", "a": long, "b": [{"c": long + "y"}, "short", 3]}
    assert items(tmp_path, row) == [Item("b", "0", (long, long + "y"), "")]


def test_fields_that_are_named_are_the_prompts(tmp_path):
    row = {"benchmark": "arc_easy", "item": "a", "query": "q", "hint": "h", "more": None}
    assert items(tmp_path, row, fields={"arc_easy": ["hint query", "more"]}) == [Item("arc_easy", "a", ("h q",), "")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"item": 1}', "row 0: expected 'benchmark' to be a name, found None"),
        ('{"benchmark": "b", "item": 1, "json": "{"}', "row 0 (b 1): 'json' is not JSON: "),
        ('{"benchmark": "b", "item": 1, "json": "[]"}', "row 0 (b 1): expected an object in 'json', found list"),
        ("nonsense", "line 1 is not JSON: "),
        ("[]", "line 1: expected an object, found list"),
    ],
)
def test_a_wrong_file_is_told_by_row(tmp_path, text, message):
    path = tmp_path / "items.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_items(path)


def test_a_parquet_file_without_benchmarks_is_told(tmp_path):
    pq.write_table(pa.table({"name": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="expected a column 'benchmark', found name"):
        read_items(tmp_path / "x.parquet")


@pytest.mark.skipif(not ITEMS.exists(), reason="no shared data")
def test_every_item_of_the_benchmarks_has_one_prompt_without_scaffolding():
    found = read_items(ITEMS)
    assert {item.benchmark for item in found} == set(BENCHMARKS)
    assert Counter(len(item.prompts) for item in found) == {1: 7087}
    scaffold = re.compile(r"^(Question|Passage|Context|Q): |\nChoices:|\nAnswer: *$")
    assert [item for item in found if scaffold.search(item.prompts[0])] == []
    answered = {item.benchmark for item in found if item.answer}
    assert answered == {
        "arc_challenge", "arc_easy", "copa", "openbook_qa", "piqa", "lambada_openai", "jeopardy_all",
        "triviaqa_sm_sub", "gsm8k_test_original", "human_eval",
    }  # fmt: skip
