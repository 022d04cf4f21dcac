"""True Jaccard similarity of texts by their shingles, and clusters by it.

The shingles are those that MinHash signatures sample (stages/kernels/minhash.py): folded words, n at a time.
"""

from typing import Any

import numpy as np

from stages.kernels import compiled
from stages.kernels.minhash import begin_words, end_words, read_words, shingle_hashes

BESIDE = 64  # rows of a bucket that a row is compared with: all in most buckets; then only those that stay
WALK = 256  # and of these, the last so many: pages of one template may all be in one bucket, and none like another
NONE = np.int64(-1)


@compiled
def shingle_sets(data: Any, offsets: Any, fold: Any, n_grams: Any, sets: Any, ends: Any) -> Any:
    """Fill `sets` with the shingle hashes of each text, sorted and each once; row i is sets[ends[i]:ends[i + 1]].

    `sets` has room for one number for every two bytes of a text, and one more. Returns how many were filled.
    """
    state = np.empty(3, np.uint64)
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    words, hashes = np.empty(longest + 3, np.uint64), np.empty(longest + 3, np.uint64)
    total = 0
    ends[0] = 0
    for row in range(len(offsets) - 1):
        begin_words(state)
        _, n = read_words(data, offsets[row], offsets[row + 1], fold, words, 0, state)
        n = end_words(words, n, state)
        shingles = n - n_grams + 1
        if shingles > 0:
            shingle_hashes(words, shingles, n_grams, hashes)
            ordered = np.sort(hashes[:shingles])
            for i in range(shingles):
                if i == 0 or ordered[i] != ordered[i - 1]:
                    sets[total] = ordered[i]
                    total += 1
        ends[row + 1] = total
    return total


@compiled
def jaccard(sets: Any, a: Any, a_end: Any, b: Any, b_end: Any) -> Any:
    """Of the two sorted runs of `sets`: members in both / members in either. Two empty sets have nothing in common."""
    size, common = a_end - a + b_end - b, 0
    while a < a_end and b < b_end:
        x, y = sets[a], sets[b]
        common += x == y
        a += x <= y
        b += y <= x
    return common / (size - common) if size > common else 0.0


@compiled
def find(parent: Any, i: Any) -> Any:
    """The root of i, and the path to it halved."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def judge_rows(
    sets: Any, ends: Any, bands: Any, known: Any, groups: Any, least: Any, cluster: Any, leader: Any, score: Any
) -> Any:
    """Clusters by true similarity, and who stays, of the rows of each group; return how many pairs were compared.

    Rows come in groups (rows groups[g] to groups[g + 1]), the one that should stay first. Two rows that share a band
    (bands[row, k] for one k) and are at least `least` similar are in one `cluster` (its first row). A row stays, and is
    its own `leader`, unless it is that similar to one before it that stays; `score` is how similar it is to the nearest
    of those, 1 for itself. A `known` row has no shingles here: it stays, what shares a band with it is like it, and the
    score is not a number. Rows in whose bucket there are over BESIDE others are compared with those that stay alone.
    """
    compared = 0
    for row in range(len(cluster)):
        cluster[row], leader[row], score[row] = row, row, 1.0
    for g in range(len(groups) - 1):
        compared += _judge_group(sets, ends, bands, known, groups[g], groups[g + 1], least, cluster, leader, score)
    for row in range(len(cluster)):
        cluster[row] = find(cluster, row)
    return compared


@compiled
def _judge_group(
    sets: Any,
    ends: Any,
    bands: Any,
    known: Any,
    first: Any,
    last: Any,
    least: Any,
    cluster: Any,
    leader: Any,
    score: Any,
) -> Any:
    n, n_bands, compared = last - first, bands.shape[1], 0
    slots = np.full((n_bands, _power_of_two(2 * n)), NONE)  # of each band: bucket -> its newest row
    mask = np.uint64(slots.shape[1] - 1)
    older = np.full((n, n_bands), NONE)  # the row before it in the bucket
    beside = np.zeros((n, n_bands), np.int64)  # how many are in the bucket, at its newest row
    met = np.full(n, NONE)
    for row in range(first, last):
        best = 0.0
        for k in range(n_bands):
            other = slots[k, _slot(slots[k], bands, k, row, mask)]
            steps = 0
            while other != NONE and steps < WALK:
                steps += 1
                if met[other - first] != row:
                    met[other - first] = row
                    if known[other]:
                        same = 0.0 if known[row] else 1.0
                    else:
                        same = jaccard(sets, ends[row], ends[row + 1], ends[other], ends[other + 1])
                        compared += 1
                    if same >= least:
                        a, b = find(cluster, row), find(cluster, other)
                        cluster[max(a, b)] = min(a, b)
                        if leader[other] == other and (same > best or (same == best and other < leader[row])):
                            best, leader[row], score[row] = same, other, np.nan if known[other] else same
                other = older[other - first, k]
        for k in range(n_bands):
            slot = _slot(slots[k], bands, k, row, mask)
            newest = slots[k, slot]
            n_beside = beside[newest - first, k] if newest != NONE else 0
            if n_beside < BESIDE or leader[row] == row:
                older[row - first, k], beside[row - first, k] = newest, n_beside + 1
                slots[k, slot] = row
    return compared


@compiled
def _slot(slots: Any, bands: Any, k: Any, row: Any, mask: Any) -> Any:
    """Where the bucket of a row's band k is, or would be."""
    slot = bands[row, k] & mask
    while slots[slot] != NONE and bands[slots[slot], k] != bands[row, k]:
        slot = (slot + np.uint64(1)) & mask
    return slot


@compiled
def _power_of_two(n: Any) -> Any:
    size = 1
    while size < n:
        size *= 2
    return size
