"""A group of texts and their pairs as one text: the modes of Instruction Pre-Training's templates (methods 6.4).

`classic`: the text, then questions with answers. `dialog`: the text, then two people. `numbered_questions`: the text,
all questions, all answers. `inline_fs`: the text, solved examples, and one more. `next_turn_dialog`: the text, a talk,
and how it goes on. The last three need two pairs on each text. In the first two the pairs may come before the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stages.synthesize.instruction_form import Exercise
from stages.synthesize.instruction_patterns import load_patterns, mark, unanswerable
from stages.synthesize.lots import Lot

# The weights of the original, for groups with one pair on some text, and with two at least on each.
FEW = {"classic": 95.0, "dialog": 5.0}
MANY = {"classic": 80.0, "dialog": 5.0, "numbered_questions": 5.0, "inline_fs": 5.0, "next_turn_dialog": 5.0}
INVERTED = {"yes": 5.0, "no": 95.0}
HALF = {"yes": 50.0, "no": 50.0}

Fields = dict[str, str]


class Entry(NamedTuple):
    """A text and its pairs, one at least."""

    text: str
    exercises: tuple[Exercise, ...]


@dataclass(frozen=True)
class Drawn:
    """What a group has in common: drawn once, so that its texts look alike."""

    lot: Lot
    mode: str
    inverted: bool
    plain: dict[str, str]
    reasoned: dict[str, str]

    def pick(self, *path: str) -> Any:
        """One of the patterns of that name."""
        patterns: Any = load_patterns()
        for name in path:
            patterns = patterns[name]
        return self.lot.pick(".".join(path), patterns)


def write_group(entries: Sequence[Entry], lot: Lot) -> str:
    """The texts with their pairs one after the other, M-shot, in patterns that `lot` draws."""
    drawn = draw_patterns(entries, lot)
    written = [_write(entry, number, drawn) for number, entry in enumerate(entries)]
    between: str = lot.pick("between texts", load_patterns()["plain"])["between"]
    return between.join(written)


def draw_patterns(entries: Sequence[Entry], lot: Lot) -> Drawn:
    """The mode and the patterns of a group."""
    patterns = load_patterns()
    many = min(len(entry.exercises) for entry in entries) > 1
    return Drawn(
        lot,
        lot.weighted("mode", MANY if many else FEW),
        lot.weighted("inverted", INVERTED) == "yes",
        lot.pick("plain", patterns["plain"]),
        lot.pick("reasoned", patterns["reasoned"]),
    )


def _write(entry: Entry, place: int, drawn: Drawn) -> str:
    """One text with its pairs."""
    exercises = [_fields(e, f"{place}.{n}", drawn) for n, e in enumerate(entry.exercises)]
    write = {
        "classic": _classic,
        "dialog": _dialog,
        "numbered_questions": _numbered,
        "inline_fs": _inline,
        "next_turn_dialog": _next_turn,
    }[drawn.mode]
    return write(entry.text, exercises, drawn)


def _fields(exercise: Exercise, place: str, drawn: Drawn) -> Fields:
    """What fills a pattern: the question with its choices in another order, the answer as they name it."""
    question, answer = exercise.question, exercise.answer
    patterns, lot = load_patterns(), drawn.lot
    if exercise.options:
        head, name, end = (drawn.pick("options", part) for part in ("heads", "marks", "ends"))
        options = lot.shuffled(f"options {place}", exercise.options)
        if answer not in options:
            answer = lot.pick(f"nothing fits {place}", patterns["nothing_fits"])
            options += [answer] * (lot.weighted(f"listed {place}", HALF) == "yes")
        marks = [mark(name, n) for n in range(1, len(options) + 1)]
        question += head + "".join(f"{m}{option}{end}" for m, option in zip(marks, options, strict=True))
        if answer in options and len(set(marks)) == len(marks):
            answer = marks[options.index(answer)].strip()
    elif unanswerable(answer):
        answer = lot.pick(f"unanswerable {place}", patterns["unanswerable"])
    return {"question": question, "answer": answer, "reasoning": exercise.reasoning}


def _pattern(fields: Fields, drawn: Drawn) -> dict[str, str]:
    return drawn.reasoned if fields["reasoning"] else drawn.plain


def _classic(text: str, exercises: list[Fields], drawn: Drawn) -> str:
    patterns = [_pattern(fields, drawn) for fields in exercises]
    pairs = [
        p["ask"].format(**fields) + p["joint"] + p["reply"].format(**fields)
        for p, fields in zip(patterns, exercises, strict=True)
    ]
    between = patterns[-1]["between"]
    joined = between.join(pairs)
    if drawn.inverted:
        return _inverted(text, joined, drawn)
    read = drawn.pick("read") if drawn.lot.weighted("read at all", HALF) == "yes" else "{text}"
    ask = drawn.pick("gaps") + drawn.pick("ask") if drawn.lot.weighted("ask at all", HALF) == "yes" else ""
    return str(read.format(text=text) + ask + between + joined)


def _dialog(text: str, exercises: list[Fields], drawn: Drawn) -> str:
    turns = drawn.pick("dialog", "between").join(_turns(exercises, drawn))
    if drawn.inverted:
        return _inverted(text, turns.strip("\n"), drawn)
    return str(text + drawn.pick("dialog", "gaps") + drawn.pick("dialog", "heads") + turns)


def _inverted(text: str, pairs: str, drawn: Drawn) -> str:
    before, after = drawn.pick("inverted", "pairs"), drawn.pick("inverted", "text")
    return str(before.format(pairs=pairs) + drawn.pick("gaps") + after.format(text=text))


def _turns(exercises: list[Fields], drawn: Drawn) -> list[str]:
    """Each pair as what one says and the other."""
    one, other = drawn.pick("dialog", "turns")
    patterns = [_pattern(fields, drawn) if fields["reasoning"] else {"reply": "{answer}"} for fields in exercises]
    return [
        one + fields["question"] + other + p["reply"].format(**fields)
        for p, fields in zip(patterns, exercises, strict=True)
    ]


def _next_turn(text: str, exercises: list[Fields], drawn: Drawn) -> str:
    *before, last = _turns(exercises, drawn)
    between = drawn.pick("dialog", "between")
    return str(drawn.pick("next_turn").format(text=text, turns=between.join(before), next=last))


def _numbered(text: str, exercises: list[Fields], drawn: Drawn) -> str:
    sign = drawn.pick("numbered", "marks")
    marks = [mark(sign, n) for n in range(1, len(exercises) + 1)]
    replies = [_pattern(fields, drawn)["reply"] if fields["reasoning"] else "{answer}" for fields in exercises]
    questions = "".join(m + fields["question"] for m, fields in zip(marks, exercises, strict=True))
    answers = "".join(m + r.format(**fields) for m, r, fields in zip(marks, replies, exercises, strict=True))
    return str(drawn.pick("numbered", "forms").format(text=text, questions=questions, answers=answers))


def _inline(text: str, exercises: list[Fields], drawn: Drawn) -> str:
    reasoned = all(fields["reasoning"] for fields in exercises)
    pattern = drawn.pick("inline_reasoned" if reasoned else "inline")
    *examples, last = exercises
    solved = "".join(pattern["example"].format(**fields) for fields in examples)
    return str(pattern["head"].format(text=text) + solved + pattern["last"].format(**last))
