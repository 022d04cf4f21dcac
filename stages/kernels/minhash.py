"""MinHash signatures of UTF-8 texts: bytes to minima in one pass, in memory that does not grow with the text.

Words are folded code points (stages/kernels/fold.py), hashed as they are read; a shingle's hash is a polynomial of its
words' hashes mod 2^64, mixed; a block of them at a time meets the permutations.
"""

from typing import Any

import numpy as np

from stages.kernels import compiled
from stages.kernels.fold import (
    CONTINUATION_START,
    DECIMAL,
    DROP,
    SINGLE,
    ZERO,
    decode,
    fold_of,
)

MERSENNE = np.uint64((1 << 61) - 1)
LARGEST = np.uint64((1 << 64) - 1)
BLOCK = 1024  # words that wait to become shingles: with their hashes 16 KB, in the first cache

_61 = np.uint64(61)
_33 = np.uint64(33)
_NO, _YES, _FRACTION = np.uint64(0), np.uint64(1), np.uint64(2)
_WORD_SEED = np.uint64(0x9E3779B97F4A7C15)
_WORD_FACTOR = np.uint64(0x9FB21C651E98DF25)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's finalizer
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)


@compiled
def mix(value: Any) -> Any:
    """A bijection of 64-bit numbers in which every bit of `value` changes about half of the result's."""
    value ^= value >> _33
    value *= _MIX_1
    value ^= value >> _33
    value *= _MIX_2
    return value ^ (value >> _33)


@compiled
def permute(hashes: Any, n: Any, a: Any, b: Any, minima: Any) -> None:
    """Lower `minima` to ((x * a + b) mod 2^64) mod (2^61 - 1) over the first `n` hashes: datatrove's permutations."""
    whole = n - n % 4
    for i in range(0, whole, 4):  # by four, so that a, b and minima are loaded once for them
        x0, x1, x2, x3 = hashes[i], hashes[i + 1], hashes[i + 2], hashes[i + 3]
        for j in range(a.shape[0]):
            v0, v1, v2, v3 = x0 * a[j] + b[j], x1 * a[j] + b[j], x2 * a[j] + b[j], x3 * a[j] + b[j]
            r0, r1 = (v0 & MERSENNE) + (v0 >> _61), (v1 & MERSENNE) + (v1 >> _61)
            r2, r3 = (v2 & MERSENNE) + (v2 >> _61), (v3 & MERSENNE) + (v3 >> _61)
            r0, r1 = min(r0, r0 - MERSENNE), min(r1, r1 - MERSENNE)  # r - p wraps around unless r >= p
            r2, r3 = min(r2, r2 - MERSENNE), min(r3, r3 - MERSENNE)
            r0, r2 = min(r0, r1), min(r2, r3)
            r0 = min(r0, r2)
            minima[j] = min(minima[j], r0)
    for i in range(whole, n):
        for j in range(a.shape[0]):
            v = hashes[i] * a[j] + b[j]
            r = (v & MERSENNE) + (v >> _61)
            r = min(r, r - MERSENNE)
            minima[j] = min(minima[j], r)


@compiled
def shingle_hashes(words: Any, shingles: Any, n_grams: Any, hashes: Any) -> None:
    """Fill `hashes` with those of the first `shingles` runs of `n_grams` words."""
    hashes[:shingles] = 0
    for place in range(n_grams):
        for i in range(shingles):
            hashes[i] = hashes[i] * _STEP + words[i + place]
    for i in range(shingles):
        hashes[i] = mix(hashes[i])


@compiled
def _flush(words: Any, n: Any, hashes: Any, n_grams: Any, a: Any, b: Any, minima: Any) -> Any:
    """Lower `minima` over the shingles of the first `n` words; return how many words the next shingle begins with.

    Those are moved to the front. A shingle's hash is mix(sum of mix(word) * _STEP ** place) mod 2^64.
    """
    shingles = n - n_grams + 1
    if shingles <= 0:
        return n
    shingle_hashes(words, shingles, n_grams, hashes)
    permute(hashes, shingles, a, b, minima)
    for i in range(n_grams - 1):
        words[i] = words[shingles + i]
    return n_grams - 1


