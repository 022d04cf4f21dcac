"""Language identification: how right it is, and how fast beside one call of fastText per text, one core.

    python benchmarks/language.py [--rounds N] [--model FILE]

Right: accuracy and macro F1 on lid-dev.parquet by kind of text, over the languages that the model knows (ISO 639-3
codes as the model's labels by the table below, or with a script as eng_Latn), for the stage and for one call per text
of the same model; F1 of each language as a table on stderr. Fast: best of N rounds of CPU time in turns, on lid-dev's
short texts and on whole web texts. Compiling is told apart. Another model than the bundled one has a result of its own.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from first_call import first_call
from record import record

from stages.fasttext_predict import one_line, open_classifier
from stages.language import BUNDLED, Language, _address

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = ("lid-dev.parquet", "webtext-dev.parquet")
FIRST_CALL = """
import time
import pyarrow as pa
from stages.language import Language
table = pa.table({"text": pa.array(["a b c d e f"], pa.large_string())}); begun = time.process_time()
Language().open()(table); print(time.process_time() - begun)
"""
# The label of lid.176 for an ISO 639-3 code, where it is neither that nor the data's own short code.
LABELS = {
    "als": "sq", "arb": "ar", "azj": "az", "cmn": "zh", "ekk": "et", "fas": "fa", "fil": "tl", "gug": "gn", "hbs": "sh",
    "khk": "mn", "kmr": "ku", "lvs": "lv", "nob": "no", "npi": "ne", "ory": "or", "pbu": "ps", "pes": "fa", "plt": "mg",
    "quy": "qu", "quz": "qu", "swh": "sw", "tgl": "tl", "uzn": "uz", "ydd": "yi", "zho": "zh", "zsm": "ms",
}  # fmt: skip


def names_of(rows: pa.Table, labels: tuple[str, ...]) -> list[str | None]:
    """The model's label of each row's language; None where the model does not know it."""
    known = set(labels)
    found: list[str | None] = []
    for row in rows.select(["lang", "iso639_3", "script"]).to_pylist():
        code = row["iso639_3"] or ""
        candidates = (f"{code}_{row['script']}", LABELS.get(code), (row["lang"] or "").partition("-")[0], code)
        found.append(next((name for name in candidates if name in known), None))
    return found


def quality(truth: list[str | None], found: list[str | None]) -> dict[str, Any]:
    """Accuracy, macro F1 and F1 by language over the rows whose language the model knows."""
    pairs = [(t, f) for t, f in zip(truth, found, strict=True) if t is not None]
    right, there, said = (
        Counter(t for t, f in pairs if t == f),
        Counter(t for t, _ in pairs),
        Counter(f for _, f in pairs),
    )
    f1 = {name: 2 * right[name] / (there[name] + said[name]) for name in there}
    return {
        "rows": len(pairs),
        "languages": len(there),
        "accuracy": round(sum(right.values()) / len(pairs), 4),
        "macro_f1": round(sum(f1.values()) / len(f1), 4),
        "f1": {name: round(f1[name], 3) for name in sorted(f1)},
        "texts": {name: there[name] for name in sorted(f1)},
    }


def print_languages(scores: dict[str, Any]) -> None:
    """F1 and number of texts of every language, worst first, five to a line."""
    cells = [
        f"{name:>8} {f1:.3f} {scores['texts'][name]:>5}" for name, f1 in sorted(scores["f1"].items(), key=by_score)
    ]
    lines = ["   ".join(cells[i : i + 5]) for i in range(0, len(cells), 5)]
    print("language, F1, texts", *lines, sep="\n", file=sys.stderr)


def by_score(item: tuple[str, float]) -> tuple[float, str]:
    return item[1], item[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Language identification: how right, and how fast.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=BUNDLED, help="a fastText classifier's file")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    stage = Language(languages=(), model=arguments.model)
    library = open_classifier(Path(_address(stage.model)), kernel=False)
    transform = stage.open()

    def by_call(table: pa.Table) -> list[tuple[str, float] | None]:
        found = (library.library(one_line(text.as_py()), 1, 0.0, "strict") for text in table.column("text"))
        return [(f[0][1].removeprefix("__label__"), min(f[0][0], 1.0)) if f else None for f in found]

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        figures["first_call_cpu_s"] = {
            name: round(first_call(FIRST_CALL, f"{folder}/cache"), 2) for name in ("compiling", "compiled")
        }
    for name in FILES:
        rows = pq.read_table(DATA / name)
        table = rows.select(["text"]).cast(pa.schema([("text", pa.large_string())]))
        best = {"stage": float("inf"), "a call per text": float("inf")}
        for _ in range(rounds):
            for way, run in (("stage", transform), ("a call per text", by_call)):
                start = time.process_time()
                result: Any = run(table)
                best[way] = min(best[way], time.process_time() - start)
                found = result if way == "a call per text" else found_by(result)
                if way == "stage":
                    ours = found
        figures[name.removesuffix(".parquet")] = {
            "texts": len(rows),
            "mb": round(table.nbytes / 1e6, 2),
            "texts_per_s": {way: round(len(rows) / seconds) for way, seconds in best.items()},
            "times_faster": round(best["a call per text"] / best["stage"], 2),
            "other_labels": sum((a and a[0]) != (b and b[0]) for a, b in zip(ours, found, strict=True)),
            "largest_difference_of_score": max(abs(a[1] - b[1]) for a, b in zip(ours, found, strict=True) if a and b),
        }
        if name == FILES[0]:
            truth = names_of(rows, library.labels)
            labels = {"stage": ours, "a call per text": found}
            kinds = ["all", *sorted(set(rows.column("kind").to_pylist()))]
            figures["quality"] = {kind: {} for kind in kinds}
            for way, answers in labels.items():
                for kind in kinds:
                    chosen = [i for i, k in enumerate(rows.column("kind").to_pylist()) if kind in ("all", k)]
                    scores = quality([truth[i] for i in chosen], [(answers[i] or (None,))[0] for i in chosen])
                    if kind != "all" or way != "stage":
                        del scores["f1"], scores["texts"]
                    figures["quality"][kind][way] = scores
    print_languages(figures["quality"]["all"]["stage"])
    record("language" if stage.model == BUNDLED else f"language_{Path(stage.model).stem}", figures)


def found_by(result: pa.Table) -> list[tuple[str, float] | None]:
    """What the stage said, as the library's calls do."""
    langs, scores = result.column("lang").to_pylist(), result.column("lang_score").to_pylist()
    return [None if lang is None else (lang, score) for lang, score in zip(langs, scores, strict=True)]


if __name__ == "__main__":
    main()
