"""An HTML page as the blocks of text a reader sees, in one pass over its bytes, without a tree.

A tree parser is quadratic on deep or badly closed pages (lexbor and libxml2 are: every start tag may look through all
open elements), so this one keeps a stack of block elements of bounded depth and looks at a bounded part of it. What it
knows of HTML's rules is what text needs: which tags end a block, which end tags may be left out, what is never shown.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.kernels import compiled
from stages.kernels.html_references import put_reference
from stages.kernels.html_tags import (
    BREAK,
    BYTES,
    HIDES,
    HOLDS_RAW,
    IMPLIED_BETWEEN,
    IMPLIED_ENDS,
    KEPT,
    KINDS,
    LAST_BLOCK,
    LETTERS,
    LINK,
    LOWER,
    NAMES,
    SCOPE,
    SKIP,
    START,
    SVG,
    TAG,
    TO_THE_END,
    UPPER,
    by_tag,
    comment_end,
    has_address,
    is_at,
    is_hidden,
    name_of,
    raw_end,
    tag_end,
)
from stages.kernels.utf8 import break_at, n_chars, space_at, space_before, strip

MAX_BYTES = 20_000_000  # of a page; what follows is not read
MAX_BLOCKS = 200_000  # of a page
MAX_ELEMENTS = 1_000_000  # with text inside; what more there is counts as part of the element around it
MAX_DEPTH = 200  # block elements inside each other; what is deeper counts as its ancestor at this depth
LOOK_BACK = 40  # how far up an end tag looks for its start

ALWAYS_SHOWN = by_tag(dict.fromkeys(KEPT, 1)) > 0
P, PRE = TAG["p"], TAG["pre"]
BITS = np.array([1 << i if 0 < i <= LAST_BLOCK else 0 for i in range(len(NAMES))], np.int64)

COPIED, SPACE, MAYBE_SPACE, AMPERSAND, NOTHING = range(5)  # what a byte of text is
TEXT = np.full(256, COPIED, np.uint8)
TEXT[[*range(9, 14), *range(28, 33)]] = SPACE
TEXT[[0xC2, 0xE1, 0xE2, 0xE3]] = MAYBE_SPACE
TEXT[38], TEXT[0] = AMPERSAND, NOTHING
OPENS = np.zeros(256, np.bool_)  # what after `<` makes it a tag
OPENS[[ord(letter) for letter in "!?/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]] = True

(
    AT,  # end of what is written
    BEGIN,  # of the block
    N_BLOCKS,
    N_ELEMENTS,
    DEPTH,  # of the stack
    BEYOND,  # elements open below MAX_DEPTH
    GAP,  # what stands between the last character and the next: nothing, a space, a line break
    STARTED,  # whether anything was in the block, be it a space
    BROKEN,  # whether there was a line break
    SAID,  # whether there was anything but spaces since
    LINKED,  # characters of the block inside links
    IN_LINK,
    IN_PRE,  # place in the stack of the outermost <pre>, or 0
    LINE,  # begin of the line, inside <pre>
    LAST_WITH_TEXT,  # element
    TOP,  # the element that is open
    N_STATE,
) = range(17)


class Page(NamedTuple):
    """Blocks of text, and the elements they are in; elements are numbered, parents before children, 0 is the page.

    Block i is `text[starts[i]:stops[i]]`, UTF-8, in element `element[i]`, with `linked[i]` characters inside links.
    The attributes of element e are bytes `first[e]` to `last[e]` of the page's source.
    """

    text: Any  # uint8
    starts: Any  # int64
    stops: Any  # int64
    element: Any  # int64
    linked: Any  # int64
    parent: Any  # int64
    tag: Any  # uint8
    first: Any  # int32
    last: Any  # int32


def read_page(source: bytes) -> tuple[Page, NDArray[np.uint8]]:
    """(The blocks of a page in UTF-8, what was read of the source).

    Scripts, styles, form controls, comments and hidden elements are not text; controls and hidden elements are where
    one of them never ends.
    """
    if len(source) > MAX_BYTES:
        source = source[:MAX_BYTES].decode(errors="ignore").encode()  # without half a character at the end
    data = np.frombuffer(source or b" ", np.uint8)
    tags = source.count(b"<") + 2
    n_blocks, n_elements = min(tags, MAX_BLOCKS), min(tags, MAX_ELEMENTS)
    starts, stops, element, linked = np.empty((4, n_blocks), np.int64)
    parent, tag = np.empty(n_elements, np.int64), np.empty(n_elements, np.uint8)
    first, last = np.empty((2, n_elements), np.int32)
    text = np.empty(len(data) + len(data) // 4 + tags, np.uint8)  # no reference stands for over 6/5 of its length
    n, m = _read_page(data, Page(text, starts, stops, element, linked, parent, tag, first, last))
    return Page(text, starts[:n], stops[:n], element[:n], linked[:n], parent[:m], tag[:m], first[:m], last[:m]), data


@compiled
def _read_page(data: Any, page: Any) -> tuple[int, int]:
    """(blocks, elements)."""
    start = 0
    for i in range(len(data) - 6):
        if data[i] == 60 and data[i + 1] | 32 == 98 and is_at(data, i, len(data), b"<body"):
            byte = data[i + 5]
            if byte == 62 or byte == 47 or BYTES[byte] == 1:  # noqa: PLR1714 - a tuple is slower
                start = i
                break
    found = _read(data, start, page, True)
    return _read(data, start, page, False) if found[0] < 0 else found


@compiled
def _read(data: Any, i: int, page: Any, skipping: bool) -> tuple[int, int]:  # noqa: PLR0912, PLR0915 - one loop
    """The same from `i` on; -1 blocks where something that is skipped never ends."""
    stop = len(data)
    s = np.zeros(N_STATE, np.int64)
    stack = np.zeros(MAX_DEPTH, np.int64)
    endless = np.zeros(len(KINDS), np.bool_)
    effort = np.full(1, stop + 1_000_000, np.int64)
    page.parent[0], page.tag[0], page.first[0], page.last[0] = 0, 0, 0, 0
    s[N_ELEMENTS] = s[DEPTH] = 1
    skipped, depth, shown = 0, 0, True
    while i < stop and s[N_BLOCKS] < len(page.starts):
        j = i
        while j < stop and not (data[j] == 60 and j + 1 < stop and OPENS[data[j + 1]]):
            j += 1
        if j > i and shown and skipped == 0:
            _put_text(data, i, j, page, s)
        if j >= stop:
            break
        if data[j + 1] == 33 and is_at(data, j, stop, b"<!--"):
            i = comment_end(data, j + 2, stop)
            continue
        is_end = data[j + 1] == 47
        k = j + 1 + is_end
        if is_end and (k >= stop or not (LETTERS[data[k]] & (LOWER | UPPER))):
            shown, i = False, j + 1
            continue
        tag, k = name_of(data, k, stop)
        end = tag_end(data, k, stop, effort)
        kind = KINDS[tag]
        closed = end > k and data[end - 1] == 47
        if kind == HOLDS_RAW and not is_end and not endless[tag] and not (tag == SVG and closed):
            after = raw_end(data, max(end, k), stop, tag)
            if after >= 0:
                i = after
                continue
            endless[tag] = True
            if TO_THE_END[tag]:
                break
        if end < 0:
            shown, i = False, j + 1
            continue
        shown, i = True, end + 1
        if skipped:
            if tag == skipped:
                depth += -1 if is_end else not closed
                if depth == 0:
                    skipped = 0
            continue
        if _act(data, page, s, stack, tag, k, end, is_end, skipping):
            skipped, depth = tag, 1
    if skipped:
        return -1, 0
    _end_block(page, s)
    return s[N_BLOCKS], s[N_ELEMENTS]


@compiled
def _act(
    data: Any, page: Any, s: Any, stack: Any, tag: int, first: int, last: int, is_end: bool, skipping: bool
) -> bool:
    """Do what a tag does; whether its element is not shown."""
    kind = KINDS[tag]
    if is_end:
        if 0 < tag <= LAST_BLOCK:
            _end_block(page, s)
            _end(page, s, stack, tag)
        elif kind == LINK:
            s[IN_LINK] = 0
    elif kind == START:
        _end_block(page, s)
        if skipping and last > first and is_hidden(data, first, last) and not ALWAYS_SHOWN[tag]:
            return True
        _start(page, s, stack, tag, first, last)
    elif kind == LINK:
        s[IN_LINK] = has_address(data, first, last)
    elif kind == BREAK:
        _break_line(page, s)
    elif skipping and kind == SKIP:
        return not (last > first and data[last - 1] == 47)
    elif skipping and kind == HIDES:
        return last > first and is_hidden(data, first, last)
    return False


@compiled
def _put_text(data: Any, start: int, stop: int, page: Any, s: Any) -> None:  # noqa: PLR0912 - calls cost time here
    """What stands between two tags becomes part of the block."""
    first, last = start, stop
    if s[IN_LINK] or s[IN_PRE] or s[BROKEN]:
        first, last = strip(data, start, stop)
        if s[IN_LINK]:
            s[LINKED] += n_chars(data, first, last)
        s[SAID] |= first < last
    if s[IN_PRE]:
        if s[STARTED] or first < last:
            _put_lines(data, start, stop, page, s)
            s[STARTED] = 1
        return
    s[STARTED] = 1
    out, at, gap, begin = page.text, s[AT], s[GAP], s[BEGIN]
    i = start
    while i < stop:
        kind = TEXT[data[i]]
        size, following = 0, 0
        if kind == SPACE:
            size = 1
        elif kind == NOTHING:
            i += 1
            continue
        elif kind == MAYBE_SPACE:
            size = space_at(data, i)
        if size:
            gap |= 1
            i += size
            continue
        before = at
        if gap and at > begin:
            out[at] = 32 if gap == 1 else 10
            at += 1
        if kind == AMPERSAND:
            i, following = put_reference(data, i, stop, out, at)
            if following == at or space_at(out, at):
                gap |= following > at
                at = before
                continue
            at = following
        else:
            out[at] = data[i]
            at, i = at + 1, i + 1
        gap = 0
    s[AT], s[GAP] = at, gap


@compiled
def _put_lines(data: Any, start: int, stop: int, page: Any, s: Any) -> None:
    """The same inside <pre>, whose lines stay."""
    out = page.text
    i = start
    while i < stop:
        size = break_at(data, i, stop)
        if size:
            _end_line(page, s)
            i += size
            continue
        at = s[AT]
        if data[i] == 38:
            i, s[AT] = put_reference(data, i, stop, out, at)
            if s[AT] > at and break_at(out, at, s[AT]):
                s[AT] = at
                _end_line(page, s)
        elif data[i] == 0:
            i += 1
        else:
            out[at] = data[i]
            s[AT] += 1
            i += 1


@compiled
def _end_line(page: Any, s: Any) -> None:
    """A line break inside <pre>: no white space before it, and none as the first."""
    _trim(page, s)
    if s[AT] > s[BEGIN]:
        page.text[s[AT]] = 10
        s[AT] += 1
    s[LINE] = s[AT]


@compiled
def _trim(page: Any, s: Any) -> None:
    """Take white space from the end of the line."""
    while s[AT] > s[LINE]:
        size = space_before(page.text, s[LINE], s[AT])
        if size == 0:
            break
        s[AT] -= size


@compiled
def _break_line(page: Any, s: Any) -> None:
    """`<br>`: the second one in a row ends the block."""
    if s[BROKEN] and not s[SAID]:
        _end_block(page, s)
        return
    if s[IN_PRE]:
        _end_line(page, s)
    else:
        s[GAP] = 2
        s[LINKED] += s[IN_LINK]
    s[STARTED] = s[BROKEN] = 1
    s[SAID] = 0


@compiled
def _end_block(page: Any, s: Any) -> None:
    """What was written is a block, if anything was."""
    if s[IN_PRE]:
        _trim(page, s)
        while s[AT] > s[BEGIN] and page.text[s[AT] - 1] == 10:
            s[AT] -= 1
    if s[AT] > s[BEGIN]:
        n = s[N_BLOCKS]
        if n < len(page.starts):
            page.starts[n], page.stops[n], page.linked[n] = s[BEGIN], s[AT], s[LINKED]
            page.element[n] = s[LAST_WITH_TEXT] = s[TOP]
            s[N_BLOCKS] = n + 1
        s[AT] += 1  # room for a separator
    s[BEGIN] = s[LINE] = s[AT]
    s[GAP] = s[STARTED] = s[BROKEN] = s[SAID] = s[LINKED] = 0


@compiled
def _start(page: Any, s: Any, stack: Any, tag: int, first: int, last: int) -> None:
    """A block element starts."""
    if page.tag[s[TOP]] == P:
        _cut(s, stack, s[DEPTH] - 1)
    if IMPLIED_ENDS[tag]:
        _close(page, s, stack, IMPLIED_ENDS[tag], IMPLIED_BETWEEN[tag])
    n = s[N_ELEMENTS]
    if s[DEPTH] == MAX_DEPTH or n == len(page.parent):
        s[BEYOND] += 1
        return
    page.parent[n], page.tag[n], page.first[n], page.last[n] = s[TOP], tag, first, last
    stack[s[DEPTH]] = s[TOP] = n
    if tag == PRE and s[IN_PRE] == 0:
        s[IN_PRE] = s[DEPTH]
    s[DEPTH] += 1
    s[N_ELEMENTS] = n + 1


@compiled
def _end(page: Any, s: Any, stack: Any, tag: int) -> None:
    """A block element ends, and all that is open inside it."""
    if s[BEYOND]:
        s[BEYOND] -= 1
    else:
        _close(page, s, stack, BITS[tag], SCOPE[tag])


@compiled
def _close(page: Any, s: Any, stack: Any, names: int, between: int) -> None:
    """Close the nearest open element with one of the names, looking no further than one that is between."""
    for i in range(s[DEPTH] - 1, max(0, s[DEPTH] - LOOK_BACK), -1):
        bit = BITS[page.tag[stack[i]]]
        if bit & names:
            _cut(s, stack, i)
            return
        if bit & between:
            return


@compiled
def _cut(s: Any, stack: Any, depth: int) -> None:
    """Close all but `depth` elements. One without text inside is forgotten."""
    if s[LAST_WITH_TEXT] < stack[depth]:
        s[N_ELEMENTS] = stack[depth]
    s[DEPTH], s[TOP] = depth, stack[depth - 1]
    if s[IN_PRE] >= depth:
        s[IN_PRE] = 0
