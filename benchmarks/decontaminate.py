"""Test items planted in web texts: what each rule finds of each kind of planting, and its speed beside datatrove.

    python benchmarks/decontaminate.py [--rounds N] [--rows N]

Every fourth text of webtext-dev gets an item of 20 words or more in its middle: as it is; in capitals with other
punctuation; its first 80 % of words; its first 40 %; or with every eighth word replaced. `found` is the share of these
whose item is named; `wrong` counts texts without an item that are taken for contaminated. datatrove looks for answers,
so its rule gets the items that have one of 12 words or more, planted with their question.

Speed: `NGramsDecontFilter.filter` and the stage with rule `datatrove` (the same decisions on the same texts and items)
and the others, in turns, the best of N rounds of CPU time on one core, from texts in Arrow. datatrove gets every text
as a Document made beforehand. Needs the extra `bench`.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import datatrove
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.utils.hashing import HashConfig, create_hash_func
from datatrove.utils.word_tokenizers import load_word_tokenizer
from record import record

from stages.decontaminate import Decontaminate
from stages.decontamination.index import Rule
from stages.decontamination.items import Item, read_items

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ITEMS = DATA / "benchmarks-dev.parquet"
EVERY = 4
MIN_WORDS = {"gpt3": 20, "tulu3": 20, "cosmopedia": 20, "datatrove": 12}


def planted(words: list[str]) -> dict[str, str]:
    """The kinds of planting, of one item."""
    return {
        "verbatim": " ".join(words),
        "case_punctuation": ", ".join(words).upper() + "!",
        "first_80_percent": " ".join(words[: len(words) * 8 // 10]),
        "first_40_percent": " ".join(words[: len(words) * 4 // 10]),
        "every_8th_word_replaced": " ".join("zebra" if i % 8 == 7 else word for i, word in enumerate(words)),
    }


def plant(texts: list[str], items: list[Item], rule: str) -> tuple[list[str], dict[int, tuple[str, Item]]]:
    """`texts` with an item in every fourth of them: (texts, row -> kind of planting and item)."""
    of = {item: (item.answer if rule == "datatrove" else item.prompts[0]).split() for item in items}
    fit = [item for item in items if len(of[item]) >= MIN_WORDS[rule]]
    chosen = np.random.default_rng(1).permutation(len(fit))
    kinds, result, where = [*planted([])], list(texts), {}
    for number, row in enumerate(range(0, len(texts), EVERY)):
        item = fit[chosen[number % len(fit)]]
        kind = kinds[number % len(kinds)]
        text = planted(of[item])[kind]
        middle = len(texts[row]) // 2
        question = f"{item.prompts[0]}\n" if rule == "datatrove" else ""
        result[row] = f"{texts[row][:middle]}\n{question}{text}\n{texts[row][middle:]}"
        where[row] = kind, item
    return result, where


def as_table(texts: list[str]) -> pa.Table:
    return pa.table({"text": pa.array(texts, pa.large_string())})


def quality(rule: Rule, texts: list[str], items: list[Item]) -> dict[str, Any]:
    """What the rule finds of each kind of planting, and what it takes for contaminated beside them."""
    with_items, where = plant(texts, items, rule)
    stage = Decontaminate(str(ITEMS), rule=rule, action="mark").open()
    column = stage(as_table(with_items)).column("contaminated_by").to_pylist()
    named = [{(hit["benchmark"], hit["item"]) for hit in hits or []} for hits in column]
    total, found = Counter(kind for kind, _ in where.values()), Counter[str]()
    for row, (kind, item) in where.items():
        found[kind] += (item.benchmark, item.item) in named[row]
    wrong = sum(bool(names) for row, names in enumerate(named) if row not in where)
    flagged = sum(map(bool, named))
    return {
        "planted": len(where),
        "found": {kind: round(found[kind] / total[kind], 4) for kind in total},
        "wrong": wrong,
        "texts_without": len(texts) - len(where),
        "precision": round((flagged - wrong) / flagged, 4) if flagged else None,
    }


def datatroves(items: list[Item], folder: Path) -> Any:
    """Its filter over an index of its own indexer's hashes. sha1: xxhash 4 no longer takes the text it is handed."""
    path = Path(datatrove.__file__).parent / "pipeline" / "decont" / "n_grams.py"
    spec = importlib.util.spec_from_file_location("datatrove_n_grams", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    config = module.NGramsDecontConfig(hash_config=HashConfig(hash_fc="sha1"))
    indexer = object.__new__(module.NGramsDecontIndexer)  # its constructor asks for lighteval, to load tasks
    indexer.config, indexer.tokenizer = config, load_word_tokenizer("en")
    indexer.hash_func = create_hash_func(config.hash_config)
    hashes = {h for item in items for h in indexer.compute_hashes(item.answer, "\n".join(item.prompts))}
    np.array(sorted(hashes), np.uint64).tofile(folder / "all.index.hashes")
    return module.NGramsDecontFilter(str(folder), config)


def speed(texts: list[str], items: list[Item], rounds: int, folder: Path) -> dict[str, Any]:
    """Texts a second of one core, by rule and by datatrove, on the same texts."""
    table, documents = as_table(texts), [Document(text=text, id="") for text in texts]
    theirs = datatroves(items, folder)
    decided: dict[str, list[bool]] = {}
    runs: dict[str, Any] = {"datatrove's filter": lambda: [theirs.filter(d) is not True for d in documents]}
    opened: dict[str, float] = {}
    for rule in get_args(Rule):
        begun = time.process_time()
        transform = Decontaminate(str(ITEMS), rule=rule, action="mark").open()
        opened[rule] = round(time.process_time() - begun, 2)
        runs[f"headrace {rule}"] = lambda t=transform: t(table).column("contaminated_by").is_valid().to_pylist()
        transform(table[:1])  # machine code
    theirs.filter(documents[0])
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.process_time()
            decided[name] = run()
            best[name] = min(best[name], time.process_time() - begun)
    slow = best["datatrove's filter"]
    return {
        "texts": len(texts),
        "bytes_per_text": round(table.nbytes / len(texts)),
        "texts_per_second": {name: round(len(texts) / seconds, 1) for name, seconds in best.items()},
        "times_faster": {name: round(slow / seconds, 1) for name, seconds in best.items() if seconds != slow},
        "same_decisions": decided["datatrove's filter"] == decided["headrace datatrove"],
        "contaminated": sum(decided["datatrove's filter"]),
        "open_cpu_s": opened,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Planted test items: recall, precision, and speed beside datatrove.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2_000)
    arguments = parser.parse_args()
    texts = pq.read_table(DATA / "webtext-dev.parquet", columns=["text"]).column("text").to_pylist()
    order = np.random.default_rng(0).permutation(len(texts))[: arguments.rows]
    texts, items = [texts[row] for row in order], read_items(ITEMS)
    figures: dict[str, Any] = {"items": len(items)}
    figures["rules"] = {rule: quality(rule, texts, items) for rule in get_args(Rule)}
    with tempfile.TemporaryDirectory() as folder:
        sample = plant(texts, items, "datatrove")[0][:400]
        figures["speed_with_planted"] = speed(sample, items, arguments.rounds, Path(folder))
        figures["speed_as_they_are"] = speed(texts[:400], items, arguments.rounds, Path(folder))
    record("decontaminate", figures)


if __name__ == "__main__":
    main()
