"""HTML as kernels see it: which name a tag has, where it ends, what its attributes say.

Names are compared by a 64-bit hash (FNV-1a) of their lower-case bytes. Two names of one hash would be taken for each
other, which a page can only do to itself.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.kernels import compiled

MAX_QUOTED = 20_000  # bytes of a quoted attribute that may hold `>`
MAX_ATTRIBUTES = 2000  # bytes of an element's attributes in which names are looked for
MAX_NAMES, MAX_NAME = 12, 80  # of a class attribute: names, bytes of each
MAX_FOUND = 64  # words of an element that are in the lexicon

OFFSET, PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
BLOCKS = (
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
)  # fmt: skip
SKIPPED = (
    "applet", "audio", "button", "canvas", "datalist", "dialog", "map", "math", "object", "select", "template", "video",
)  # fmt: skip
RAW = ("script", "style", "noscript", "svg", "title", "textarea", "iframe", "xmp")  # hold no tags, or none to be read
HIDEABLE = ("span", "b", "i", "em", "strong", "font", "label")  # the only elements in a line that may be hidden
KEPT = ("body", "html", "main", "article")  # hidden only until a script shows them
BREAKS = ("br", "hr")
INLINE, START, LINK, BREAK, SKIP, HIDES, HOLDS_RAW = range(7)  # what a tag does
NAMES = ("", *dict.fromkeys((*BLOCKS, "a", *BREAKS, *SKIPPED, *HIDEABLE, *RAW)))  # a tag's number is its place here
TAG = {name: i for i, name in enumerate(NAMES)}
LAST_BLOCK = len(BLOCKS)  # tags from 1 to this one are block elements


def hash_name(name: str) -> int:
    """FNV-1a of a name that is in lower case."""
    value = int(OFFSET)
    for byte in name.encode():
        value = (value ^ byte) * int(PRIME) % 2**64
    return value


def hash_table(hashes: list[int]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """An open table that `slot_of` searches: the hash in each slot, the place of that hash in the list or -1."""
    size = 16
    while size < 3 * len(hashes):
        size *= 2
    keys, places = np.zeros(size, np.uint64), np.full(size, -1, np.int64)
    for place, value in enumerate(hashes):
        slot = (value ^ value >> 32) % size
        while places[slot] >= 0:
            slot = (slot + 1) % size
        keys[slot], places[slot] = value, place
    return keys, places


def by_tag(values: dict[str, int], default: int = 0) -> NDArray[np.int64]:
    return np.array([values.get(name, default) for name in NAMES], np.int64)


def mask(names: str) -> int:
    """Bits of the block elements named."""
    return sum(1 << TAG[name] for name in names.split())


KINDS = by_tag(
    dict.fromkeys(BLOCKS, START) | dict.fromkeys(SKIPPED, SKIP) | dict.fromkeys(HIDEABLE, HIDES)
    | dict.fromkeys(RAW, HOLDS_RAW) | dict.fromkeys(BREAKS, BREAK) | {"a": LINK}
)  # fmt: skip
_TAG_KEYS, _TAG_PLACES = hash_table([hash_name(name) for name in NAMES[1:]])
_RAW_BYTES = np.frombuffer("".join(RAW).encode(), np.uint8)
_RAW_STARTS = np.cumsum([0, *map(len, RAW)], dtype=np.int64)
_RAW_PLACE = by_tag({name: i for i, name in enumerate(RAW)}, -1)
TO_THE_END = by_tag(dict.fromkeys(("script", "style"), 1)) > 0  # unclosed, they reach to the end of the page
# A block element of the first kind ends when one of the second starts, unless one of the third is between.
_IMPLIED = {
    "li": ("li", "ul ol menu dir"),
    "dt": ("dt dd", "dl"),
    "dd": ("dt dd", "dl"),
    "td": ("td th", "tr table"),
    "th": ("td th", "tr table"),
    "tr": ("tr", "table"),
}
IMPLIED_ENDS = by_tag({name: mask(ends) for name, (ends, _) in _IMPLIED.items()})
IMPLIED_BETWEEN = by_tag({name: mask(between) for name, (_, between) in _IMPLIED.items()})
# An end tag does not close its element from inside one of these.
SCOPE = by_tag({"td": mask("table"), "tr": mask("table"), "th": mask("table"), "li": mask("ul ol"),
                "p": mask("td li table")})  # fmt: skip
SVG = TAG["svg"]

NAME, SPACE, QUOTE, END = 0, 1, 2, 3  # what a byte is to a tag; END: < > /
BYTES = np.full(256, NAME, np.uint8)
BYTES[[9, 10, 11, 12, 13, 28, 29, 30, 31, 32]] = SPACE
BYTES[[34, 39]] = QUOTE
BYTES[[47, 60, 62]] = END
LOWER, UPPER, DIGIT, WORDY = 1, 2, 4, 8
LETTERS = np.zeros(256, np.uint8)
LETTERS[97:123], LETTERS[65:91], LETTERS[48:58], LETTERS[95], LETTERS[128:] = LOWER, UPPER, DIGIT, WORDY, WORDY


class Lexicon(NamedTuple):
    """How much a word in an element's names speaks for the main text (above 0) or against it."""

    keys: Any  # uint64, with places as of `hash_table`
    places: Any
    weights: Any  # float64
    comments: Any  # bool: whether the word names what readers wrote
    tags: Any  # float64, of each tag's name


