"""`headrace audit dedup`: copies are planted into documents, and what the recipe `dedup` makes of them is counted.

A pair of a document and its copy is `alike` when its true Jaccard similarity (of the same shingles, every one of them:
no MinHash) is at least `NearDuplicates.verify`; without that, at least the similarity at which about half of the pairs
share a band, (1/b)^(1/r). It is `found` when the two are in one cluster and not both stay.

recall      of the pairs that are alike, those that were found
precision   of the pairs that were found, those that are alike; for the whole, of the rows that were removed, those that
            are alike the row that they are said to duplicate
curve       of pairs as similar as these, those that share a band: the mean of 1 - (1 - s^r)^b
expected    of them, those that share a band and are alike: what should be found
wrong       rows that were removed, are neither a copy of the row named nor made from the same document, and are less
            than 0.5 similar to it
"""

import contextlib
import dataclasses
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.commit import committed_files
from cluster.errors import ConfigError
from cluster.local import LocalRunner
from cluster.plan import Plan, make_plan
from cluster.recipe import Recipe
from cluster.run import Options, run
from cluster.shards import list_inputs
from cluster.storage import Folder, open_input
from pipelines.config import configure
from pipelines.dedup import dedup
from pipelines.planted import KINDS, SHUFFLED, Kind, Planted, generate, plant
from stages.dedup.bands import MinHashBands
from stages.dedup.near import NearDuplicates
from stages.read_parquet import ReadParquet
from stages.stage import Unreadable
from stages.text.buffers import text_buffers

SHARDS = 16  # of the input that documents are drawn from
READ = 8  # times as many documents as are wanted are read of each at most, from its beginning
UNLIKE = 0.5  # rows less similar than this were removed wrongly
EXAMPLES = 5
VERDICT = ("id", "duplicate_of", "cluster_id")
Verdicts = dict[str, tuple[str | None, str | None]]  # id -> id of the row that stays instead, id of the cluster


