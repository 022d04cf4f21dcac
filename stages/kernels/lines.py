"""C4's rules on lines: which of them a text keeps, what drops it, and whether it has sentences enough."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.kernels import compiled
from stages.kernels.chunks import ChunkTable, Texts
from stages.kernels.utf8 import break_at, hash_of, n_chars, same, space_at, strip
from stages.kernels.words import DONE, LONGEST, PYTHON, UNKNOWN, are_tied, chunk_end, find, report

UNCHANGED, CHANGED, TOO_FEW_SENTENCES, LOREM_IPSUM, CURLY_BRACKET = 0, 1, 2, 3, 4  # what becomes of a text
REASONS = (None, None, "too_few_sentences", "lorem_ipsum", "curly_bracket")
TOO_LONG_WORD, NO_TERMINAL_PUNC, TOO_FEW_WORDS, JAVASCRIPT, POLICY = 1, 2, 4, 8, 16  # why a line fell
FAULTS = {1: "too_long_word", 2: "no_terminal_punc", 4: "too_few_words", 8: "javascript", 16: "policy"}

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
PHRASES = ("lorem ipsum", "javascript", *POLICIES)
_LOREM, _JAVASCRIPT, _BRACKET = 0, 1, len(PHRASES)
_PHRASE_BYTES = np.frombuffer("".join(PHRASES).encode(), np.uint8)
_PHRASE_STARTS = np.cumsum([0, *map(len, PHRASES)], dtype=np.int64)
_FIRST = np.zeros(256, np.bool_)
_FIRST[[ord(letter) for phrase in PHRASES for letter in (phrase[0], phrase[0].upper())]] = True


class Rules(NamedTuple):
    """The settings of `C4Quality`, whose names they have."""

    remove_citations: bool
    filter_no_terminal_punct: bool
    min_num_sentences: int
    min_words_per_line: int
    max_word_length: int
    filter_lorem_ipsum: bool
    filter_javascript: bool
    filter_curly_bracket: bool
    filter_policy: bool


class Lines(NamedTuple):
    """What became of a text: why it is dropped or None, what is left of a changed one, why lines fell, code points."""

    reason: str | None
    text: str | None
    fired: list[str]
    n_chars: int


class Kept(NamedTuple):
    """The same of all texts: text i is `data[starts[i]:stops[i]]` if it is changed."""

    fate: Any  # uint8
    fired: Any  # uint8
    data: Any  # uint8
    starts: Any  # int64
    stops: Any  # int64


def keep_lines(table: ChunkTable, array: pa.Array, rules: Rules) -> tuple[list[Lines], list[int]]:
    """(what becomes of each text of `array`, the texts left for Python: those with a citation as well)."""
    n = len(array)
    room = np.empty(pc.sum(pc.binary_length(array)).as_py() or 0, np.uint8)
    kept = Kept(np.zeros(n, np.uint8), np.zeros(n, np.uint8), room, np.zeros(n, np.int64), np.zeros(n, np.int64))

    def kernel(texts: Texts, rows: Any, status: Any, chunks: Any, _: Any, unknown: Any) -> None:
        _keep(texts, rows, status, chunks, unknown, rules, kept)

    left = table.run(kernel, array)
    sizes = pc.utf8_length(array).to_pylist()
    found = zip(*(v.tolist() for v in (kept.fate, kept.fired, kept.starts, kept.stops)), sizes, strict=True)
    return [
        Lines(REASONS[fate], room[start:stop].tobytes().decode(), [r for bit, r in FAULTS.items() if fired & bit], size)
        if fate == CHANGED
        else Lines(REASONS[fate], None, [], size or 0)
        for fate, fired, start, stop, size in found
    ], left.tolist()


@compiled
def _keep(texts: Any, rows: Any, status: Any, chunks: Any, unknown: Any, rules: Any, kept: Any) -> None:
    data = texts.data
    used = kept.stops.max() if len(kept.stops) else 0
    for row in rows:
        start, stop = texts.starts[row], texts.stops[row]
        kept.fired[row] = 0
        status[row], kept.fate[row], end = _text(data, start, stop, chunks, unknown, rules, kept, row, used)
        if status[row] != DONE or kept.fate[row] != UNCHANGED:
            continue
        first, end = strip(kept.data, used, end)
        if end - first != stop - start or not same(kept.data, first, data, start, end - first):
            kept.fate[row] = CHANGED
            kept.starts[row], kept.stops[row] = first, end
            used = end


@compiled
def _text(  # noqa: PLR0912 - a rule a branch
    data: Any, start: int, stop: int, chunks: Any, unknown: Any, rules: Any, kept: Any, row: int, used: int
) -> tuple[int, int, int]:
    """(status, fate, end of the lines kept, written from `used` on). UNCHANGED stands for any text that stays."""
    known, sentences, end = DONE, 0, used
    i = begin = start
    while begin < stop:
        size = 0
        while i < stop:
            size = break_at(data, i, stop)
            if size:
                break
            i += 1
        first, last = strip(data, begin, i)
        i += size
        begin = i
        if rules.remove_citations and _has_citation(data, first, last):
            return PYTHON, UNCHANGED, end
        fault = _shape_fault(data, first, last, rules)
        if fault == 0:
            found = _content_fault(data, first, last, rules)
            if found == _LOREM:
                return DONE, LOREM_IPSUM, end
            if found == _BRACKET:
                return DONE, CURLY_BRACKET, end
            if found >= 0:
                fault = JAVASCRIPT if found == _JAVASCRIPT else POLICY
        if fault:
            kept.fired[row] |= fault
            continue
        if sentences < rules.min_num_sentences:
            status, n = _count_sentences(data, first, last, chunks, unknown, rules.min_num_sentences - sentences)
            if status == PYTHON:
                return PYTHON, UNCHANGED, end
            known = max(known, status)
            sentences += n
        for k in range(first, last):
            kept.data[end] = data[k]
            end += 1
        if begin < stop:
            kept.data[end] = 10
            end += 1
    if known == DONE and sentences < rules.min_num_sentences:
        return DONE, TOO_FEW_SENTENCES, end
    return known, UNCHANGED, end


@compiled
def _has_citation(data: Any, start: int, stop: int) -> bool:
    """Whether something begins like `[12]`, `[]`, `[edit]` or `[citation needed]`."""
    for i in range(start, stop - 1):
        if data[i] == 91:
            byte = data[i + 1]
            if 48 <= byte <= 57 or byte in (93, 99, 101) or byte >= 0x80:  # a digit of any script
                return True
    return False


@compiled
def _shape_fault(data: Any, start: int, stop: int, rules: Any) -> int:
    """Why a line falls by its words between white space or its end; 0 if it does not."""
    n, i = 0, start
    while i < stop:
        begin = i
        i, _ = chunk_end(data, i, stop)
        if rules.max_word_length != -1 and i - begin > rules.max_word_length < n_chars(data, begin, i):
            return TOO_LONG_WORD
        n += 1
        while i < stop:
            size = space_at(data, i)
            if size == 0:
                break
            i += size
    if rules.filter_no_terminal_punct:
        if stop == start or data[stop - 1] not in (46, 63, 33, 34, 39):
            return NO_TERMINAL_PUNC
        if stop - start >= 3 and data[stop - 1] == 46 and data[stop - 2] == 46 and data[stop - 3] == 46:
            return NO_TERMINAL_PUNC
    return TOO_FEW_WORDS if n < rules.min_words_per_line else 0


@compiled
def _content_fault(data: Any, start: int, stop: int, rules: Any) -> int:
    """The first phrase in C4's order, the bracket between javascript and the policies, that a line has; -1 for none."""
    javascript, policy, bracket = False, -1, False
    for i in range(start, stop):
        if data[i] == 123:
            bracket = True
        if not _FIRST[data[i]]:
            continue
        for phrase in range(len(_PHRASE_STARTS) - 1):
            if _has_phrase(data, i, stop, phrase):
                if phrase == _LOREM and rules.filter_lorem_ipsum:
                    return _LOREM
                if phrase == _JAVASCRIPT:
                    javascript = True
                elif phrase != _LOREM:
                    policy = phrase
    if javascript and rules.filter_javascript:
        return _JAVASCRIPT
    if bracket and rules.filter_curly_bracket:
        return _BRACKET
    return policy if rules.filter_policy else -1


