"""The words of one text: one look-up for the shape of each of its chunks between white space.

Words are left in a scratch that texts share: their bytes side by side without the white space, where each begins (in
bytes and in code points), and the sums that give the hash of any run of words by one subtraction.
"""

from typing import Any, NamedTuple

import numpy as np

from stages.kernels import compiled
from stages.kernels.shapes import shape_of
from stages.kernels.utf8 import BASE, CLASSES, INVERSE, LEAD, LETTER, SPACE, hash_of, mixed, same, space_at

DONE, UNKNOWN, PYTHON, FULL = (
    0,
    1,
    2,
    3,
)  # of a text: counted; has unknown chunks; is for Python; needs a larger scratch
TIED, BEGINS, ENDS = 1, 2, 4  # of a shape: as `stages.text.words.Chunk` has it
INSIDE = 8  # of a shape: a word of its example ends inside a run, so that it tells nothing of other chunks
SYMBOL, ALPHABETIC = 1, 2  # of a word: nothing but punctuation; a letter in it
LONGEST = 1024  # bytes of a chunk that the table may know


class Chunks(NamedTuple):
    """An open table from the shape of a chunk to its words. Entry e has key `keys[key_starts[e]:key_starts[e + 1]]`.

    Its words are `word_starts[e]` up to `word_starts[e + 1]`. `effects` is what it does to the sentencizer. `plain`: a
    chunk of ASCII letters that is not in the table is one word, and runs are replaced; else a chunk is its own shape.
    """

    slots: Any  # int32: entry + 1, or 0
    hashes: Any  # uint64
    keys: Any  # uint8
    key_starts: Any  # int64
    word_starts: Any  # int64
    sizes: Any  # int32, bytes of a word, a symbol for a run being one
    lengths: Any  # int32, code points of a word, as well
    n_runs: Any  # int32, symbols in a word
    flags: Any  # uint8
    ties: Any  # uint8: TIED, BEGINS, ENDS, INSIDE
    effects: Any  # int32, 4 an entry
    plain: bool
    named: Any  # uint64: `hashes_of` the runs that stay what they are
    shape: Any  # uint8: scratch for a shape, and
    extras: Any  # int32: what each run of the chunk looked up last has more than its symbol


class Unknown(NamedTuple):
    """Chunks whose shapes are in no table: where, how long, the shape's hash. `n[0]` of them; the rest is lost."""

    starts: Any  # int64
    sizes: Any  # int64
    hashes: Any  # uint64
    slots: Any  # int32, n + 1 or 0: an open table of the hashes
    n: Any  # int64, 1


class Words(NamedTuple):
    """The scratch: word i is `joined[starts[i]:starts[i + 1]]`, its code points are those from `chars[i]`."""

    joined: Any  # uint8
    starts: Any  # int64
    chars: Any  # int64
    sums: Any  # uint64
    scales: Any  # uint64
    flags: Any  # uint8


@compiled
def look_up(chunks: Any, value: Any, data: Any, start: int, size: int) -> tuple[int, Any]:
    """(the entry of the shape of a chunk, -1 for an unknown one; the hash of the shape). `value`: the chunk's hash."""
    if chunks.plain:
        n, n_runs = shape_of(data, start, size, chunks.named, chunks.shape, chunks.extras)
        if n_runs:
            value = hash_of(chunks.shape, 0, n)
            return entry_of(chunks, value, chunks.shape, 0, n), value
    return entry_of(chunks, value, data, start, size), value


@compiled
def find(chunks: Any, value: Any, data: Any, start: int, size: int) -> int:
    """The entry of the shape of a chunk; -1 for an unknown one."""
    return look_up(chunks, value, data, start, size)[0]


@compiled
def entry_of(chunks: Any, value: Any, data: Any, start: int, size: int) -> int:
    """The entry of a shape; -1 for an unknown one."""
    mask = np.uint64(len(chunks.slots) - 1)
    slot = value & mask
    while chunks.slots[slot] != 0:
        entry = chunks.slots[slot] - 1
        begin = chunks.key_starts[entry]
        if (
            chunks.hashes[entry] == value
            and chunks.key_starts[entry + 1] - begin == size
            and same(chunks.keys, begin, data, start, size)
        ):
            return int(entry)
        slot = (slot + np.uint64(1)) & mask
    return -1


@compiled
def report(unknown: Any, start: int, size: int, value: Any) -> None:
    """Note a chunk of an unknown shape, of which `value` is the hash."""
    n = unknown.n[0]
    if n == len(unknown.starts):
        return
    mask = np.uint64(len(unknown.slots) - 1)
    slot = value & mask
    while unknown.slots[slot] != 0:
        if unknown.hashes[unknown.slots[slot] - 1] == value:
            return
        slot = (slot + np.uint64(1)) & mask
    unknown.starts[n], unknown.sizes[n], unknown.hashes[n] = start, size, value
    unknown.slots[slot] = unknown.n[0] = n + 1


