"""The shape of a chunk: its bytes, each run of ASCII letters or digits replaced by a symbol for its kind of run.

`well-known,` and `half-read,` have one shape: so have most of the new chunks that a crawl never ceases to bring. What
spaCy's English rules do to a chunk they do to every other one of its shape, since they see of a run no more than its
kind says:

- A prefix, suffix or infix is punctuation, symbols, or letters that the rule names. It looks at one character behind
  or ahead of it, and a full stop at two: is it a digit, lower case, upper case?
- The pattern of addresses tells lower case only from the rest (`[a-z]{2,63}` at the end of a host), one character from
  several, and 2 to 5 digits from more (a port). It limits names to 64 characters: chunks of more than 64 bytes are
  their own shape. An IP address has three full stops: beside as many, digits stay what they are.
- A special case, or a piece of one, is equal to a part of the chunk. Cuts are never inside a run, so a run in this part
  is one in the special case.

Hence a single letter or digit stays what it is, and so does any run that a rule or a special case has: the named ones.
"""

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from stages.kernels import compiled
from stages.kernels.utf8 import BASE, mixed, n_slots

MAX_BYTES = 64  # of a chunk whose runs are replaced
_OTHER, _LETTER, _DIGIT = 0, 1, 2

# Symbols are bytes that UTF-8 does not have. Letters: all lower case, else by the first letter (lower, upper) and the
# end (lower, upper behind lower, upper behind upper). Digits: 2 to 5, or more.
LOWER, MIXED, FEW, MANY = 0xF5, 0xF6, 0xFC, 0xFD

# The shortest run of each kind (a chunk must not grow past the 64 characters of a name), as the character that
# `bytes.decode(errors="surrogateescape")` makes of its symbol. No rule names any of them.
_SHORTEST = ("qz", "qZq", "qZ", "qZQ", "Qz", "QzQ", "QZ", "47", "474747")
EXAMPLES = {0xDC00 + symbol: run for symbol, run in enumerate(_SHORTEST, LOWER)}

_KINDS = np.full(256, _OTHER, np.uint8)
_KINDS[[*range(ord("a"), ord("z") + 1), *range(ord("A"), ord("Z") + 1)]] = _LETTER
_KINDS[[*range(ord("0"), ord("9") + 1)]] = _DIGIT


@compiled
def shape_of(data: Any, start: int, size: int, named: Any, shape: Any, extras: Any) -> tuple[int, int]:
    """(bytes of the shape of a chunk, runs replaced in it). Without any, the shape is the chunk and is not written.

    It is left in `shape`, and in `extras` how many bytes each run has more than its symbol.
    """
    if size > MAX_BYTES:
        return size, 0
    stop, dots = start + size, 0
    for i in range(start, stop):
        dots += data[i] == 46
    n, n_runs, i = 0, 0, start
    while i < stop:
        kind = _KINDS[data[i]]
        if kind == _OTHER:
            shape[n] = data[i]
            n += 1
            i += 1
            continue
        begin, value = i, np.uint64(0)
        while i < stop and _KINDS[data[i]] == kind:
            value = value * BASE + np.uint64(data[i] + 1)
            i += 1
        symbol = 0
        if i - begin > 1 and (kind == _LETTER or (kind == _DIGIT and dots < 3)):
            symbol = _symbol(data, begin, i, kind)
            if _has(named, mixed(value, i - begin)):
                symbol = 0
        if symbol:
            shape[n] = symbol
            extras[n_runs] = i - begin - 1
            n_runs += 1
            n += 1
        else:
            for k in range(begin, i):
                shape[n] = data[k]
                n += 1
    return n, n_runs


@compiled
def _symbol(data: Any, begin: int, end: int, kind: int) -> int:
    """The symbol of a run of at least two."""
    if kind == _DIGIT:
        return int(FEW if end - begin <= 5 else MANY)
    lower = True
    for k in range(begin, end):
        lower = lower and data[k] >= 97
    if lower:
        return LOWER
    ending = 0
    if data[end - 1] < 97:
        ending = 2 if data[end - 2] < 97 else 1
    return int(MIXED + 3 * (data[begin] < 97) + ending)


@compiled
def _has(values: Any, value: Any) -> bool:
    """Whether a set made by `hashes_of` has a value: 0 stands for a free slot, and is taken to be in it."""
    mask = np.uint64(len(values) - 1)
    slot = value & mask
    while values[slot] != 0:
        if values[slot] == value:
            return True
        slot = (slot + np.uint64(1)) & mask
    return bool(value == 0)


def hashes_of(runs: tuple[str, ...]) -> Any:
    """An open table of the runs' hashes (uint64). A run that only shares its hash stays what it is too, which is right
    for any.
    """
    data = np.frombuffer("".join(runs).encode() or b"\0", np.uint8)
    starts = np.array([0, *accumulate(map(len, runs))], np.int64)
    values = np.zeros(n_slots(len(runs)), np.uint64)
    _fill(data, starts, values)
    return values


@compiled
def _fill(data: Any, starts: Any, values: Any) -> None:
    mask = np.uint64(len(values) - 1)
    for run in range(len(starts) - 1):
        value = np.uint64(0)
        for k in range(starts[run], starts[run + 1]):
            value = value * BASE + np.uint64(data[k] + 1)
        value = mixed(value, starts[run + 1] - starts[run])
        slot = value & mask
        while values[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        values[slot] = value


def example_of(shape: str) -> str:
    """A chunk of `shape`, as decoded with "surrogateescape"."""
    return shape.translate(EXAMPLES)


def n_symbols(shape: str) -> int:
    """Runs replaced in `shape`."""
    return 0 if shape.isascii() else sum(ord(char) in EXAMPLES for char in shape)


def words_in(shape: str, words: tuple[str, ...]) -> list[str] | None:
    """The words of the example of `shape` with its symbols for runs; None where a word ends inside a run."""
    if sum(map(len, words)) == len(shape):
        return list(words)
    places = {end: i for i, end in enumerate(accumulate((len(EXAMPLES.get(ord(c), c)) for c in shape), initial=0))}
    ends = [places.get(end, -1) for end in accumulate(map(len, words), initial=0)]
    return [shape[i:j] for i, j in pairwise(ends)] if min(ends) >= 0 else None
