"""Programs: what a refining model writes about a text, read into operations and faults (methods 1.5, 1.6).

    remove_lines(start=0, end=3)          remove_lines(line_start=0, line_end=3)          remove_lines(all=True)
    normalize(source_str="...", target_str="...")          normalize(source_str="...") deletes the string
    untouch_doc()  keep_chunk()  keep_all()  keep_doc()  drop_doc()

Line numbers count from 0; both ends are removed. Two readings: `compat` is ProX's own, with its oddities, for the
models that were released with it; the other one reads arguments properly (quotes of both kinds, escapes, commas and
brackets inside strings, arguments by position) and takes nothing for an operation that is not wholly one.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

KEEP = frozenset({"keep", "keep_all", "keep_chunk", "keep_doc", "untouch", "untouch_chunk", "untouch_doc"})
DROP = frozenset({"drop", "drop_all", "drop_chunk", "drop_doc"})
STARTS, ENDS = frozenset({"start", "line_start"}), frozenset({"end", "line_end"})
SOURCE, TARGET = "source_str", "target_str"

FENCE = "```"
THOUGHT = "</think>"  # what a reasoning model writes before this is no program
BULLET = re.compile(r"^(?:[-*>]|[0-9]{1,3}[.)])\s+")
BARE = re.compile(r"[a-z_]+")
CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
CLOSING = re.compile(r"\s*\)")
ARGUMENT = re.compile(
    r"""\s*(?:([A-Za-z_]\w*)\s*=\s*)?
        (?:("(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')|([0-9]{1,18})(?![0-9])|(True|False|true|false))\s*""",
    re.VERBOSE,
)
# What is left of a line whose call has no end: nothing, a name, or a string that goes on.
OPEN = re.compile(r"""\s*(?:[A-Za-z_]\w*\s*=?\s*)?(?:"(?:[^"\\]|\\.)*+\\?|'(?:[^'\\]|\\.)*+\\?)?""")
BETWEEN = ";, \t"
ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}


class RemoveLines(NamedTuple):
    """The lines from `start` to `end`, both of them too. An `end` before the `start` removes nothing (compat only)."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"remove_lines(start={self.start}, end={self.end})"


class RemoveAll(NamedTuple):
    """Every line of the document, or of what the model was shown."""

    def __str__(self) -> str:
        return "remove_lines(all=True)"


class Normalize(NamedTuple):
    """`target` wherever `source` is."""

    source: str
    target: str

    def __str__(self) -> str:
        source, target = (json.dumps(text, ensure_ascii=False) for text in self)
        return f"normalize(source_str={source}, target_str={target})"


class Keep(NamedTuple):
    """Nothing is to be done."""

    def __str__(self) -> str:
        return "keep_all()"


class Drop(NamedTuple):
    """The document is to go (document stage)."""

    def __str__(self) -> str:
        return "drop_doc()"


Operation = RemoveLines | RemoveAll | Normalize | Keep | Drop


class Fault(NamedTuple):
    """Something in a program that could not be carried out: why, and the call as it was written."""

    reason: str
    call: str


@dataclass(frozen=True)
class Program:
    """The operations of a program, in order, and what was wrong with the rest of it."""

    ops: tuple[Operation, ...] = ()
    errors: tuple[Fault, ...] = ()
    compat: bool = False

    @property
    def acts(self) -> bool:
        """Whether it asks for any change."""
        return any(not isinstance(op, Keep) for op in self.ops)

    def __str__(self) -> str:
        return "\n".join(map(str, self.ops))


def parse_program(text: str, compat: bool = False, within: tuple[int, int] | None = None) -> Program:
    """The program in a model's output `text`; never raises.

    `within`: the first and the last line that the model was shown. Then (not with `compat`, which knows the document
    alone) lines elsewhere are a fault, and "all" means these.
    """
    found = list(_compat(text) if compat else _strict(text, within))
    return Program(
        tuple(item for item in found if not isinstance(item, Fault)),
        tuple(item for item in found if isinstance(item, Fault)),
        compat,
    )


def join(programs: list[Program]) -> Program:
    """One program that does what all of them do."""
    return Program(
        tuple(op for program in programs for op in program.ops),
        tuple(error for program in programs for error in program.errors),
        any(program.compat for program in programs),
    )


def _compat(text: str) -> Iterator[Operation | Fault]:
    """ProX's own reading: by prefix, brackets, commas and `=`, wherever they stand."""
    for line in text.strip(" ").split("\n"):
        if line.startswith("remove_lines") and "all=True" in line:
            yield RemoveAll()
        elif line.startswith(("remove_lines", "normalize")):
            opening, closing = line.find("("), line.find(")")
            if opening < 0:
                yield Fault("no_bracket", line)
                continue
            if closing < 0:
                yield Fault("unclosed", line)  # and the last character goes, whatever it is: that is what -1 cuts
            parts = line[opening + 1 : closing].split(",")
            yield from _compat_remove(parts, line) if line.startswith("remove") else _compat_normalize(parts, line)


def _compat_remove(parts: list[str], line: str) -> Iterator[Operation | Fault]:
    try:
        yield RemoveLines(int(parts[0].split("=")[1]), int(parts[1].split("=")[1]))
    except (IndexError, ValueError):
        yield Fault("bad_argument", line)


