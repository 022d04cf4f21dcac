"""fastText's prediction over Arrow's UTF-8 buffer: the most probable label of each text, and its probability.

The same numbers in the same order as fastText 0.9.2 adds them (dictionary.cc, model.cc, loss.cc), in single precision.
"""

import math
from typing import Any

import numpy as np

from stages.kernels import compiled

_BASIS = np.uint32(2166136261)
_PRIME = np.uint32(16777619)
_SIGN = np.uint32(0xFFFFFF00)
_SPACE, _NEWLINE, _BEFORE, _BEHIND = np.uint8(0x20), np.uint8(0x0A), np.uint8(0x3C), np.uint8(0x3E)
_END = np.frombuffer(b"</s>", np.uint8)
_LABEL = np.frombuffer(b"__label__", np.uint8)
_FLOOR = 1e-5  # added to a probability before its logarithm


@compiled
def _is_space(byte: Any) -> Any:
    return byte <= _SPACE and (byte == _SPACE or (9 <= byte <= 13) or byte == 0)


@compiled
def _hash(value: Any, byte: Any) -> Any:
    if byte >= 0x80:
        return np.uint32((value ^ (np.uint32(byte) | _SIGN)) * _PRIME)
    return np.uint32((value ^ np.uint32(byte)) * _PRIME)