@compiled
def _has_phrase(data: Any, i: int, stop: int, phrase: int) -> bool:
    """Whether a phrase is at `i`, in either case. U+212A, the sign of Kelvin, is a K to `str.lower`."""
    for k in range(_PHRASE_STARTS[phrase], _PHRASE_STARTS[phrase + 1]):
        if i >= stop:
            return False
        byte = data[i]
        if byte == 0xE2 and data[i + 1] == 0x84 and data[i + 2] == 0xAA:
            byte = np.uint8(107)
            i += 2
        elif 65 <= byte <= 90:
            byte = np.uint8(byte + 32)
        if byte != _PHRASE_BYTES[k]:
            return False
        i += 1
    return True


@compiled
def _count_sentences(data: Any, start: int, stop: int, chunks: Any, unknown: Any, enough: int) -> tuple[int, int]:
    """(DONE, UNKNOWN or PYTHON; sentences of a line without white space at its ends). Counting ends at `enough`."""
    n, pending, i, status, ties = 1, False, start, DONE, 0
    while i < stop and n < enough:
        begin = i
        i, letters = chunk_end(data, begin, stop)
        size = i - begin
        if size > LONGEST and not (letters and chunks.plain):
            return PYTHON, 0
        value = hash_of(data, begin, i)
        entry = find(chunks, value, data, begin, size)
        beside = 0 if entry < 0 else chunks.ties[entry]
        if are_tied(ties, beside):
            return PYTHON, 0
        ties = beside
        if entry < 0:
            n += pending
            pending = False
            if not (letters and chunks.plain):
                report(unknown, begin, size, value)
                status = UNKNOWN
        elif pending:
            n += chunks.effects[entry, 2]
            pending = chunks.effects[entry, 3] != 0
        else:
            n += chunks.effects[entry, 0]
            pending = chunks.effects[entry, 1] != 0
        gap = i
        while i < stop:
            width = space_at(data, i)
            if width == 0:
                break
            i += width
        if pending and i < stop and not (i - gap == 1 and data[gap] == 32):  # spaCy has a token for such white space
            n += 1
            pending = False
    return status, n
