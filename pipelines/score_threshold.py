"""The threshold that selects a share of a dataset, a budget of tokens, or what lies above a quantile:

    python -m pipelines.score_threshold --input DATA --score educational_value_score --budget 30e9 --temperature 2
    python -m pipelines.score_threshold --input DATA --score confidence_score --quantile 0.5

Prints one JSON object, with the settings of `SelectByScore` that make the selection as `--set` takes them. The first is
QuRating's (methods 5.4): scores less their mean over their standard deviation, of all rows, over the temperature, plus
noise; the highest, until their tokens reach the budget. The second, at 0.5, is the median of CLEAR's Auto-Filter.
Scores are read once, and two numbers a row are in memory.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.errors import ConfigError
from cluster.shards import InputFile, list_inputs
from cluster.storage import open_input
from schemas import columns as c
from schemas.check import nearest
from stages.ids import id_of, source_of
from stages.rate.select import Doubles, SelectByScore, numbers

BATCH_ROWS = 65536


def main(argv: list[str] | None = None) -> int:
    """Print the threshold. Exit status as `headrace`."""
    program = argparse.ArgumentParser(prog="python -m pipelines.score_threshold", description="A threshold for scores.")
    program.add_argument("--input", action="append", required=True, metavar="URL", help="Parquet: file, folder or glob")
    program.add_argument("--score", required=True, metavar="COLUMN", help="the scores")
    kinds = program.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--quantile", type=float, metavar="Q", help="the score that this share of rows is not above")
    kinds.add_argument("--budget", type=float, metavar="TOKENS", help="the highest scores, up to so many tokens")
    kinds.add_argument("--share", type=float, metavar="R", help="the highest scores, this share of the rows")
    program.add_argument("--temperature", type=float, help="of the noise; QuRating recommends 2 (default: none)")
    program.add_argument("--tokens", default=c.N_TOKENS.name, metavar="COLUMN", help="what a row counts (n_tokens)")
    program.add_argument("--seed", type=int, default=42, help="of the noise (default 42)")
    options = program.parse_args(argv)
    try:
        if options.quantile is not None:
            found = quantile(options.input, options.score, options.quantile)
        else:
            found = best(
                options.input,
                SelectByScore(options.score, temperature=options.temperature, seed=options.seed),
                budget=options.budget,
                share=options.share,
                tokens=options.tokens,
            )
        print(json.dumps(found))
    except (ConfigError, ValueError) as error:
        print(f"score_threshold: {error}", file=sys.stderr)
        return 2
    return 0


def quantile(inputs: Sequence[str], score: str, at: float) -> dict[str, Any]:
    """The quantile `at` of a column's numbers, between two by their straight line; above it is what is selected."""
    if not 0 <= at <= 1:
        raise ConfigError(f"--quantile should be from 0 to 1, got {at}")
    values = np.concatenate([found for found, _, _ in _read(inputs, score, None)])
    known = values[~np.isnan(values)]
    if not len(known):
        raise ConfigError(f"column {score!r} has no number in {len(values)} rows")
    above = float(np.quantile(known, at))
    return {
        "rows": len(values),
        "scored": len(known),
        "selected": int((known > above).sum()),
        "set": [f"SelectByScore.score={score}", f"SelectByScore.above={above!r}"],
    }


def best(
    inputs: Sequence[str],
    select: SelectByScore,
    budget: float | None = None,
    share: float | None = None,
    tokens: str = c.N_TOKENS.name,
) -> dict[str, Any]:
    """The lowest selection score among the best rows: as many as reach `budget` tokens, or a `share` of the scored.

    The row that reaches the budget is selected. A budget above all tokens selects all rows that have a score.
    """
    if (budget is not None and budget <= 0) or (share is not None and not 0 < share <= 1):
        raise ConfigError(f"--budget should be above 0, --share above 0 and at most 1, got {budget} and {share}")
    parts = list(_read(inputs, select.score, tokens if budget is not None else None, select))
    values, noise, counts = (np.concatenate([part[i] for part in parts]) for i in range(3))
    known = ~np.isnan(values)
    values, noise, counts = values[known], noise[known], counts[known]
    if not len(values):
        raise ConfigError(f"column {select.score!r} has no number in {len(known)} rows")
    std = float(values.std())
    select = replace(select, mean=float(values.mean()), std=std or 1.0)
    chosen = select.of(values, noise)
    order = np.argsort(-chosen, kind="stable")
    sums = np.cumsum(counts[order])
    wanted = budget if budget is not None else int((share or 1.0) * len(values))
    last = min(int(np.searchsorted(sums, wanted)), len(order) - 1)
    least = float(chosen[order[last]])
    settings = {name: getattr(select, name) for name in ("score", "temperature", "mean", "std", "seed")}
    settings |= {"least": repr(least)}
    return {
        "rows": len(known),
        "scored": len(values),
        "selected": int((chosen >= least).sum()),
        "tokens": int(counts[chosen >= least].sum()),
        "set": [f"SelectByScore.{name}={value}" for name, value in settings.items() if value is not None],
    }


def _read(
    inputs: Sequence[str], score: str, tokens: str | None, noisy: SelectByScore | None = None
) -> Iterator[tuple[Doubles, Doubles, Doubles]]:
    """(scores, noise, what each row counts), some rows at a time; noise by ids as `ReadParquet` gives them."""
    for file in list_inputs(list(inputs)):
        with open_input(file.uri) as opened:
            yield from _read_file(file, pq.ParquetFile(opened), score, tokens, noisy)


def _read_file(
    file: InputFile, parquet: pq.ParquetFile, score: str, tokens: str | None, noisy: SelectByScore | None
) -> Iterator[tuple[Doubles, Doubles, Doubles]]:
    there = parquet.schema_arrow.names
    for name in (score, tokens):
        if name is not None and name not in there:
            raise ConfigError(f"{file.uri}: no column {name!r}{nearest(name, there)}; there are {', '.join(there)}")
    row = 0
    names = [name for name in (c.ID.name, score, tokens) if name in there]
    for batch in parquet.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(names))):
        table = pa.Table.from_batches([batch])
        count = np.ones(batch.num_rows) if tokens is None else np.nan_to_num(numbers(table.column(tokens)))
        noise = np.zeros(batch.num_rows)
        if noisy is not None and noisy.temperature:
            given = table.column(c.ID.name).to_pylist() if c.ID.name in there else [None] * batch.num_rows
            ids = [id_of(source_of(file.uri, row + i)) if id_ is None else str(id_) for i, id_ in enumerate(given)]
            noise = noisy.noise(ids)
        yield numbers(table.column(score)), noise, count
        row += batch.num_rows


if __name__ == "__main__":
    sys.exit(main())
