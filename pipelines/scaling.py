"""`headrace scaling`: measured accuracies to the law of their growth, and what more synthetic tokens are worth.

The points are a CSV file with the columns `tokens` (millions) and `accuracy`, or any fsspec address of one.
"""

import csv
import io
from typing import Any

from cluster.errors import ConfigError
from cluster.storage import open_input
from stages.synthesize.scaling import fit

FACTORS = (1.25, 1.5, 2.0, 4.0, 10.0)  # of the most tokens measured: what so many would give


def scaling(points: str, terms: int, target: float | None) -> dict[str, Any]:
    """The law that fits the points, what it misses them by, and what it says of more tokens."""
    measured = read_points(points)
    try:
        law = fit(measured, terms)
    except ValueError as error:
        raise ConfigError(f"{points}: {error}") from error
    most = max(tokens for tokens, _ in measured)
    return {
        "points": len(measured),
        "law": {"ceiling": law.ceiling, "weights": law.weights, "rates": law.rates},
        "error": law.error,
        "more": [
            {
                "tokens": most * factor,
                "accuracy": law.accuracy(most * factor),
                "gain": law.gain(most, most * (factor - 1)),
            }
            for factor in FACTORS
        ],
        "target": target,
        "tokens_for_target": None if target is None else law.tokens_for(target),
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


def as_text(found: dict[str, Any]) -> str:
    """The law and its promises for a person."""
    law = found["law"]
    terms = "".join(f" - {w:.4g} * {r:.6g}^x" for w, r in zip(law["weights"], law["rates"], strict=True))
    lines = [
        f"acc(x) = {law['ceiling']:.4g}{terms}, x in million tokens",
        f"misses the {found['points']} points by {found['error']:.3g} (root mean square)",
        f"{'million tokens':>16}{'accuracy':>10}{'gain':>8}",
        *(f"{m['tokens']:>16,.4g}{m['accuracy']:>10.2f}{m['gain']:>8.2f}" for m in found["more"]),
    ]
    if found["target"] is not None:
        tokens = found["tokens_for_target"]
        reach = "no number of tokens" if tokens is None else f"{tokens:,.4g} million tokens"
        lines.append(f"{found['target']:g} takes {reach}")
    return "\n".join(lines)
