"""`headrace scaling`: measured accuracies to the law of their growth, and what more synthetic tokens are worth.

The points are a CSV file with the columns `tokens` (millions) and `accuracy`, or any fsspec address of one.
"""

import csv
import io
from typing import Any

from cluster.errors import ConfigError
from cluster.storage import open_input
from stages.synthesize.scaling import Law, fit, without_each

FACTORS = (1.25, 1.5, 2.0, 4.0, 10.0)  # of the most tokens measured: what so many would give


def scaling(points: str, terms: int, target: float | None) -> dict[str, Any]:
    """The law that fits the points, what it misses them by, and what it says of more tokens."""
    measured = read_points(points)
    try:
        law, others = fit(measured, terms), without_each(measured, terms)
    except ValueError as error:
        raise ConfigError(f"{points}: {error}") from error
    most = max(tokens for tokens, _ in measured)
    return {
        "points": len(measured),
        "law": {"ceiling": law.ceiling, "weights": law.weights, "rates": law.rates},
        "error": law.error,
        "more": [_promise(law, others, most, most * factor) for factor in FACTORS],
        "target": target,
        "tokens_for_target": None if target is None else law.tokens_for(target),
    }


def _promise(law: Law, others: list[Law], most: float, tokens: float) -> dict[str, Any]:
    """What `tokens` would give instead of `most`, and the range of what the laws without any one point say."""
    accuracies = [other.accuracy(tokens) for other in others]
    return {
        "tokens": tokens,
        "accuracy": law.accuracy(tokens),
        "gain": law.gain(most, tokens - most),
        "range": [min(accuracies), max(accuracies)] if accuracies else None,
    }


def read_points(url: str) -> list[tuple[float, float]]:
    """(million tokens, accuracy) of each line; `ConfigError` names every line that is wrong."""
    try:
        with open_input(url) as file:
            rows = list(csv.DictReader(io.StringIO(file.read().decode("utf-8-sig"))))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{url}: cannot be read: {error}") from error
    points, faults = [], []
    for number, row in enumerate(rows, start=2):
        try:
            points.append((float(row["tokens"]), float(row["accuracy"])))
        except (KeyError, TypeError, ValueError):
            faults.append(f"{url}, line {number}: expected numbers in columns tokens and accuracy, found {dict(row)}")
    if faults or not points:
        raise ConfigError("\n".join(faults or [f"{url}: no points: expected a CSV with columns tokens and accuracy"]))
    return points


def _range(found: list[float] | None) -> str:
    return "too few points" if found is None else f"{found[0]:.4g} to {found[1]:.4g}"


def as_text(found: dict[str, Any]) -> str:
    """The law and its promises for a person."""
    law = found["law"]
    terms = "".join(f" - {w:.4g} * {r:.6g}^x" for w, r in zip(law["weights"], law["rates"], strict=True))
    lines = [
        f"acc(x) = {law['ceiling']:.4g}{terms}, x in million tokens",
        f"misses the {found['points']} points by {found['error']:.3g} (root mean square)",
        f"{'million tokens':>16}{'accuracy':>10}{'gain':>8}   range",
        *(
            f"{m['tokens']:>16,.4g}{m['accuracy']:>10.4g}{m['gain']:>8.3g}   {_range(m['range'])}"
            for m in found["more"]
        ),
        "range: what the law says without any one of the points; where it is wide, measure more before you buy",
    ]
    if found["target"] is not None:
        tokens = found["tokens_for_target"]
        reach = "no number of tokens" if tokens is None else f"{tokens:,.4g} million tokens"
        lines.append(f"{found['target']:g} takes {reach}")
    return "\n".join(lines)
