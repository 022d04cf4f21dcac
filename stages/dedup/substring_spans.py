"""Spans of texts: those that overlap made one, and the column `repeats` of them."""

import polars as pl
import pyarrow as pa

from schemas import columns as c


def joined(spans: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """`spans` (start, end, of) of the same `by` that overlap or touch, as one; `of` is that of the longest, the first.

    In the order of `by` and start.
    """
    spans = spans.sort(*by, "start", "end", "of")
    reach = pl.col("end").cum_max().over(by).shift(1)
    begins = pl.any_horizontal(*((pl.col(name) != pl.col(name).shift(1)) for name in by), pl.col("start") > reach)
    longest = (pl.col("end") - pl.col("start")).arg_max()
    values = [pl.col("start").min(), pl.col("end").max()]
    if "of" not in by:
        values.append(pl.col("of").get(longest))
    return (
        spans.with_columns(span=begins.fill_null(True).cum_sum())
        .group_by("span", *by, maintain_order=True)
        .agg(values)
        .drop("span")
    )


def lists_of_spans(spans: pl.DataFrame, by: list[str]) -> pa.Table:
    """`spans` as `repeats`, one list a row, in the order they have: the columns of `by`, and `repeats`."""
    lists = (
        spans.sort(*by, "start", "end", "of")
        .group_by(by, maintain_order=True)
        .agg(pl.struct(pl.col("start", "end").cast(pl.Int64), "of").alias(c.REPEATS.name))
    )
    table = lists.to_arrow()
    return table.set_column(len(by), c.REPEATS, table.column(c.REPEATS.name).cast(c.REPEATS.type))


def spans_of(table: pa.Table, by: list[str]) -> pl.DataFrame:
    """Each span of `repeats` with its row's columns `by`."""
    rows = pl.from_arrow(table.select([*by, c.REPEATS.name]))
    assert isinstance(rows, pl.DataFrame)
    return rows.explode(c.REPEATS.name).unnest(c.REPEATS.name)
