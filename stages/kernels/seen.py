"""An open-addressing table of bands in two arrays: 12 bytes a slot, no object a band.

`keys` holds hashes, 0 where a slot is free; `owners` holds a row's number from 1, 0 where nobody has the band. Both are
a power of two long and never full. A band that is given back keeps its slot.
"""

from typing import Any

import numpy as np

from stages.kernels import compiled
from stages.kernels.minhash import mix

_FREE, _ONE = np.uint64(0), np.uint64(1)  # a band that is 0 is taken for 1


@compiled
def slot_of(keys: Any, key: Any) -> Any:
    """Where `key` is, or the free slot it would take."""
    mask = np.uint64(keys.shape[0] - 1)
    at = mix(key) & mask
    while keys[at] != _FREE and keys[at] != key:
        at = (at + _ONE) & mask
    return at


@compiled
def number(keys: Any, owners: Any, hashes: Any, last: Any, numbers: Any) -> Any:
    """Fill `numbers` with those of `hashes`; new ones get last + 1, last + 2 ... Returns the last one given."""
    for i in range(hashes.shape[0]):
        key = max(hashes[i], _ONE)
        at = slot_of(keys, key)
        if keys[at] == _FREE:
            last += 1
            keys[at], owners[at] = key, last
        numbers[i] = owners[at]
    return last


@compiled
def look(keys: Any, owners: Any, bands: Any, found: Any) -> None:
    """Fill `found` with the number of the row that has each of `bands`, or 0."""
    for i in range(bands.shape[0]):
        found[i] = owners[slot_of(keys, max(bands[i], _ONE))]


@compiled
def claim(keys: Any, owners: Any, bands: Any, starts: Any, rows: Any, lost_to: Any) -> Any:
    """Row k takes its bands[starts[k]:starts[k + 1]] in that order up to the first that another row has.

    lost_to[k] becomes that other's number, or stays as it is. Returns how many slots were free before.
    """
    taken = 0
    for k in range(rows.shape[0]):
        for i in range(starts[k], starts[k + 1]):
            key = max(bands[i], _ONE)
            at = slot_of(keys, key)
            if keys[at] == _FREE:
                keys[at] = key
                taken += 1
            if owners[at] == 0:
                owners[at] = rows[k]
            elif owners[at] != rows[k]:
                lost_to[k] = owners[at]
                break
    return taken


@compiled
def release(keys: Any, owners: Any, bands: Any, starts: Any, rows: Any) -> None:
    """Row k gives back those of its bands[starts[k]:starts[k + 1]] that it has."""
    for k in range(rows.shape[0]):
        for i in range(starts[k], starts[k + 1]):
            at = slot_of(keys, max(bands[i], _ONE))
            if owners[at] == rows[k]:
                owners[at] = 0


@compiled
def settle(keys: Any, owners: Any, bands: Any, starts: Any, taken: Any, rows: Any, lost_to: Any, lost_at: Any) -> None:
    """Rows of one table, one after the other: a row none of whose bands is had by another has all of them from then on.

    `taken`: bands that rows outside the table have. A row that goes, goes by the first band that another has:
    lost_at[k] becomes its place where it is taken, lost_to[k] the number of the row of the table that has it.
    """
    for k in range(rows.shape[0]):
        free = True
        for i in range(starts[k], starts[k + 1]):
            owner = owners[slot_of(keys, max(bands[i], _ONE))]
            if taken[i] or (owner != 0 and owner != rows[k]):
                free = False
                if taken[i]:
                    lost_at[k] = i
                else:
                    lost_to[k] = owner
                break
        if free:
            for i in range(starts[k], starts[k + 1]):
                key = max(bands[i], _ONE)
                at = slot_of(keys, key)
                keys[at], owners[at] = key, rows[k]


@compiled
def refill(keys: Any, owners: Any, new_keys: Any, new_owners: Any) -> None:
    """Put what is in one table into a larger one."""
    for i in range(keys.shape[0]):
        if keys[i] != _FREE:
            at = slot_of(new_keys, keys[i])
            new_keys[at], new_owners[at] = keys[i], owners[i]