class Similarity:
    """True Jaccard similarity of rows: of the sets of all their shingles of `n_grams` words."""

    def __init__(self, texts: tuple[str, ...], n_grams: int) -> None:
        from stages.kernels import fold  # noqa: PLC0415 - numba takes 0.4 s to import
        from stages.kernels.jaccard import shingle_sets  # noqa: PLC0415

        data, offsets = text_buffers(pa.array(texts, pa.large_string()))
        self._sets = np.empty(int(offsets[-1] - offsets[0]) // 2 + len(texts), np.uint64)
        self._ends = np.empty(len(texts) + 1, np.int64)
        shingle_sets(data, offsets, fold.table(), n_grams, self._sets, self._ends)

    def __call__(self, a: int, b: int) -> float:
        from stages.kernels.jaccard import jaccard  # noqa: PLC0415 - beside its sibling

        ends = self._ends
        return float(jaccard(self._sets, ends[a], ends[a + 1], ends[b], ends[b + 1]))


def audit(urls: list[str], documents: int, seed: int, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Plain data: what was planted into `documents` of `urls` (none: made-up ones), and what became of it."""
    recipe = configure(dedup(), settings)
    bands, near = _parts(recipe)
    texts = sample(make_plan(recipe, list_inputs(urls)), documents, seed) if urls else generate(documents, seed)
    planted = plant(texts, seed)
    verdicts = deduplicate(recipe, planted)
    by_verify = Similarity(planted.texts, near.n_grams)
    by_bands = by_verify if bands.n_grams == near.n_grams else Similarity(planted.texts, bands.n_grams)
    n_bands, values = bands.layout
    least = near.verify if near.verify is not None else (1 / n_bands) ** (1 / values)
    tests = []
    for pair in planted.pairs:
        here, there = verdicts[planted.ids[pair.of]], verdicts[planted.ids[pair.copy]]
        found = here[1] is not None and here[1] == there[1] and not (here[0] is None and there[0] is None)
        shared = 1 - (1 - by_bands(pair.of, pair.copy) ** values) ** n_bands
        tests.append((pair.kind, by_verify(pair.of, pair.copy), shared, found))
    alike_found = sum(found and s >= least for _, s, _, found in tests)
    alike = sum(s >= least for _, s, _, _ in tests)
    return {
        "recipe": recipe.name,
        "input": urls or None,
        "seed": seed,
        "bands": n_bands,
        "hashes_per_band": values,
        "n_grams": bands.n_grams,
        "verify": near.verify,
        "keep": near.keep,
        "threshold": least,
        "documents": planted.documents,
        "planted": len(planted.pairs),
        "recall": alike_found / alike if alike else None,
        "kinds": [_line(kind, least, near.verify, [test[1:] for test in tests if test[0] == kind]) for kind in KINDS],
        **_removals(planted, verdicts, by_verify, least),
    }


def sample(plan: Plan, n: int, seed: int) -> list[str]:
    """At most `n` texts, drawn from the beginnings of at most `SHARDS` shards spread over the input."""
    draw = np.random.default_rng(seed)
    chosen = sorted(draw.permutation(len(plan.shards))[:SHARDS].tolist())
    most, pool = READ * -(-n // max(len(chosen), 1)), []
    read = plan.recipe.steps[0].source.open()
    for number in chosen:
        shard, texts = plan.shards[number], list[str]()
        with open_input(shard.piece.uri) as file:
            for table in read(file, shard.piece):
                if not isinstance(table, Unreadable):
                    texts += [text for text in table.column("text").slice(0, most).to_pylist() if text]
                if len(texts) >= most:
                    break
        pool += texts[:most]
    return [pool[row] for row in draw.permutation(len(pool))[:n].tolist()]


def deduplicate(recipe: Recipe, planted: Planted) -> Verdicts:
    """What the recipe says of every row; it runs over them in a folder that is gone afterwards."""
    steps = tuple(dataclasses.replace(step, source=ReadParquet()) for step in recipe.steps)
    recipe = Recipe(recipe.name, steps, recipe.about)
    with tempfile.TemporaryDirectory(prefix="headrace-audit-") as name:
        table = pa.table({"id": list(planted.ids), "text": pa.array(planted.texts, pa.large_string())})
        pq.write_table(table, Path(name) / "documents.parquet")
        plan = make_plan(recipe, list_inputs([f"{name}/documents.parquet"]))
        with contextlib.redirect_stderr(io.StringIO()):  # the log of a run that nobody asked for
            run(plan, f"{name}/out", LocalRunner(), Options(removed_text=False, quiet=True))
        folder = Folder(f"{name}/out/{recipe.final}")
        found: Verdicts = {}
        for path in [*committed_files(folder, "data"), *committed_files(folder, "removed")]:
            with folder.open(path) as file:
                rows = pq.read_table(file, columns=list(VERDICT)).to_pylist()
            found |= {row["id"]: (row["duplicate_of"], row["cluster_id"]) for row in rows}
    return found


def as_text(found: dict[str, Any]) -> str:
    """The same as a table for a person."""
    of = f"documents of {', '.join(found['input'])}" if found["input"] else "made-up documents"
    verify = "not verified" if found["verify"] is None else f"verified at {found['verify']:g}"
    lines = [
        f"audit of {found['recipe']}: {found['planted']:,} texts planted into {found['documents']:,} {of}, "
        f"seed {found['seed']}",
        f"{found['bands']} bands of {found['hashes_per_band']} over shingles of {found['n_grams']} words, {verify}; "
        f"pairs of Jaccard {found['threshold']:.2f} are alike",
        "",
        f"{'planted':<14}{'pairs':>7}{'jaccard':>9}{'alike':>8}{'found':>8}{'curve':>8}{'expected':>10}"
        f"{'recall':>8}{'precision':>11}",
    ]
    for kind in found["kinds"]:
        name = f"edited {100 * kind['edited']:.0f} %" if kind["edited"] else kind["kind"]
        lines.append(
            f"{name:<14}{kind['pairs']:>7,}{kind['jaccard']:>9.3f}{_share(kind['alike']):>8}{_share(kind['found']):>8}"
            f"{_share(kind['curve']):>8}{_share(kind['expected']):>10}{_share(kind['recall']):>8}"
            f"{_share(kind['precision']):>11}"
        )
    kept = found["kept"]
    lines += [
        "",
        f"recall {_share(found['recall'])} of the pairs that are alike; precision {_share(found['precision'])} of "
        f"{found['removed']:,} rows removed",
        f"wrong removals: {found['wrong']:,} (no planted copy, less than {UNLIKE} similar to the row that stays)",
        *(f"  {e['id']} as {e['duplicate_of']}, Jaccard {e['jaccard']:.3f}" for e in found["wrong_examples"]),
        f"kept: {kept['documents']:,} of {found['documents']:,} documents, {kept['copies']:,} of {found['copies']:,} "
        f"copies, {kept['shuffled']:,} of {found['planted'] - found['copies']:,} shuffled texts",
    ]
    return "\n".join(lines)


def _parts(recipe: Recipe) -> tuple[MinHashBands, NearDuplicates]:
    """The two parts of the recipe that are measured. `ConfigError` for an index, which an audit has no texts of."""
    bands, near = recipe.steps[0].stages[0], recipe.steps[1].shuffle
    assert isinstance(bands, MinHashBands)
    assert isinstance(near, NearDuplicates)
    if near.index is not None:
        raise ConfigError(f"an audit takes no NearDuplicates.index, got {near.index!r}: it has none of its texts")
    return bands, near


def _line(kind: Kind, least: float, verify: float | None, tests: list[tuple[float, float, bool]]) -> dict[str, Any]:
    """Of pairs of one kind, as (similarity, chance to share a band, found): their figures."""
    similar, shared, found = (np.array(column, float) for column in zip(*tests, strict=True))
    alike = similar >= least
    hits = float((alike * found).sum())
    return {
        "kind": kind.name,
        "edited": kind.edited,
        "pairs": len(tests),
        "jaccard": float(similar.mean()),
        "alike": float(alike.mean()),
        "found": float(found.mean()),
        "curve": float(shared.mean()),
        "expected": float((shared * alike).mean() if verify is not None else shared.mean()),
        "recall": hits / float(alike.sum()) if alike.any() else None,
        "precision": hits / float(found.sum()) if found.any() else None,
    }


def _removals(planted: Planted, verdicts: Verdicts, similarity: Similarity, least: float) -> dict[str, Any]:
    """Every row that was removed, judged by the row that stays instead of it; and what stays."""
    rows = {id_: row for row, id_ in enumerate(planted.ids)}
    removed, right, wrong = 0, 0, []
    for id_, (stays, _) in sorted(verdicts.items()):
        if stays is None:
            continue
        removed += 1
        score = similarity(rows[id_], rows[stays])
        right += score >= least
        if score < UNLIKE and planted.origin(rows[id_]) != planted.origin(rows[stays]):
            wrong.append({"id": id_, "duplicate_of": stays, "jaccard": score})
    kept = [rows[id_] for id_, (stays, _) in verdicts.items() if stays is None]
    shuffled = {pair.copy for pair in planted.pairs if pair.kind == SHUFFLED}
    documents = sum(row < planted.documents for row in kept)
    return {
        "removed": removed,
        "precision": right / removed if removed else None,
        "wrong": len(wrong),
        "wrong_examples": wrong[:EXAMPLES],
        "copies": len(planted.pairs) - len(shuffled),
        "kept": {
            "documents": documents,
            "copies": len(kept) - documents - sum(row in shuffled for row in kept),
            "shuffled": sum(row in shuffled for row in kept),
        },
    }


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