@compiled
def read_words(data: Any, i: Any, end: Any, fold: Any, words: Any, n: Any, state: Any) -> tuple[Any, Any]:
    """Put the hashes of the words of data[i:end] behind the first `n` of `words`: (where it stopped, how many now).

    It stops early when `words` has no room for two more. `state`, uint64 of 3, holds a word that is not over: its hash
    so far, whether it has begun, and where in a number it is (1 in its whole part, 2 in its fraction).
    """
    word, in_word, number = state[0], state[1], state[2]
    while i < end:
        if data[i] < CONTINUATION_START:
            code = fold[data[i]]
            i += 1
        else:
            point, i = decode(data, i, end)
            code = fold_of(point, fold)
        if code > ZERO and code < SINGLE:  # a letter, by far the most frequent
            word, in_word, number = (word ^ np.uint64(code)) * _WORD_FACTOR, _YES, _NO
        elif code == ZERO:  # a digit: a run of them, and one fraction, is one zero
            if number == 0:
                word, in_word, number = (word ^ np.uint64(ZERO)) * _WORD_FACTOR, _YES, _YES
        elif code == DROP:
            number = _NO
        else:
            if code == DECIMAL and number == 1 and i < end and fold_of(decode(data, i, end)[0], fold) == ZERO:
                number = _FRACTION
                continue
            number = _NO
            if in_word:
                words[n] = mix(word)
                n, word, in_word = n + 1, _WORD_SEED, _NO
            if code >= SINGLE:
                words[n] = mix((word ^ np.uint64(code)) * _WORD_FACTOR)
                n += 1
            if n + 2 > words.shape[0]:
                break
    state[0], state[1], state[2] = word, in_word, number
    return i, n


@compiled
def begin_words(state: Any) -> None:
    """Make `state` that of a text that has not begun."""
    state[0], state[1], state[2] = _WORD_SEED, _NO, _NO


@compiled
def end_words(words: Any, n: Any, state: Any) -> Any:
    """Put the last word of a text, if it is in one, behind the first `n`; how many now."""
    words[n] = mix(state[0])
    return n + np.int64(state[1])


@compiled
def sign(data: Any, start: Any, end: Any, fold: Any, n_grams: Any, block: Any, a: Any, b: Any, minima: Any) -> Any:
    """Lower `minima` over the shingles of the text in data[start:end]; return whether it has one.

    `block` is room for work, uint64 of shape (2, n), n over `n_grams`.
    """
    words, hashes, state = block[0], block[1], np.empty(3, np.uint64)
    begin_words(state)
    n, enough, i = 0, False, start
    while i < end:
        i, n = read_words(data, i, end, fold, words, n, state)
        if i < end:
            enough |= n >= n_grams
            n = _flush(words, n, hashes, n_grams, a, b, minima)
    n = end_words(words, n, state)
    enough |= n >= n_grams
    _flush(words, n, hashes, n_grams, a, b, minima)
    return enough


@compiled
def sign_all(data: Any, offsets: Any, valid: Any, fold: Any, n_grams: Any, a: Any, b: Any, signatures: Any) -> None:
    """Fill row i of `signatures` from data[offsets[i]:offsets[i + 1]]; `valid[i]` turns false if it is too short.

    `data` uint8, `offsets` int64, `valid` bool, `fold` as fold.table() makes it, `a`, `b` and `signatures` uint64. Rows
    that are not valid when it is called are left out.
    """
    block = np.empty((2, max(BLOCK, 2 * n_grams + 2)), np.uint64)
    for row in range(valid.shape[0]):
        if valid[row]:
            minima = signatures[row]
            minima[:] = LARGEST
            valid[row] = sign(data, offsets[row], offsets[row + 1], fold, n_grams, block, a, b, minima)


@compiled
def hash_bands(signatures: Any, rows: Any, bands: Any) -> None:
    """Fill bands[i, k] with a hash of k and the k-th run of `rows` values of signature i. All uint64."""
    for i in range(bands.shape[0]):
        for k in range(bands.shape[1]):
            value = mix(_WORD_SEED + np.uint64(k))
            for j in range(k * rows, (k + 1) * rows):
                value = mix(value * _STEP + signatures[i, j])
            bands[i, k] = value
