"""Which blocks of a page are its main text, and that text: blocks, list items and table rows a line each."""

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import compiled
from stages.kernels.html_blocks import Page
from stages.kernels.html_features import Features
from stages.kernels.html_tags import TAG, by_tag

SIBLINGS = 0.3  # what is thought of its siblings in what is thought of a block
RELATIVE = 0.7  # a block needs no more than this share of the best one's probability, which a short page leaves low
UNSURE = 0.25  # no block is main text where the best one is below this
DOUBTFUL = 0.6  # a paragraph with one that is main text beside it needs only this share of the threshold
PARAGRAPH = 60  # characters
HEADING = 0.2  # a heading right above main text needs no more
COMMENT_SHARE = 0.6  # of the page's text
TABLE_CELLS = 4
ROW_CELL = 200  # characters; longer cells are no table's, but a layout's
_HEADINGS = by_tag(dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), 1)) > 0
_CELLS = by_tag(dict.fromkeys(("td", "th"), 1)) > 0
_P, _TABLE = TAG["p"], TAG["table"]


class Judged(NamedTuple):
    """The blocks of a page, what is known of them, and the probability of each to be main text."""

    page: Page
    known: Features
    good: Any  # float64


@compiled
def choose(judged: Any, threshold: float, include_comments: bool) -> Any:
    """Which blocks are main text: those likely enough, headings right above them, paragraphs among them."""
    page, chars = judged.page, judged.known.chars
    good = _rows_as_one(page, chars, _with_siblings(page, chars, judged.good))
    n, best = len(good), 0.0
    for i in range(n):
        best = max(best, good[i])
    threshold = min(threshold, RELATIVE * best) if best >= UNSURE else 2.0
    keep = np.zeros(n, np.bool_)
    around = np.zeros(len(page.parent), np.bool_)  # elements with paragraphs of the main text in them
    for i in range(n):
        keep[i] = good[i] >= threshold
        if keep[i] and _is_paragraph(page, chars, i):
            around[page.parent[page.element[i]]] = True
    for i in range(n):
        if not keep[i] and good[i] >= DOUBTFUL * threshold and _is_paragraph(page, chars, i):
            keep[i] = around[page.parent[page.element[i]]]
    _keep_tables(page, chars, keep, around)
    for i in range(n - 1):
        if keep[i + 1] and good[i] >= HEADING and _HEADINGS[page.tag[page.element[i]]]:
            keep[i] = True
    said = judged.known.comments
    if _are_below(page, chars, said):
        for i in range(n):
            if said[i]:
                keep[i] = include_comments and page.linked[i] * 2 < chars[i]
    return keep


@compiled
def _with_siblings(page: Any, chars: Any, good: Any) -> Any:
    """What is thought of a block, and of all blocks whose elements stand side by side with its own, by length."""
    sums, sizes = np.zeros(len(page.parent)), np.zeros(len(page.parent))
    for i in range(len(good)):
        beside = page.parent[page.element[i]]
        sums[beside] += good[i] * chars[i]
        sizes[beside] += chars[i]
    smooth = np.empty(len(good))
    for i in range(len(good)):
        beside = page.parent[page.element[i]]
        smooth[i] = (1 - SIBLINGS) * good[i] + SIBLINGS * sums[beside] / sizes[beside]
    return smooth


@compiled
def _rows_as_one(page: Any, chars: Any, good: Any) -> Any:
    """The short cells of a table row share what is thought of them."""
    sums, cells = np.zeros(len(page.parent)), np.zeros(len(page.parent))
    for i in range(len(good)):
        if _is_cell(page, chars, i):
            row = page.parent[page.element[i]]
            sums[row] += good[i]
            cells[row] += 1
    for i in range(len(good)):
        if _is_cell(page, chars, i):
            row = page.parent[page.element[i]]
            good[i] = sums[row] / cells[row]
    return good


@compiled
def _is_cell(page: Any, chars: Any, i: int) -> bool:
    """Whether a block is a short table cell."""
    return bool(_CELLS[page.tag[page.element[i]]] and chars[i] <= ROW_CELL)


@compiled
def _is_paragraph(page: Any, chars: Any, i: int) -> bool:
    """Whether a block is a paragraph of running text."""
    return bool(page.tag[page.element[i]] == _P and chars[i] >= PARAGRAPH and page.linked[i] * 4 < chars[i])


@compiled
def _keep_tables(page: Any, chars: Any, keep: Any, around: Any) -> None:
    """Keep the tables of data (short cells, few links) that stand where paragraphs of the main text do."""
    n = len(page.parent)
    cells, size, linked, long = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
    for i in range(len(keep)):
        if _CELLS[page.tag[page.element[i]]]:
            table = _table_of(page, i)
            cells[table] += 1
            size[table] += chars[i]
            linked[table] += page.linked[i]
            long[table] |= chars[i] > ROW_CELL
    for i in range(len(keep)):
        if _CELLS[page.tag[page.element[i]]]:
            table = _table_of(page, i)
            outer = page.parent[table]
            if around[outer] or around[page.parent[outer]]:
                keep[i] |= cells[table] >= TABLE_CELLS and not long[table] and linked[table] * 4 < size[table]


@compiled
def _table_of(page: Any, i: int) -> int:
    """The element that should be the table of a cell, which may have a <tbody> around it."""
    table = page.parent[page.parent[page.element[i]]]
    return int(table if page.tag[table] == _TABLE else page.parent[table])


@compiled
def _are_below(page: Any, chars: Any, said: Any) -> bool:
    """Whether there are comments that are not most of the page, as in a forum."""
    comments, everything = 0, 0
    for i in range(len(said)):
        size = max(0, chars[i] - 2 * page.linked[i])
        everything += size
        if said[i]:
            comments += size
    return 0 < comments <= COMMENT_SHARE * everything


@compiled
def join(judged: Any, keep: Any) -> int:
    """Move the blocks that stay to the front of the page's text, the short cells of a row on a line; bytes of it."""
    page, chars = judged.page, judged.known.chars
    text, at, row = page.text, 0, -1
    for i in range(len(keep)):
        if not keep[i]:
            continue
        mine = page.parent[page.element[i]] if _is_cell(page, chars, i) else -1
        if at:
            text[at] = 9 if mine >= 0 and mine == row else 10
            at += 1
        for k in range(page.starts[i], page.stops[i]):
            text[at] = text[k]
            at += 1
        row = mine
    return at
