"""What the template engine says of a web page: the program that removes boilerplate, whether it is worth keeping."""

import re
from functools import cache

from stages.models.template.source import WORD, words

LINE = re.compile(r"^\[(\d{3,})\](.*)$", re.MULTILINE)
ADDRESS = re.compile(r"^\W*(?:https?://|www\.)\S+\W*$")
NOTICE = re.compile("[\u00a9\u00ae]|all rights reserved", re.IGNORECASE)
SHORT, SIGNS = 8, 0.5  # words of a line that may be noise; share of them that say so
KEEP = "keep_all()"
LEAST_LETTERS, LEAST_WORDS = 0.5, 5  # of a document that is kept: share of its characters, and how many


def program(chunk: str) -> str:
    """Calls that remove runs of lines, or that nothing is to be removed."""
    runs: list[list[int]] = []
    for number, line in LINE.findall(chunk):
        if is_noise(line):
            if runs and runs[-1][1] == int(number) - 1:
                runs[-1][1] = int(number)
            else:
                runs.append([int(number)] * 2)
    return "\n".join(f"remove_lines(start={start}, end={end})" for start, end in runs) or KEEP


def is_noise(line: str) -> bool:
    """An address, a notice of rights, or a few words most of which menus and forms have."""
    if not line.strip():
        return False
    if ADDRESS.match(line) or NOTICE.search(line):
        return True
    found = [match[0].lower() for match in WORD.finditer(line)]
    return 0 < len(found) <= SHORT and sum(word in _signs() for word in found) >= SIGNS * len(found)


def verdict(text: str) -> str:
    """Whether a document is worth keeping: it has words, and they are most of it."""
    letters = sum(map(str.isalpha, text)) / max(len("".join(text.split())), 1)
    kept = letters >= LEAST_LETTERS and len(WORD.findall(text)) >= LEAST_WORDS
    return "keep_doc()" if kept else "drop_doc()"


@cache
def _signs() -> frozenset[str]:
    return frozenset(words()["noise"].split())