@compiled
def slot_of(keys: Any, places: Any, value: Any) -> int:
    """The place of a hash; -1 where it is not in the table."""
    last = len(keys) - 1
    slot = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(last))
    while places[slot] >= 0:
        if keys[slot] == value:
            return int(places[slot])
        slot = (slot + 1) & last
    return -1


@compiled
def lower(byte: Any) -> Any:
    return byte | np.uint8(32) if 65 <= byte <= 90 else byte


@compiled
def name_of(data: Any, i: int, stop: int) -> tuple[int, int]:
    """(number of the tag whose name begins at `i`, 0 for any other; end of the name)."""
    value = OFFSET
    while i < stop and BYTES[data[i]] == NAME:
        value = (value ^ np.uint64(lower(data[i]))) * PRIME
        i += 1
    return slot_of(_TAG_KEYS, _TAG_PLACES, value) + 1, i


@compiled
def tag_end(data: Any, start: int, stop: int, effort: Any) -> int:
    """Where the `>` is that ends the tag whose attributes begin at `start`; -1 where another tag begins first.

    A quoted value may hold anything; where one never ends, its quote is taken for a letter. Bytes read in vain are
    counted in `effort[0]`: when it is spent, quotes are letters everywhere, so that no page is read again and again.
    """
    i, is_value = start, False
    while i < stop and effort[0] > 0:
        byte = data[i]
        if byte == 62:
            return i
        if byte == 60:
            break
        if is_value and BYTES[byte] == QUOTE:
            end = i + 1
            last = min(stop, end + MAX_QUOTED)
            while end < last and data[end] != byte:
                end += 1
            if end == last:
                effort[0] -= end - i
                break
            i = end
        is_value = byte == 61 or (is_value and BYTES[byte] == SPACE)
        i += 1
    effort[0] -= i - start
    for k in range(start, stop):
        if data[k] == 62:
            return k
        if data[k] == 60:
            break
    return -1


@compiled
def is_at(data: Any, i: int, stop: int, word: bytes) -> bool:
    """Whether `word`, in lower case, begins at `i`."""
    if i + len(word) > stop:
        return False
    for k in range(len(word)):  # noqa: SIM110 - a loop is what is compiled
        if lower(data[i + k]) != word[k]:
            return False
    return True


@compiled
def raw_end(data: Any, i: int, stop: int, tag: int) -> int:
    """Where the end tag of a raw element begins, from `i` on; -1 where there is none."""
    raw = _RAW_PLACE[tag]
    first, last = _RAW_STARTS[raw], _RAW_STARTS[raw + 1]
    while i + 2 + last - first <= stop:
        if data[i] == 60 and data[i + 1] == 47:
            k = first
            while k < last and lower(data[i + 2 + k - first]) == _RAW_BYTES[k]:
                k += 1
            if k == last:
                return i
        i += 1
    return -1


@compiled
def after_space(data: Any, i: int, stop: int) -> int:
    while i < stop and BYTES[data[i]] == SPACE:
        i += 1
    return i


@compiled
def is_hidden(data: Any, start: int, stop: int) -> bool:
    """Whether attributes say that the element is not shown."""
    for i in range(start, stop):
        byte = data[i]
        if byte == 100 and is_at(data, i, stop, b"display"):
            k = after_space(data, i + 7, stop)
            if k < stop and data[k] == 58 and is_at(data, after_space(data, k + 1, stop), stop, b"none"):
                return True
        elif byte == 118 and is_at(data, i, stop, b"visibility"):
            k = after_space(data, i + 10, stop)
            if k < stop and data[k] == 58 and is_at(data, after_space(data, k + 1, stop), stop, b"hidden"):
                return True
        elif byte == 104 and is_at(data, i, stop, b"hidden") and _is_word_hidden(data, start, i, stop):
            return True
    return False


