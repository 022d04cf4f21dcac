"""What is known of each block of a page before it is judged, one row of numbers each, and what a network makes of it.

A block has numbers of its own (length, links, punctuation), of the elements it is in (names, running text) and of its
neighbours, as in boilerpipe (Kohlschütter et al. 2010) and jusText (Pomikálek 2011).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.kernels import compiled
from stages.kernels.html_blocks import Page
from stages.kernels.html_tags import MAX_FOUND, Lexicon, by_tag, weigh_names

SENTENCES = 60  # characters, not in links, from which a block counts as running text
DENSE_FACTOR = 2.5
SAMPLE = 200  # characters of a block that tell how dense the page's script is
_ENDS = '.!?:;…。！？：；”"»’)।؟۔'  # noqa: RUF001
_DENSE = ((0x0E00, 0x0E7F), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7AF))  # say more in a character
_KINDS_OF_TAG = (
    "p", "li", "h1", "h2", "h3 h4 h5 h6", "td th", "pre", "blockquote", "dt dd", "figcaption caption", "article",
)  # fmt: skip
_INSIDE = (
    "nav", "footer", "header", "aside", "form", "table", "li", "article", "main", "figure", "section", "blockquote",
)  # fmt: skip
N_KINDS, N_INSIDE = len(_KINDS_OF_TAG) + 1, len(_INSIDE)
KIND_OF_TAG = by_tag({t: i for i, names in enumerate(_KINDS_OF_TAG) for t in names.split()}, N_KINDS - 1)
INSIDE_BIT = by_tag({name: 1 << i for i, name in enumerate(_INSIDE)})
COMMENT_BIT = 1 << N_INSIDE
WHOLE = by_tag(dict.fromkeys(("html", "body", "main", "article"), 1)) > 0  # never comments, whatever their names
H1 = 2  # in _KINDS_OF_TAG
TAG_AT = 22
INSIDE_AT = TAG_AT + N_KINDS
LEVELS = 5  # elements around a block, the nearest included
LEVELS_AT = INSIDE_AT + N_INSIDE
NEIGHBOURLY = np.array([0, 2, 3, 4, 10, 13])  # numbers that a block lends to those beside it
NEIGHBOURS = np.array([-2, -1, 1, 2])
NEIGHBOURS_AT = LEVELS_AT + 3 * LEVELS
WIDTH = NEIGHBOURS_AT + 4 * 7

UPPER, DIGIT, END, DENSE = 1, 2, 4, 8  # what a character is
POINTS = np.zeros(0x10000, np.uint8)  # of every code point of the basic plane
POINTS[[i for i in range(0x10000) if chr(i).isupper()]] |= UPPER
POINTS[[i for i in range(0x10000) if chr(i).isdigit()]] |= DIGIT
POINTS[[ord(char) for char in _ENDS]] |= END
for _first, _last in _DENSE:
    POINTS[_first : _last + 1] |= DENSE


class Features(NamedTuple):
    """One row a block; whether it stands in an element named for comments; its length in code points."""

    rows: Any  # float32
    comments: Any  # bool
    chars: Any  # int64


class Network(NamedTuple):
    """Small networks beside each other: rows @ hidden + bias, what is above 0 of it times output, by network."""

    hidden: Any  # float32, WIDTH by all hidden units
    bias: Any  # float32
    output: Any  # float32, a row for each network
    last: Any  # float32, one for each network


def features(page: Page, data: NDArray[np.uint8], lexicon: Lexicon) -> Features:
    """Of the blocks of a page, which has some."""
    n = len(page.starts)
    found = Features(np.zeros((n, WIDTH), np.float32), np.zeros(n, np.bool_), np.empty(n, np.int64))
    _features(page, data, lexicon, found)
    return found


@compiled
def _features(page: Any, data: Any, lexicon: Any, found: Any) -> None:
    rows = found.rows
    n = len(rows)
    dense = _own(page, found)
    of_elements, bits = _of_elements(page, data, lexicon)
    total = 1.0
    for i in range(n):
        row, chars = rows[i], found.chars[i]
        size, linked = chars * dense, min(page.linked[i] / chars, 1.0)
        free = size * (1.0 - linked)
        running = free if free >= SENTENCES and linked < 0.4 else 0.0
        total += running
        row[0], row[1], row[2] = np.log1p(size), np.log1p(row[8]), linked
        if dense > 1:
            row[3] += row[20]
        row[3], row[8] = min(row[3] / size * 30, 3.0), chars / row[8] / 10
        row[13], row[16] = running > 0, running
        element = page.element[i]
        for k in range(4):
            row[9 + k] = of_elements[element, k]
        row[18] = min(of_elements[element, 4], 40.0) / 20
        found.comments[i] = bits[element] & COMMENT_BIT > 0
        for k in range(N_INSIDE):
            row[INSIDE_AT + k] = bits[element] >> k & 1
        row[TAG_AT + KIND_OF_TAG[page.tag[element]]] = 1
    before, headed, last = 0.0, False, -30
    for i in range(n):
        row = rows[i]
        share = row[16] / total
        row[14], row[15], row[16], row[17] = i / n, np.log(n) / 5, before, np.log(total) / 10
        before += share
        last = i if row[13] else last
        row[19] = np.log1p(min(i - last, 30)) / 3
        headed |= row[TAG_AT + H1] > 0
        row[21] = headed
    following = n + 30
    for i in range(n - 1, -1, -1):
        following = i if rows[i, 13] else following
        rows[i, 20] = np.log1p(min(following - i, 30)) / 3
    _levels(page, found, dense, total)
    _neighbours(page, rows)


@compiled
def point_at(data: Any, i: int) -> Any:
    """The code point at `i`."""
    byte = np.int64(data[i])
    if byte < 0x80:
        return byte
    if byte < 0xE0:
        return (byte & 31) << 6 | data[i + 1] & 63
    if byte < 0xF0:
        return (byte & 15) << 12 | (data[i + 1] & 63) << 6 | data[i + 2] & 63
    return 0x10000


@compiled
def _own(page: Any, found: Any) -> float:
    """What can be counted in the text of a block; how much more a character of this page says than a Latin one.

    Columns 3 (commas and sentences), 20 (the same of Chinese) and 8 (words) hold counts.
    """
    text, n_dense, n_sample = page.text, 0, 0
    for i in range(len(page.starts)):
        row, start, stop = found.rows[i], page.starts[i], page.stops[i]
        chars, spaces, marks, wide_marks, lines = 0, 0, 0, 0, False
        last = start
        for k in range(start, stop):
            byte = text[k]
            if byte & 0xC0 == 0x80:
                continue
            chars += 1
            last = k
            if byte >= 0x80:
                if byte >= 0xE0:
                    point = point_at(text, k)
                    wide_marks += point == 0xFF0C or point == 0x3002  # noqa: PLR1714 - a tuple is slower
                    if chars <= SAMPLE and point < 0x10000:
                        n_dense += POINTS[point] & DENSE > 0
            elif byte == 32:
                spaces += 1
            elif byte == 44 or (byte == 46 and k + 1 < stop and text[k + 1] == 32):
                marks += 1
            elif byte == 10:
                lines = True
        n_sample += min(chars, SAMPLE)
        first, final = point_at(text, start), point_at(text, last)
        kind = POINTS[first] if first < 0x10000 else np.uint8(0)
        found.chars[i] = chars
        row[3], row[20], row[8] = marks, wide_marks, spaces + 1
        row[4] = final < 0x10000 and POINTS[final] & END > 0
        row[5], row[6], row[7] = kind & UPPER > 0, lines, kind & DIGIT > 0
    return 1.0 + (DENSE_FACTOR - 1.0) * n_dense / n_sample


@compiled
def _of_elements(page: Any, data: Any, lexicon: Any) -> tuple[Any, Any]:
    """For each element: weight of its names, sum, least and greatest along the path, depth; what it is inside of."""
    n = len(page.parent)
    numbers, bits = np.zeros((n, 5)), np.zeros(n, np.int64)
    scratch = np.empty(MAX_FOUND, np.int64)
    for i in range(1, n):
        parent, tag = page.parent[i], page.tag[i]
        own, comments = weigh_names(data, page.first[i], page.last[i], lexicon, scratch)
        own += lexicon.tags[tag]
        numbers[i, 0] = own
        numbers[i, 1] = numbers[parent, 1] + own
        numbers[i, 2] = min(numbers[parent, 2], own)
        numbers[i, 3] = max(numbers[parent, 3], own)
        numbers[i, 4] = numbers[parent, 4] + 1
        bits[i] = bits[parent] | INSIDE_BIT[tag]
        if comments and not WHOLE[tag]:
            bits[i] |= COMMENT_BIT
    return numbers, bits


@compiled
def _levels(page: Any, found: Any, dense: float, total: float) -> None:
    """For the element of a block and those around it: size, link density, share of the page's running text."""
    n = len(page.parent)
    sums = np.zeros((n, 3))
    rows = found.rows
    for i in range(len(rows)):
        element, size = page.element[i], found.chars[i] * dense
        linked = min(page.linked[i] / found.chars[i], 1.0)
        sums[element, 0] += size
        sums[element, 1] += size * linked
        if rows[i, 13]:
            sums[element, 2] += size * (1.0 - linked) / total
    for i in range(n - 1, 0, -1):
        for k in range(3):
            sums[page.parent[i], k] += sums[i, k]
    for i in range(n):
        sums[i, 1] /= sums[i, 0] + 1.0
        sums[i, 0] = np.log1p(sums[i, 0]) / 5
    for i in range(len(rows)):
        element = page.element[i]
        for level in range(LEVELS):
            for k in range(3):
                rows[i, LEVELS_AT + 3 * level + k] = sums[element, k]
            element = page.parent[element]


