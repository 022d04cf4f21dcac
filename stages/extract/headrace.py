"""headrace's own engine: blocks of text, judged one by one by a small network fitted to pages that people marked up.

Each block has features of its own (length, links, punctuation), of the elements it is in (names, running text) and of
its neighbours, as in boilerpipe (Kohlschütter et al. 2010) and jusText (Pomikálek 2011). The weights in headrace.json
are made by benchmarks/train_extraction.py; they know no language's words.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.extract import Settings
from stages.extract.blocks import Block, Page, read_page
from stages.extract.features import Floats, Lexicon, features

PRECISE = 0.6  # a block is main text from this probability on, when precision is favoured
BALANCED = 0.5
SIBLINGS = 0.3  # what is thought of its siblings in what is thought of a block
RELATIVE = 0.7  # and from this share of the best one's, which a short page leaves low
UNSURE = 0.25  # no block is main text where the best one is below this
DOUBTFUL = 0.6  # a paragraph with one that is main text beside it needs only this share of the threshold
PARAGRAPH = 60  # characters
HEADING = 0.2  # a heading right above main text needs no more
ROWS_AT_ONCE = 40  # so few that OpenBLAS multiplies them without waking its threads, which cost more than they save
LONGEST = 40_000  # blocks judged in a page; what follows is left out
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
COMMENT_SHARE = 0.6  # of the page's text
CELLS = frozenset({"td", "th"})
TABLE_CELLS = 4
ROW_CELL = 200  # characters; longer cells are no table's, but a layout's


def extract(html: str, settings: Settings) -> str:
    """The main text of a page: blocks, list items and table rows a line each."""
    page = read_page(html)
    if not page.blocks:
        return ""
    del page.blocks[LONGEST:]
    lexicon, model = weights()
    rows, named = features(page, lexicon)
    good = probabilities(rows, model)
    keep = chosen(page, good, PRECISE if settings.favor_precision else BALANCED)
    said = in_comments(page, named)
    if said.any():
        keep &= ~said
        if settings.include_comments:
            keep |= said & np.array([block.linked * 2 < len(block.text) for block in page.blocks])
    return "\n".join(lines(page, [block for block, kept in zip(page.blocks, keep.tolist(), strict=True) if kept]))


@cache
def weights() -> tuple[Lexicon, dict[str, Floats]]:
    """The fitted numbers beside this file."""
    model: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
    return Lexicon(model.pop("lexicon")), {name: np.array(value, dtype=np.float64) for name, value in model.items()}


def probabilities(rows: Floats, model: dict[str, Floats]) -> Floats:
    """That a block is main text, for each row: the mean of the networks."""
    networks, size = model["output"].shape
    parts = []
    for i in range(0, len(rows), ROWS_AT_ONCE):
        hidden = np.maximum(rows[i : i + ROWS_AT_ONCE] @ model["hidden"] + model["bias"], 0.0)
        parts.append((hidden.reshape(-1, networks, size) * model["output"]).sum(axis=2) + model["last"])
    each = np.clip(np.concatenate(parts), -30, 30)
    mean: Floats = (1 / (1 + np.exp(-each))).mean(axis=1)
    return mean


def chosen(page: Page, good: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which blocks are main text: those likely enough, headings right above them, paragraphs among them."""
    good = rows_as_one(page, with_siblings(page, good))
    best = float(good.max())
    threshold = min(threshold, RELATIVE * best) if best >= UNSURE else 2.0
    keep = good >= threshold
    places = np.flatnonzero(keep).tolist()
    around = {page.parent[page.blocks[i].node] for i in places if is_paragraph(page, i)}
    for i in np.flatnonzero(~keep & (good >= DOUBTFUL * threshold)).tolist():
        keep[i] = is_paragraph(page, i) and page.parent[page.blocks[i].node] in around
    keep_tables(page, keep, around)
    for i in np.flatnonzero(~keep[:-1] & keep[1:] & (good[:-1] >= HEADING)).tolist():
        keep[i] = page.tag[page.blocks[i].node] in HEADINGS
    return keep


def with_siblings(page: Page, good: Floats) -> Floats:
    """What is thought of a block, and of all blocks whose elements stand side by side with its own, by length."""
    beside = np.array([page.parent[block[2]] for block in page.blocks])
    size = np.array([len(block[0]) for block in page.blocks], dtype=np.float64)
    mean = np.bincount(beside, good * size) / np.maximum(np.bincount(beside, size), 1.0)
    smooth: Floats = (1 - SIBLINGS) * good + SIBLINGS * mean[beside]
    return smooth


def is_paragraph(page: Page, i: int) -> bool:
    """Whether a block is a paragraph of running text."""
    text, linked, node = page.blocks[i]
    return page.tag[node] == "p" and len(text) >= PARAGRAPH and linked * 4 < len(text)


def keep_tables(page: Page, keep: NDArray[np.bool_], around: set[int]) -> None:
    """Keep the tables of data (short cells, few links) that stand where paragraphs of the main text do."""
    tables: dict[int, list[int]] = {}
    for i, (_, _, node) in enumerate(page.blocks):
        if page.tag[node] in CELLS:
            table = page.parent[page.parent[node]]
            table = table if page.tag[table] == "table" else page.parent[table]
            if page.parent[table] in around or page.parent[page.parent[table]] in around:
                tables.setdefault(table, []).append(i)
    for cells in tables.values():
        short = all(len(page.blocks[i].text) <= ROW_CELL for i in cells)
        size = sum(len(page.blocks[i].text) for i in cells)
        if short and len(cells) >= TABLE_CELLS and sum(page.blocks[i].linked for i in cells) * 4 < size:
            keep[cells] = True


def rows_as_one(page: Page, good: Floats) -> Floats:
    """The short cells of a table row share what is thought of them."""
    cells: dict[int, list[int]] = {}
    for i, block in enumerate(page.blocks):
        if page.tag[block.node] in CELLS and len(block.text) <= ROW_CELL:
            cells.setdefault(page.parent[block.node], []).append(i)
    good = good.copy()
    for row in cells.values():
        if len(row) > 1:
            good[row] = good[row].mean()
    return good


def in_comments(page: Page, named: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which blocks are what readers wrote below the text: those so named, unless that is most of the page (a forum)."""
    if named.any():
        size = np.array([max(0, len(text) - 2 * linked) for text, linked, _ in page.blocks])
        if size[named].sum() > COMMENT_SHARE * size.sum():
            return np.zeros_like(named)
    return named


def lines(page: Page, blocks: list[Block]) -> list[str]:
    """The text of each block; the short cells of a table row on one line."""
    found: list[str] = []
    row = -1
    for block in blocks:
        tag = page.tag[block.node]
        mine = page.parent[block.node] if tag in CELLS and len(block.text) <= ROW_CELL else -1
        if mine >= 0 and mine == row:
            found[-1] += "\t" + block.text
        else:
            found.append(block.text)
        row = mine
    return found
