"""fastText's training of a classifier: stochastic gradient descent with softmax over all labels, one text at a time.

The update of fastText 0.9.2 (model.cc, loss.cc) in single precision and in one thread, so that a model is the same
whenever it is trained.
"""

import math
from typing import Any

import numpy as np

from stages.kernels import compiled

_LEAST = 1e-30  # probability whose logarithm is still taken


@compiled
def _mean(tokens: Any, rows: Any, hidden: Any) -> None:
    """Fill `hidden` with the mean of the rows of `tokens`."""
    hidden[:] = np.float32(0)
    for token in tokens:
        for k in range(hidden.shape[0]):
            hidden[k] += rows[token, k]
    factor = np.float32(1.0 / tokens.shape[0])
    for k in range(hidden.shape[0]):
        hidden[k] *= factor


@compiled
def _softmax(hidden: Any, outputs: Any, shares: Any) -> None:
    """Fill `shares` with the probability of each label."""
    highest = np.float32(-np.inf)
    for label in range(outputs.shape[0]):
        dot = np.float32(0)
        for k in range(hidden.shape[0]):
            dot += outputs[label, k] * hidden[k]
        shares[label] = dot
        highest = max(highest, dot)
    total = np.float32(0)
    for label in range(outputs.shape[0]):
        shares[label] = np.float32(math.exp(shares[label] - highest))
        total += shares[label]
    for label in range(outputs.shape[0]):
        shares[label] /= total


@compiled
def _learn(target: Any, rate: Any, hidden: Any, shares: Any, outputs: Any, gradient: Any) -> None:
    """Move the labels' rows towards `target`; fill `gradient` with where the text's mean should go."""
    gradient[:] = np.float32(0)
    for label in range(outputs.shape[0]):
        right = np.float32(1) if label == target else np.float32(0)
        step = rate * (right - shares[label])
        for k in range(hidden.shape[0]):
            gradient[k] += step * outputs[label, k]
            outputs[label, k] += step * hidden[k]


@compiled
def train_all(tokens: Any, ends: Any, order: Any, targets: Any, rows: Any, outputs: Any, epochs: Any, rate: Any) -> Any:
    """Change `rows` and `outputs` by every text, in `order`, `epochs` times; return the mean loss of the last epoch.

    Text i is tokens[ends[i - 1]:ends[i]], numbers of rows; the rate falls to nothing over all tokens, as fastText's.
    """
    hidden, gradient = np.zeros(rows.shape[1], np.float32), np.zeros(rows.shape[1], np.float32)
    shares = np.zeros(outputs.shape[0], np.float32)
    done, total, loss = 0.0, float(tokens.shape[0]) * epochs, 0.0
    for _ in range(epochs):
        loss = 0.0
        for i in order:
            mine = tokens[ends[i - 1] if i > 0 else 0 : ends[i]]
            if mine.shape[0] == 0:
                continue
            _mean(mine, rows, hidden)
            _softmax(hidden, outputs, shares)
            loss -= math.log(max(shares[targets[i]], _LEAST))
            _learn(targets[i], np.float32(rate * (1.0 - done / total)), hidden, shares, outputs, gradient)
            factor = np.float32(1.0 / mine.shape[0])
            for token in mine:
                for k in range(gradient.shape[0]):
                    rows[token, k] += gradient[k] * factor
            done += mine.shape[0]
    return loss / max(order.shape[0], 1)