@compiled
def _neighbours(page: Any, rows: Any) -> None:
    """Of the two blocks before and after: size, links, punctuation, end, names, running text; whether siblings."""
    n = len(rows)
    for place in range(len(NEIGHBOURS)):
        at = NEIGHBOURS_AT + 7 * place
        for i in range(n):
            other = i + NEIGHBOURS[place]
            if 0 <= other < n:
                for k in range(6):
                    rows[i, at + k] = rows[other, NEIGHBOURLY[k]]
                rows[i, at + 6] = page.element[other] == page.element[i]


@compiled
def probabilities(rows: Any, network: Any) -> Any:
    """That a block is main text, for each row: the mean of the networks."""
    n_networks, size = network.output.shape
    good = np.empty(len(rows))
    units = np.empty(n_networks * size, np.float32)
    for i in range(len(rows)):
        for u in range(len(units)):
            units[u] = network.bias[u]
        for k in range(rows.shape[1]):
            value = rows[i, k]
            if value != 0:
                weights = network.hidden[k]
                for u in range(len(units)):
                    units[u] += value * weights[u]
        mean = 0.0
        for k in range(n_networks):
            each = np.float64(network.last[k])
            for u in range(size):
                each += max(units[k * size + u], np.float32(0)) * network.output[k, u]
            mean += 1.0 / (1.0 + np.exp(-min(max(each, -30.0), 30.0)))
        good[i] = mean / n_networks
    return good
