"""Test items of benchmarks, from a Parquet or JSON lines file: which of their fields are the text to look for.

A row has `benchmark`, `item` (any name or number; its place in the file when it has none) and either `json`, the item
as a JSON object, or the item's fields beside these two.

What of a benchmark is looked for is its question without the scaffolding that evaluation puts around it: labels such as
`Question:`, the choices, an empty `Answer:`. They are in no training document that has the question, and they are the
same in every item.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

MIN_CHARS = 40  # of a text in an item of an unknown benchmark
PARQUET = b"PAR1"
SCAFFOLD = re.compile(
    r"\nChoices:.*|\nA\. .*"  # up to the end
    r"|^(?:Passage|Context|Question|Q): *"
    r"|^Is the following statement true or false\? Output T for true and F for false\.\n"
    r"|\n(?:Answer|A): *\Z",
    re.DOTALL | re.MULTILINE,
)
CATEGORY = re.compile(r"^[^a-z:]+: ")  # WORLD HISTORY:


class Item(NamedTuple):
    """A test item: its prompts, and the right answer where that is a text of its own."""

    benchmark: str
    item: str
    prompts: tuple[str, ...]
    answer: str


class Fields(NamedTuple):
    """Which fields are the prompts and the answer: `a b` is both, one behind the other; of a list, number `gold`."""

    prompts: tuple[str, ...]
    answer: str = ""
    strip: re.Pattern[str] = SCAFFOLD


CHOICE = Fields(("query",), "choices")
LETTER = Fields(("query",))  # the choices are in the query, the answer is a letter
FILLED = Fields(("context_options continuation",))
ENDING = Fields(("context",), "continuation")

# The files of llm-foundry by its names for them, and GSM8K's own.
BENCHMARKS = {
    "arc_challenge": CHOICE, "arc_easy": CHOICE, "copa": CHOICE, "openbook_qa": CHOICE, "piqa": CHOICE,
    "agi_eval_sat_en": LETTER, "bigbench_misconceptions": LETTER, "bigbench_strategy_qa": LETTER, "boolq": LETTER,
    "commonsense_qa": LETTER, "logi_qa": LETTER, "math_qa": LETTER, "siqa": LETTER,
    "winograd_wsc": FILLED, "winogrande": FILLED,
    "lambada_openai": ENDING, "pubmed_qa_labeled": Fields(("context",)),
    "jeopardy_all": Fields(("context",), "continuation", CATEGORY),
    "triviaqa_sm_sub": Fields(("context",), "answer"), "svamp": Fields(("context",)),
    "gsm8k_test_original": Fields(("question",), "answer"), "human_eval": Fields(("prompt",), "canonical_solution"),
}  # fmt: skip

# Of a benchmark that is not listed: the first of these names that it has, else every text of MIN_CHARS.
PROMPTS = ("question", "query", "prompt", "problem", "instruction", "input", "text")
ANSWERS = ("answer", "target", "solution", "output", "continuation")
UNCHANGED = re.compile(r"(?!)")


def read_items(path: Path, fields: dict[str, list[str]] | None = None) -> list[Item]:
    """The items of a file, in order. `fields` names the prompts of benchmarks. `ValueError` says which row is wrong."""
    items = []
    for number, row in enumerate(_rows(path)):
        where = f"{path}: row {number}"
        benchmark = row.pop("benchmark", None)
        name = row.pop("item", None)
        if not isinstance(benchmark, str) or not benchmark:
            raise ValueError(f"{where}: expected 'benchmark' to be a name, found {benchmark!r}")
        text = row.get("json")
        try:
            data = json.loads(text) if isinstance(text, str) else row
        except ValueError as error:
            raise ValueError(f"{where} ({benchmark} {name}): 'json' is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise ValueError(f"{where} ({benchmark} {name}): expected an object in 'json', found {type(data).__name__}")
        prompts, answer = texts_of(data, fields_of(benchmark, data, fields or {}))
        items.append(Item(benchmark, str(number if name is None else name), prompts, answer))
    return items


def fields_of(benchmark: str, data: dict[str, Any], given: dict[str, list[str]]) -> Fields:
    """Where the texts of this item are."""
    if benchmark in given:
        return Fields(tuple(given[benchmark]), strip=UNCHANGED)
    if benchmark in BENCHMARKS:
        return BENCHMARKS[benchmark]
    prompt = next((name for name in PROMPTS if isinstance(data.get(name), str)), None)
    answer = next((name for name in ANSWERS if isinstance(data.get(name), str)), "")
    return Fields((prompt,), answer, UNCHANGED) if prompt else Fields((), "", UNCHANGED)


def texts_of(data: dict[str, Any], fields: Fields) -> tuple[tuple[str, ...], str]:
    """(the prompts without scaffolding, empty ones left out; the answer) of an item."""

    def value(name: str) -> str:
        found = data.get(name)
        if isinstance(found, list):
            gold = data.get("gold")
            found = found[gold] if isinstance(gold, int) and 0 <= gold < len(found) else ""
        return found.strip() if isinstance(found, str) else ""

    if not fields.prompts:
        return tuple(_long_texts(data)), ""
    prompts = [fields.strip.sub("", " ".join(map(value, names.split()))).strip() for names in fields.prompts]
    return tuple(filter(None, prompts)), value(fields.answer)


def _long_texts(data: Any) -> Iterator[str]:
    if isinstance(data, str) and len(data) >= MIN_CHARS:
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _long_texts(value)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        parquet = file.read(len(PARQUET)) == PARQUET
    if parquet:
        table = pq.read_table(path)
        if "benchmark" not in table.column_names:
            there = ", ".join(table.column_names)
            raise ValueError(f"{path}: expected a column 'benchmark', found {there}")
        for batch in table.to_batches():
            yield from pa.Table.from_batches([batch]).to_pylist()
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}: line {number + 1} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}: line {number + 1}: expected an object, found {type(row).__name__}")
            yield row