def _compat_normalize(parts: list[str], line: str) -> Iterator[Operation | Fault]:
    if len(parts) > 2:
        return
    try:
        strings = [part.split("=")[1].strip('"') for part in parts]
    except IndexError:
        yield Fault("bad_argument", line)
        return
    if len(parts) == 1 and strings[0]:
        yield Normalize(strings[0], "")
    elif strings[0] not in ("", " "):
        yield Normalize(*strings)


def _strict(text: str, within: tuple[int, int] | None) -> Iterator[Operation | Fault]:
    lines = list(_code(text.rpartition(THOUGHT)[2]))
    for number, line in enumerate(lines):
        for item in _calls(line):
            if isinstance(item, Fault) and item.reason == "unclosed" and number == len(lines) - 1:
                yield Fault("truncated", item.call)
            elif within is None or isinstance(item, Fault | Normalize | Keep):
                yield item
            else:
                yield from _inside(item, *within)


def _code(text: str) -> Iterator[str]:
    """The lines of a program: of what stands between fences, if there are any, without comments and list marks."""
    lines = [line.strip() for line in text.split("\n")]
    fenced = any(line.startswith(FENCE) and "(" not in line for line in lines)
    inside = not fenced
    for line in lines:
        if line.startswith(FENCE) and "(" not in line:
            inside = fenced and not inside
        elif inside:
            bare = BULLET.sub("", line, count=1).strip("`").strip()
            if bare and not bare.startswith("#"):
                yield bare


def _calls(line: str) -> Iterator[Operation | Fault]:
    """The calls of a line, one after the other, up to a comment or to what is none."""
    if BARE.fullmatch(line) and line in KEEP | DROP:
        yield Keep() if line in KEEP else Drop()
        return
    at = 0
    while at < len(line) and line[at] != "#":
        call = CALL.match(line, at)
        if call is None:
            yield Fault("trailing_text" if at else "no_call", line)
            return
        at, arguments = call.end(), []
        while (closing := CLOSING.match(line, at)) is None:
            argument = ARGUMENT.match(line, at)
            at = argument.end() if argument else at
            if argument is None or line[at : at + 1] not in (",", ")"):
                yield Fault("unclosed" if OPEN.fullmatch(line, at) else "bad_argument", line)
                return
            arguments.append(argument)
            at += line[at] == ","
        at = closing.end()
        yield _meaning(call[1], arguments, line)
        while at < len(line) and line[at] in BETWEEN:
            at += 1


def _meaning(name: str, arguments: list[re.Match[str]], line: str) -> Operation | Fault:
    """The operation that a call with well-formed arguments stands for."""
    if name in KEEP or name in DROP:
        return (Keep() if name in KEEP else Drop()) if not arguments else Fault("bad_argument", line)
    if name == "remove_lines":
        return _remove(arguments, line)
    if name == "normalize":
        return _normalize(arguments, line)
    return Fault("unknown_function", line)


def _remove(arguments: list[re.Match[str]], line: str) -> Operation | Fault:
    if len(arguments) == 1 and arguments[0][1] == "all":
        return RemoveAll() if arguments[0][4] in ("True", "true") else Fault("bad_argument", line)
    if len(arguments) != 2:
        return Fault("missing_argument" if len(arguments) < 2 else "too_many_arguments", line)
    numbers = {}
    for position, argument in enumerate(arguments):
        key = argument[1] or ("start", "end")[position]
        end = "start" if key in STARTS else "end" if key in ENDS else ""
        digits = argument[3] or (argument[2] or "")[1:-1]
        if not end or end in numbers or not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            return Fault("bad_argument", line)
        numbers[end] = int(digits)
    if numbers["end"] < numbers["start"]:
        return Fault("end_before_start", line)
    return RemoveLines(numbers["start"], numbers["end"])


def _normalize(arguments: list[re.Match[str]], line: str) -> Operation | Fault:
    if not 1 <= len(arguments) <= 2:
        return Fault("too_many_arguments" if arguments else "missing_argument", line)
    strings: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        key = argument[1] or (SOURCE, TARGET)[position]
        value = None if argument[2] is None else _unquoted(argument[2])
        if key not in (SOURCE, TARGET) or key in strings or value is None:
            return Fault("bad_argument", line)
        strings[key] = value
    if not strings.get(SOURCE):
        return Fault("empty_source", line)
    return Normalize(strings[SOURCE], strings.get(TARGET, ""))


def _unquoted(quoted: str) -> str | None:
    """The string that a quoted one stands for; None for half of a surrogate pair. Other escapes stay as they are."""
    body = quoted[1:-1]
    if "\\" not in body:
        return body
    text = ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else ESCAPES.get(m[2], m[0]), body)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _inside(op: Operation, first: int, last: int) -> Iterator[Operation | Fault]:
    """`op` on the lines from `first` to `last` alone."""
    if not isinstance(op, RemoveLines):
        yield RemoveLines(first, last)
        return
    start, end = max(op.start, first), min(op.end, last)
    if (start, end) != op:
        yield Fault("outside_chunk", str(op))
    if start <= end:
        yield RemoveLines(start, end)