@compiled
def chunk_end(data: Any, i: int, stop: int) -> tuple[int, bool]:
    """Where the chunk at `i` ends, and whether it is all ASCII letters."""
    letters = True
    while i < stop:
        kind = CLASSES[data[i]]
        if kind != LETTER:
            if kind == SPACE or (kind == LEAD and space_at(data, i) != 0):
                break
            letters = False
        i += 1
    return i, letters


@compiled
def are_tied(before: int, after: int) -> bool:
    """Whether the words of one of two chunks that follow one another may depend on the other, or are not known."""
    return bool((before & ENDS and after & BEGINS and (before | after) & TIED) or after & INSIDE)


@compiled
def gram_hash(words: Any, i: int, n: int) -> Any:
    """The hash of the bytes of the `n` words from `i` on."""
    return mixed((words.sums[i + n] - words.sums[i]) * words.scales[i], words.starts[i + n] - words.starts[i])


@compiled
def _add_words(
    chunks: Any, entry: int, words: Any, n: int, at: int, chars: int, total: Any, power: Any, scale: Any
) -> tuple[Any, Any]:
    """Put the words of the chunk looked up last into the scratch; (the sum, the code points behind them)."""
    run = 0
    for w in range(chunks.word_starts[entry], chunks.word_starts[entry + 1]):
        words.starts[n], words.chars[n], words.sums[n], words.scales[n] = at, chars, total, scale
        words.flags[n] = chunks.flags[w]
        extra = 0
        for k in range(run, run + chunks.n_runs[w]):
            extra += chunks.extras[k]
        run += chunks.n_runs[w]
        for k in range(at, at + chunks.sizes[w] + extra):
            total += np.uint64(words.joined[k] + 1) * power
            power *= BASE
            scale *= INVERSE
        at += chunks.sizes[w] + extra
        chars += chunks.lengths[w] + extra
        n += 1
    return total, chars


@compiled
def split(data: Any, start: int, stop: int, chunks: Any, words: Any, unknown: Any) -> tuple[int, int]:
    """(DONE, UNKNOWN, PYTHON or FULL; number of words). Behind the last word `starts` and the sums have their ends."""
    n, end, chars, total, power, scale = 0, 0, 0, np.uint64(0), np.uint64(1), np.uint64(1)
    room = len(words.flags)
    status, ties = DONE, 0
    i = start
    while True:
        while i < stop:
            size = space_at(data, i)
            if size == 0:
                break
            i += size
        if i >= stop:
            break
        begin = i
        i, letters = chunk_end(data, begin, stop)
        size = i - begin
        if size > LONGEST and not (letters and chunks.plain):
            return PYTHON, 0
        first, old_power, old_scale, value = end, power, scale, np.uint64(0)
        for k in range(begin, i):
            words.joined[end] = data[k]
            value += np.uint64(data[k] + 1) * power
            power *= BASE
            scale *= INVERSE
            end += 1
        key = mixed(value * old_scale, size)
        plain = letters and chunks.plain
        if plain:
            entry = entry_of(chunks, key, data, begin, size)
        else:
            entry, key = look_up(chunks, key, data, begin, size)
        n_words = 1 if entry < 0 else chunks.word_starts[entry + 1] - chunks.word_starts[entry]
        beside = 0 if entry < 0 else chunks.ties[entry]
        if are_tied(ties, beside):
            return PYTHON, 0
        ties = beside
        if n + n_words >= room:
            return FULL, 0
        words.starts[n], words.chars[n], words.sums[n], words.scales[n] = first, chars, total, old_scale
        if entry < 0:
            if not plain:
                report(unknown, begin, size, key)
                status = UNKNOWN
            words.flags[n] = ALPHABETIC
            chars += size
            total += value
            n += 1
            continue
        total, chars = _add_words(chunks, entry, words, n, first, chars, total, old_power, old_scale)
        n += n_words
    words.starts[n], words.chars[n], words.sums[n], words.scales[n] = end, chars, total, scale
    return status, n


@compiled
def place(joined: Any, sizes: Any, lengths: Any, flags: Any, words: Any) -> None:
    """Fill the scratch with given words: their bytes, and of each word the bytes, the code points and the flags."""
    end, chars, total, power, scale = 0, 0, np.uint64(0), np.uint64(1), np.uint64(1)
    for i in range(len(sizes) + 1):
        words.starts[i], words.chars[i], words.sums[i], words.scales[i] = end, chars, total, scale
        if i == len(sizes):
            return
        words.flags[i] = flags[i]
        chars += lengths[i]
        for k in range(end, end + sizes[i]):
            words.joined[k] = joined[k]
            total += np.uint64(joined[k] + 1) * power
            power *= BASE
            scale *= INVERSE
        end += sizes[i]
