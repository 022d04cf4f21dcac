"""What is known of each block of a page before it is judged: one row of numbers a block."""

import itertools
import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.extract.blocks import Block, Page
from stages.extract.possessive import possessive

Floats = NDArray[np.float64]

NAMES = possessive(r"""\b(?:class|id|role|itemprop)\s*=\s*("[^"]*+"|'[^']*+'|[^\s"'>]++)""", re.IGNORECASE)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
DENSE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # scripts that say more in a character
DENSE_FACTOR = 2.5
ENDS = frozenset('.!?:;…。！？：；”"»’)।؟۔')  # noqa: RUF001
SENTENCES = 60  # characters, not in links, from which a block counts as running text
TAGS = {
    name: i
    for i, names in enumerate(
        ("p", "li", "h1", "h2", "h3 h4 h5 h6", "td th", "pre", "blockquote", "dt dd", "figcaption caption", "article")
    )
    for name in names.split()
}
N_TAGS = len(set(TAGS.values())) + 1
INSIDE = [
    "nav",
    "footer",
    "header",
    "aside",
    "form",
    "table",
    "li",
    "article",
    "main",
    "figure",
    "section",
    "blockquote",
]
INSIDE_BIT = {name: 1 << i for i, name in enumerate(INSIDE)}
COMMENT_BIT = 1 << len(INSIDE)
COMMENTS = frozenset(
    ["comment", "comments", "commentlist", "comment-list", "commentarea", "disqus", "respond", "replies"]
)
WHOLE = frozenset({"html", "body", "main", "article"})  # never comments, whatever their names
BIT_NUMBERS = np.arange(len(INSIDE))
BY_TAG = np.eye(N_TAGS)
LEVELS = 5
LEVELS_AT = 22 + N_TAGS + len(INSIDE)
NEIGHBOURS_AT = LEVELS_AT + 3 * LEVELS
NEIGHBOURLY = [0, 2, 3, 4, 10, 13]
WIDTH = NEIGHBOURS_AT + 4 * 7


def words_of(tag: str, attrs: str) -> tuple[str, ...]:
    """The words in class, id, role and itemprop, and each pair of neighbours: `post`, `body`, `post-body`."""
    found = {f"<{tag}>": None}
    for value in NAMES.findall(attrs[:2000]):
        for one in value.strip("\"'").split()[:12]:
            parts = [part.lower() for part in WORD.findall(one[:80])]
            found.update(dict.fromkeys(parts))
            found.update((f"{a}-{b}", None) for a, b in itertools.pairwise(parts))
    return tuple(found)


