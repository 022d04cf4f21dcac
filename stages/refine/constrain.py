"""The grammar that an engine holds a model to: programs over the lines of one chunk, and no longer than fits.

EBNF as xgrammar and vLLM read it (GBNF). Every repeat is bounded, or an answer would be cut in the middle of a call;
numbers are those of the chunk. That a range ends behind its start no grammar can say: the parser sees to that. Strings
would take the whole answer of a weak model, so a constrained program only removes lines. A number may be written as it
stands in front of the line, with three digits.
"""

from stages.refine.program import KEEP

KEEPS = " | ".join(f'"{name}()"' for name in sorted(KEEP) if "_" in name)
CALL = "\nremove_lines(line_start={0}, line_end={0})"  # the longest call, to count tokens by


def grammar(first: int, last: int, max_tokens: int, call_tokens: int) -> str:
    """EBNF for programs over the lines from `first` to `last`.

    `call_tokens` is what `CALL` with the number `last` takes; one token of `max_tokens` is left for the end.
    """
    further = (max_tokens - 1) // max(call_tokens, 1) - 1
    repeat = f' ("\\n" call){{0,{further}}}' if further > 0 else ""  # {0,0} is no EBNF
    return "\n".join(
        (
            f'root ::= {KEEPS} | "remove_lines(all=True)" | call{repeat}',
            'call ::= "remove_lines(" (range | linerange) ")"',
            'range ::= "start=" number ", end=" number',
            'linerange ::= "line_start=" number ", line_end=" number',
            "number ::= " + " | ".join([*numbers(first, last), *_padded(first, last)]),
        )
    )


def _padded(first: int, last: int) -> list[str]:
    """The numbers of less than three digits as they stand in front of lines: 007, 012."""
    ones, tens = numbers(first, min(last, 9)), numbers(max(first, 10), min(last, 99))
    return [f'"00" {number}' for number in ones] + [f'"0" {number}' for number in tens]


def numbers(first: int, last: int) -> list[str]:
    """The whole numbers from `first` to `last` as alternatives of digits and ranges of digits."""
    found = []
    start = first
    while start <= last:
        # The widest block of ten to some power that begins at `start`, ends by `last` and has one number of digits.
        size = 1
        while start % (size * 10) == 0 and start + size * 10 - 1 <= last and (start or size * 10 == 1):
            size *= 10
        digit = start // size % 10
        most = min(9, digit + (last - start + 1) // size - 1)
        head = str(start // size)[:-1]
        tail = "[0-9]" * (len(str(size)) - 1)
        found.append(" ".join(part for part in (f'"{head}"' if head else "", f"[{digit}-{most}]", tail) if part))
        start += (most - digit + 1) * size
    return found
