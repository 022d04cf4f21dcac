"""A document as prompts show it: a line that says what it is, then its text (EntiGraph, methods 2.1)."""

import pyarrow as pa

from schemas import columns as c


def content_of(table: pa.Table) -> list[str]:
    """The content of each row: title and day, where the table has them, then the text after a blank."""
    texts = table.column(c.BODY.name).to_pylist()
    heads = zip(_values(table, c.TITLE.name), _values(table, c.PUBLISHED.name), strict=True)
    return [headed(title, published, text or "") for (title, published), text in zip(heads, texts, strict=True)]


def headed(title: str | None, published: str | None, text: str) -> str:
    """`"Title", 2024-05-17.`, a line break and the text behind one blank; the text alone where there is no title."""
    if not title:
        return text
    return f'"{title}"{f", {published}" if published else ""}.\n {text}'


def _values(table: pa.Table, name: str) -> list[str | None]:
    values: list[str | None] = [None] * table.num_rows
    return table.column(name).to_pylist() if name in table.column_names else values