class Lexicon:
    """How much the names of an element speak for text inside it being the main text (above 0) or not (below)."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self.weigh = lru_cache(maxsize=20_000)(self._weigh)

    def _weigh(self, tag: str, attrs: str) -> tuple[float, int]:
        """The weight, and the bits of `INSIDE` and `COMMENT_BIT`."""
        get = self.weights.get
        words = words_of(tag, attrs)
        bits = INSIDE_BIT.get(tag, 0)
        if tag not in WHOLE and not COMMENTS.isdisjoint(words):
            bits |= COMMENT_BIT
        return sum(get(word, 0.0) for word in words), bits


def of_elements(page: Page, lexicon: Lexicon) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """For each element: weight of its names, sum, least and greatest along the path; what it is inside of; depth."""
    rows = [(0.0, 0.0, 0.0, 0.0)]
    bits, depths = [0], [0]
    weigh = lexicon.weigh
    for parent, (own, bit) in zip(page.parent[1:], map(weigh, page.tag[1:], page.attrs[1:]), strict=True):
        _, total, least, greatest = rows[parent]
        rows.append((own, total + own, own if own < least else least, own if own > greatest else greatest))
        bits.append(bits[parent] | bit)
        depths.append(depths[parent] + 1)
    return np.array(rows), np.array(bits), np.array(depths)


class Features(NamedTuple):
    """One row a block, and which blocks stand in an element named for comments."""

    rows: Floats
    comments: NDArray[np.bool_]


def features(page: Page, lexicon: Lexicon) -> Features:
    """Of the blocks of a page that has some."""
    blocks = page.blocks
    n = len(blocks)
    node = np.array([block[2] for block in blocks])
    dense = _density(page)
    own = _own(blocks, dense > 1)
    names, bits, depths = of_elements(page, lexicon)
    bits = bits[node]
    chars = own[:, 0]
    linked = np.minimum(own[:, 1] / chars, 1.0)
    size = chars * dense
    free = size * (1 - linked)
    is_running = (free >= SENTENCES) & (linked < 0.4)
    running = free * is_running
    total = running.sum() + 1.0
    share = running / total
    tag = np.array([TAGS.get(page.tag[i], N_TAGS - 1) for i in node.tolist()])
    position = np.arange(n)

    rows = np.empty((n, WIDTH))
    rows[:, 0] = np.log1p(size)
    rows[:, 1] = np.log1p(own[:, 2])
    rows[:, 2] = linked
    rows[:, 3] = np.minimum(own[:, 3] / size * 30, 3.0)
    rows[:, 4:8] = own[:, 4:8]
    rows[:, 8] = chars / own[:, 2] / 10
    rows[:, 9:13] = names[node]
    rows[:, 13] = is_running
    rows[:, 14] = position / n
    rows[:, 15] = np.log(n) / 5
    rows[:, 16] = np.cumsum(share) - share
    rows[:, 17] = np.log(total) / 10
    rows[:, 18] = np.minimum(depths[node], 40) / 20
    _distance(is_running, position, rows[:, 19:21])
    rows[:, 21] = np.maximum.accumulate(tag == TAGS["h1"])
    rows[:, 22 : 22 + N_TAGS] = BY_TAG[tag]
    rows[:, 22 + N_TAGS : LEVELS_AT] = (bits[:, None] >> BIT_NUMBERS) & 1
    _levels(page, node, (size, size * linked, share), rows[:, LEVELS_AT:NEIGHBOURS_AT])
    _neighbours(node, rows)
    return Features(rows, bits & COMMENT_BIT > 0)


def _own(blocks: list[Block], dense: bool) -> Floats:
    """What can be counted in the text of a block."""
    return np.array(
        [
            (
                len(text),
                linked,
                text.count(" ") + 1,
                text.count(",") + text.count(". ") + (text.count("，") + text.count("。") if dense else 0),  # noqa: RUF001
                text[-1] in ENDS,
                text[0].isupper(),
                "\n" in text,
                text[0].isdigit(),
            )
            for text, linked, _ in blocks
        ],
        dtype=np.float64,
    )


def _density(page: Page) -> float:
    """How much more a character of this page says than a Latin one."""
    sample = "".join([block[0][:200] for block in page.blocks])
    if sample.isascii():
        return 1.0
    return 1.0 + (DENSE_FACTOR - 1.0) * len(DENSE.findall(sample)) / len(sample)


def _distance(running: NDArray[np.bool_], position: NDArray[np.int64], out: Floats) -> None:
    """How many blocks to the running text before and after."""
    n = len(position)
    out[:, 0] = position - np.maximum.accumulate(np.where(running, position, -30))
    out[:, 1] = np.minimum.accumulate(np.where(running, position, n + 30)[::-1])[::-1] - position
    out[:] = np.log1p(np.minimum(out, 30)) / 3


def _levels(page: Page, node: NDArray[np.int64], weights: tuple[Floats, ...], out: Floats) -> None:
    """For the element of a block and those around it: size, link density, share of the page's running text."""
    n = len(page.tag)
    parent = page.parent
    last = list(range(1, n + 1))  # elements are numbered in order, so that those inside one follow it up to a last one
    for i in range(n - 1, 0, -1):
        if last[i] > last[parent[i]]:  # noqa: PLR1730 - max() costs a call
            last[parent[i]] = last[i]
    own = np.zeros((n + 1, 3))
    for column, weight in enumerate(weights):
        own[1:, column] = np.bincount(node, weight, n)
    sums = np.cumsum(own, axis=0)
    table = sums[last] - sums[:-1]
    table[:, 1] /= table[:, 0] + 1.0
    table[:, 0] = np.log1p(table[:, 0]) / 5
    up = np.array(parent)
    for level in range(LEVELS):
        out[:, 3 * level : 3 * level + 3] = table[node]
        node = up[node]


def _neighbours(node: NDArray[np.int64], rows: Floats) -> None:
    """Of the two blocks before and after: size, links, punctuation, end, names, running text; whether siblings."""
    n = len(node)
    some = np.zeros((n + 4, 7))
    some[2:-2, :6] = rows[:, NEIGHBOURLY]
    some[2:-2, 6] = node
    some[:2, 6] = some[-2:, 6] = -1
    for place, shift in enumerate((0, 1, 3, 4)):
        at = NEIGHBOURS_AT + 7 * place
        rows[:, at : at + 7] = some[shift : shift + n]
        rows[:, at + 6] = rows[:, at + 6] == node