@compiled
def _is_word_hidden(data: Any, start: int, i: int, stop: int) -> bool:
    """Whether the `hidden` at `i` is the attribute, and on."""
    if i > start and (data[i - 1] == 45 or LETTERS[data[i - 1]]):
        return False
    k = i + 6
    if k == stop or data[k] == 47 or BYTES[data[k]] == SPACE:
        return True
    if data[k] != 61 or k + 1 == stop:
        return False
    k += 1
    return BYTES[data[k]] == QUOTE or is_at(data, k, stop, b"true") or is_at(data, k, stop, b"hidden")


@compiled
def has_address(data: Any, start: int, stop: int) -> bool:
    """Whether there is a `href`."""
    for i in range(start, stop - 3):  # noqa: SIM110 - a loop is what is compiled
        if data[i] | 32 == 104 and is_at(data, i, stop, b"href"):
            return True
    return False


@compiled
def weigh_names(data: Any, start: int, stop: int, lexicon: Any, found: Any) -> tuple[float, bool]:
    """(Weights of the words in class, id, role and itemprop, each counted once; whether one names comments)."""
    stop = min(stop, start + MAX_ATTRIBUTES)
    total, comments, n, i = 0.0, False, 0, start
    while i < stop:
        size = _name_attribute(data, start, i, stop)
        i += 1
        if size == 0:
            continue
        k = after_space(data, i - 1 + size, stop)
        if k >= stop or data[k] != 61:
            continue
        k = after_space(data, k + 1, stop)
        end = k
        if k < stop and BYTES[data[k]] == QUOTE:
            quote = data[k]
            k += 1
            end = k
            while end < stop and data[end] != quote:
                end += 1
            if end == stop:
                continue
        else:
            while end < stop and BYTES[data[end]] != SPACE and BYTES[data[end]] != QUOTE and data[end] != 62:
                end += 1
        n, more, said = _weigh_words(data, k, end, lexicon, found, n)
        total += more
        comments |= said
        i = max(i, end)
    return total, comments


@compiled
def _name_attribute(data: Any, start: int, i: int, stop: int) -> int:
    """Bytes of `class`, `id`, `role` or `itemprop` at `i`; 0 for anything else."""
    byte = data[i] | 32
    if (byte != 99 and byte != 105 and byte != 114) or (i > start and LETTERS[data[i - 1]]):  # noqa: PLR1714 - faster
        return 0
    if is_at(data, i, stop, b"class"):
        return 5
    if is_at(data, i, stop, b"id"):
        return 2
    if is_at(data, i, stop, b"role"):
        return 4
    return 8 if is_at(data, i, stop, b"itemprop") else 0


@compiled
def _weigh_words(data: Any, i: int, stop: int, lexicon: Any, found: Any, n: int) -> tuple[int, float, bool]:
    """The same for one value: each word of its names (`post`, `Body`) and each pair of neighbours (`post-body`)."""
    total, comments = 0.0, False
    for _ in range(MAX_NAMES):
        i = after_space(data, i, stop)
        if i >= stop:
            break
        end = i
        while end < stop and BYTES[data[end]] != SPACE:
            end += 1
        last = min(end, i + MAX_NAME)
        before, has_before = OFFSET, False
        while i < last:
            if LETTERS[data[i]] & (LOWER | UPPER) == 0:
                i += 1
                continue
            word_end = _word_end(data, i, last)
            word, pair = OFFSET, (before ^ np.uint64(45)) * PRIME
            for k in range(i, word_end):
                byte = np.uint64(lower(data[k]))
                word, pair = (word ^ byte) * PRIME, (pair ^ byte) * PRIME
            for value in (word, pair) if has_before else (word, word):
                place = slot_of(lexicon.keys, lexicon.places, value)
                if place < 0 or n == MAX_FOUND:
                    continue
                new = True
                for k in range(n):
                    new &= found[k] != place
                if new:
                    found[n] = place
                    n += 1
                    total += lexicon.weights[place]
                    comments |= lexicon.comments[place]
            before, has_before = word, True
            i = word_end
        i = end
    return n, total, comments


@compiled
def _word_end(data: Any, i: int, stop: int) -> int:
    """A word is small letters, perhaps after one capital, or capitals."""
    end = i + 1
    small = LETTERS[data[i]] == LOWER or (end < stop and LETTERS[data[end]] == LOWER)
    while end < stop and LETTERS[data[end]] == (LOWER if small else UPPER):
        end += 1
    return end


@compiled
def comment_end(data: Any, i: int, stop: int) -> int:
    """Behind `-->`; browsers show nothing after a comment that never ends either."""
    while i + 2 < stop:
        if data[i + 2] == 62 and data[i] == 45 and data[i + 1] == 45:
            return i + 3
        i += 1
    return stop
