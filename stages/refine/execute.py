"""A program carried out on its text: what is left, and whether that counts (methods 1.6).

The last word, in this order; w counts words between white space, the names are those of the original:

    w(new) / w(old) <= 1 - threshold_2 and errors < error_op     dropped_ratio
    w(new) <= min_words                                          dropped_short, even when the program is broken
    w(new) / w(old) >= threshold_1 and errors < error_op         refined; untouched if nothing changed
    else                                                         abandoned: the text stays as it was
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from stages.guards.addresses import novel_addresses
from stages.guards.numbers import novel_numbers
from stages.refine.program import Drop, Fault, Normalize, Operation, Program, RemoveAll, RemoveLines, join

Decision = Literal["refined", "untouched", "dropped_ratio", "dropped_short", "abandoned", "skipped"]
DROPS = ("dropped_ratio", "dropped_short")
ROOM = 10_000  # code points that any text may grow by under the original's rules, which have no bound


@dataclass(frozen=True)
class Thresholds:
    """The numbers of ProX's executor. `min_words` is the 10 that has no name there: a rule taken from FineWeb."""

    threshold_1: float = 0.0
    threshold_2: float = 0.95
    error_op: int = 2
    min_words: int = 10


@dataclass(frozen=True)
class Guards:
    """What a replacement must not do, however well it is written. The original has none of these.

    `max_growth`: the text may become so many times as long. `facts`: numbers and addresses in a target that its source
    does not have are refused, since a refiner cleans and does not write; so is a source of one blank, which would
    change every one there is.
    """

    max_growth: float = 1.05
    room: int = 0
    facts: bool = True


STRICT = Guards()
COMPAT = Guards(10.0, ROOM, False)  # only so much that a doubling repeated 60 times does not take the machine


class Executed(NamedTuple):
    """`text` is "" for a document that is dropped. `applied`: what changed it, as a program that can be run again."""

    text: str
    decision: Decision
    errors: tuple[Fault, ...]
    applied: tuple[Operation, ...] = ()


def execute(
    text: str, program: Program, thresholds: Thresholds | None = None, guards: Guards | None = None
) -> Executed:
    """Carry `program` out on the un-numbered `text`; never raises.

    `guards` None: those for the reading that the program comes from. A text without words is dropped: there is no
    ratio to speak of (the original divides by zero).
    """
    limits = thresholds or Thresholds()
    lines = text.split("\n")
    ranges = _merged([op for op in program.ops if isinstance(op, RemoveLines)])
    errors = [*program.errors, *(Fault("beyond_text", str(r)) for r in ranges if max(r) >= len(lines))]
    removed = _existing(program.ops, len(lines))
    replacements = [op for op in program.ops if isinstance(op, Normalize)]
    left, used, refused = _replace(
        without(lines, removed), replacements, guards or (COMPAT if program.compat else STRICT), len(text)
    )
    errors += refused
    n_old, sound = len(text.split()), len(errors) < limits.error_op
    n_new = n_old if left == text else len(left.split())
    ratio = n_new / n_old if n_old else 0.0
    if n_old and ratio <= (1 - limits.threshold_2) and sound:
        return Executed("", "dropped_ratio", tuple(errors))
    if n_new <= limits.min_words:
        return Executed("", "dropped_short", tuple(errors))
    if ratio >= limits.threshold_1 and sound:
        if left == text:
            return Executed(text, "untouched", tuple(errors))
        return Executed(left, "refined", tuple(errors), (*removed, *used))
    return Executed(text, "abandoned", tuple(errors))


def execute_each(
    text: str, programs: Sequence[Program], thresholds: Thresholds | None = None, guards: Guards | None = None
) -> Executed:
    """Carry out programs about several chunks of one text, all at once.

    `error_op` is meant for the program of a document, which in ProX's data has a chunk or two. So a program with so
    many faults of its own is left out, and its chunk stays as it was, but it does not spoil those of a hundred others.
    """
    limits = thresholds or Thresholds()
    sound = [program for program in programs if len(program.errors) < limits.error_op]
    if len(programs) <= 1 or not sound:
        return execute(text, join(list(programs)), limits, guards)
    result = execute(text, join(sound), replace(limits, error_op=limits.error_op * len(sound)), guards)
    left_out = [fault for program in programs if len(program.errors) >= limits.error_op for fault in program.errors]
    return result._replace(errors=(*result.errors, *left_out))


def rerun(text: str, ops: Sequence[Operation]) -> str:
    """`text` after operations that were applied to it once: no threshold, no guard, no doubt."""
    left = without(text.split("\n"), [op for op in ops if isinstance(op, RemoveLines)])
    for op in ops:
        if isinstance(op, Normalize):
            left = left.replace(op.source, op.target)
    return left


def without(lines: list[str], removed: Sequence[RemoveLines]) -> str:
    """The lines that are in none of the ranges, which are in order and do not overlap."""
    kept, at = [], 0
    for start, end in removed:
        kept += lines[at:start]
        at = end + 1
    return "\n".join([*kept, *lines[at:]]) if removed else "\n".join(lines)


def _merged(ranges: list[RemoveLines]) -> list[RemoveLines]:
    """Ranges that touch as one, by the original's rule: it counts those that go beyond the text after merging."""
    merged: list[RemoveLines] = []
    for op in sorted(ranges, key=lambda op: op.start):
        if merged and op.start <= merged[-1].end + 1:
            merged[-1] = RemoveLines(merged[-1].start, max(merged[-1].end, op.end))
        else:
            merged.append(op)
    return merged


def _existing(ops: Sequence[Operation], n_lines: int) -> list[RemoveLines]:
    """The lines to remove that there are, as ranges in order that neither touch nor overlap."""
    if any(isinstance(op, RemoveAll | Drop) for op in ops):
        return [RemoveLines(0, n_lines - 1)]
    clipped = [RemoveLines(max(op.start, 0), min(op.end, n_lines - 1)) for op in ops if isinstance(op, RemoveLines)]
    return _merged([op for op in clipped if op.start <= op.end])


def _replace(
    text: str, replacements: list[Normalize], guards: Guards, n_before: int
) -> tuple[str, list[Normalize], list[Fault]]:
    """`text` after the replacements that the guards let through, those that changed it, and the refused ones.

    It comes after the removal of lines, the original's before: the same, since a source is within a line there.
    """
    used, refused = [], []
    most = n_before * guards.max_growth + guards.room
    for op in replacements:
        more = len(op.target) - len(op.source)
        if guards.facts and (reason := _unfit(op)):
            refused.append(Fault(reason, str(op)))
        elif more > 0 and len(text) + more * text.count(op.source) > most:
            refused.append(Fault("grows", str(op)))
        elif op.source in text:
            text = text.replace(op.source, op.target)
            used.append(op)
    return text, used, refused


def _unfit(op: Normalize) -> str | None:
    """Why a replacement should not be carried out, whatever the text."""
    if len(op.source) == 1 and op.source.isspace():
        return "blank_source"
    if not op.target:
        return None
    if novel_addresses(op.source, op.target):
        return "new_address"
    return "new_number" if novel_numbers(op.source, op.target) else None