@compiled
def _starts_with(data: Any, start: Any, stop: Any, prefix: Any) -> Any:
    if stop - start < prefix.shape[0]:
        return False
    for i in range(prefix.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if data[start + i] != prefix[i]:
            return False
    return True


@compiled
def _find(data: Any, start: Any, stop: Any, word_bytes: Any, word_ends: Any, slots: Any) -> Any:
    """The number of the word in data[start:stop], or -1."""
    value = _BASIS
    for i in range(start, stop):
        value = _hash(value, data[i])
    last = slots.shape[0] - 1
    slot = np.int64(value) & last
    while slots[slot] >= 0:
        number = slots[slot]
        begin = word_ends[number - 1] if number > 0 else 0
        if word_ends[number] - begin == stop - start and _starts_with(
            word_bytes, begin, word_ends[number], data[start:stop]
        ):
            return np.int64(number)
        slot = (slot + 1) & last
    return np.int64(-1)


@compiled
def _add(row: Any, hidden: Any) -> None:
    for k in range(hidden.shape[0]):
        hidden[k] += row[k]


@compiled
def _add_ngrams(data: Any, start: Any, stop: Any, kept: Any, rows: Any, sizes: Any, hidden: Any) -> Any:
    """Add the rows of the character n-grams of `<word>`; return how many. `start` - 1 and `stop` are < and >."""
    n_words, buckets, minn, maxn = np.int64(sizes[0]), np.uint32(sizes[1]), np.int64(sizes[2]), np.int64(sizes[3])
    added = 0
    for i in range(start - 1, stop + 1):
        if start <= i < stop and (data[i] & 0xC0) == 0x80:
            continue
        value, j, n = _BASIS, i, 0
        while j <= stop and n < maxn:
            n += 1
            value = _hash(value, _BEFORE if j < start else (_BEHIND if j == stop else data[j]))
            j += 1
            while start < j < stop and (data[j] & 0xC0) == 0x80:
                value = _hash(value, data[j])
                j += 1
            if n >= minn and not (n == 1 and (i < start or j > stop)):
                bucket = np.int64(value % buckets)
                if kept.shape[0]:
                    bucket = np.int64(kept[bucket])
                if bucket >= 0:
                    _add(rows[n_words + bucket], hidden)
                    added += 1
    return added


@compiled
def _embed(
    data: Any, start: Any, end: Any, words: Any, ends: Any, slots: Any, kept: Any, rows: Any, sizes: Any, hidden: Any
) -> Any:
    """Sum the rows of the text in data[start:end], newlines as spaces, and of the line's end; return how many."""
    n_words, added, i = np.int64(sizes[0]), 0, start
    hidden[:] = np.float32(0)
    while i < end:
        if _is_space(data[i]):
            i += 1
            continue
        stop = i
        while stop < end and not _is_space(data[stop]):
            stop += 1
        if stop - i == _END.shape[0] and _starts_with(data, i, stop, _END):
            break
        number = _find(data, i, stop, words, ends, slots)
        if 0 <= number < n_words:
            _add(rows[number], hidden)
            added += 1
        if number < n_words and (number >= 0 or not _starts_with(data, i, stop, _LABEL)):
            added += _add_ngrams(data, i, stop, kept, rows, sizes, hidden)
        i = stop
    number = _find(_END, 0, _END.shape[0], words, ends, slots)
    if number >= 0:
        _add(rows[number], hidden)
        added += 1
    return added


@compiled
def _best_label(hidden: Any, outputs: Any, left: Any, right: Any, nodes: Any, scores: Any) -> Any:
    """The most probable leaf of the tree and its log probability. `nodes` and `scores` are room for work."""
    n_labels = outputs.shape[0]
    best, best_score = np.int64(-1), np.float32(-np.inf)
    floor = np.float32(math.log(_FLOOR))
    nodes[0], scores[0], depth = left.shape[0] - 1, np.float32(0), 1
    while depth:
        depth -= 1
        node, score = np.int64(nodes[depth]), scores[depth]
        if score < floor or score < best_score:
            continue
        if left[node] < 0:
            best, best_score = node, score
            continue
        dot = np.float32(0)
        for k in range(hidden.shape[0]):
            dot += outputs[node - n_labels, k] * hidden[k]
        share = np.float32(1.0 / np.float64(np.float32(1) + np.float32(math.exp(-dot))))
        nodes[depth], nodes[depth + 1] = right[node], left[node]  # the left one is next
        scores[depth] = score + np.float32(math.log(np.float64(share) + _FLOOR))
        scores[depth + 1] = score + np.float32(math.log(np.float64(np.float32(1.0 - np.float64(share))) + _FLOOR))
        depth += 2
    return best, best_score


@compiled
def _best_of_all(hidden: Any, outputs: Any, shares: Any) -> Any:
    """The most probable label of a softmax over all, and its log probability. `shares` is room for work.

    Each label's sum goes over the dimensions in order, as fastText's does; the labels are summed side by side.
    """
    n_labels = outputs.shape[1]
    shares[:] = np.float32(0)
    for k in range(hidden.shape[0]):
        value = hidden[k]
        for label in range(n_labels):
            shares[label] += outputs[k, label] * value
    highest = shares[0]
    for label in range(n_labels):
        highest = max(highest, shares[label])
    total = np.float32(0)
    for label in range(n_labels):
        shares[label] = np.float32(math.exp(np.float64(shares[label] - highest)))
        total += shares[label]
    best, best_score = np.int64(-1), np.float32(-np.inf)
    for label in range(n_labels):
        score = np.float32(math.log(np.float64(shares[label] / total) + _FLOOR))
        if score >= best_score:  # of equal ones fastText's heap keeps the last
            best, best_score = np.int64(label), score
    return best, best_score


@compiled
def predict_all(
    data: Any, offsets: Any, valid: Any, words: Any, ends: Any, slots: Any, kept: Any, rows: Any, outputs: Any,
    left: Any, right: Any, sizes: Any, labels: Any, probabilities: Any,
) -> None:  # fmt: skip
    """Fill `labels` (-1: none) and `probabilities` of every valid text."""
    hidden = np.zeros(rows.shape[1], np.float32)
    nodes, scores = np.zeros(left.shape[0] + 2, np.int64), np.zeros(left.shape[0] + 2, np.float32)
    shares = np.zeros(outputs.shape[1], np.float32)
    for row in range(valid.shape[0]):
        labels[row] = -1
        if not valid[row]:
            continue
        added = _embed(data, offsets[row], offsets[row + 1], words, ends, slots, kept, rows, sizes, hidden)
        if added:
            factor = np.float32(1.0 / added)
            for k in range(hidden.shape[0]):
                hidden[k] *= factor
            if left.shape[0]:
                labels[row], score = _best_label(hidden, outputs, left, right, nodes, scores)
            else:
                labels[row], score = _best_of_all(hidden, outputs, shares)
            probabilities[row] = np.float32(math.exp(score))
