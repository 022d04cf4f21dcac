"""What is made of an answer before it stands for a text: markdown, prefix, opening remarks and quotation marks go.

In the order of NeMo Curator's recipe for Nemotron-CC (methods 3.2): strip markdown, require and strip the prefix,
remove enclosing quotation marks. Opening remarks go as WRAP has it (methods 3.1), whose rules nobody has published.
"""

import random
import re

from stages.guards.prefix import without_prefix
from stages.rephrase.styles import Form

MARKDOWN = (
    (re.compile(r"^[ \t]*(?:```.*|([-*_])(?:[ \t]*\1){2,}[ \t]*)(?:\n|\Z)", re.MULTILINE), ""),  # fences, rules
    (re.compile(r"^[ \t]{0,3}(?:#{1,6}[ \t]+|>[ \t]?)", re.MULTILINE), ""),
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)"), r"\1"),
    (re.compile(r"(\*\*\*|\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)"), r"\1"),
    (re.compile(r"`([^`\n]+)`"), r"\1"),
)
THINGS = "paraphras|re-?writ|rephras|simplif|revis|version|text|passage|conversation|list|table|summar|problem|tutorial"
OPENING = (
    # A line of its own: "Sure! Here is the text in simpler words:"
    re.compile(
        r"^(?:sure|certainly|of course|okay|ok|absolutely|here(?:[\u2019']s| is| are)|below (?:is|are)|the following|"
        r"i have|i[\u2019']ve)\b[^\n]{0,200}[:!.][ \t]*\n+",
        re.IGNORECASE,
    ),
    # Before the text on its line: "Here is a paraphrase of the passage: The mill ..."
    re.compile(
        rf"^(?:(?:sure|certainly|of course|okay|absolutely)\b[^\n:.!]{{0,40}}[.!,:][ \t]*)?"
        rf"(?:here(?:[\u2019']s| is| are)|below (?:is|are))\b[^\n:]{{0,80}}\b(?:{THINGS})[^\n:]{{0,80}}:[ \t]*(?=\S)",
        re.IGNORECASE,
    ),
)
QUOTES = ('""', "''", "\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb", "\u2018\u2019", "\u300c\u300d")
PASSAGE = re.compile(r"^[ \t]*Passage(?:[ \t]+\d+)?:[ \t]*\n?", re.MULTILINE)
BULLET = re.compile(r"^[ \t]*[-*\u2022][ \t]+")
QUESTION = "Question:"
PAIRS_A_SEGMENT, TOKENS_A_PAIR = 10, 150  # NeMo Curator: int(10 * tokens / 150) at most


def made_of(answer: str, form: Form, prefix: str) -> str | None:
    """The text that `answer` gives; None where it lacks the prefix."""
    text = answer if form == "markdown" else strip_markdown(answer)
    bare = without_prefix(text, prefix)
    if bare is None:
        return None
    bare = bare if prefix else strip_opening(bare)
    bare = strip_quotes(bare)
    if form == "passages":
        return PASSAGE.sub("", bare).strip()
    if form == "list":
        return listed(bare)
    return "\n\n".join(pairs_of(bare)) if form == "pairs" else bare


def strip_markdown(text: str) -> str:
    """The text without Markdown's marks: headings, emphasis, code, links, rules. Lists keep theirs."""
    for pattern, replacement in MARKDOWN:
        text = pattern.sub(replacement, text)
    return text


def strip_opening(text: str) -> str:
    """The text without what a model says before it begins; what would leave nothing stays."""
    for pattern in OPENING:
        rest = pattern.sub("", text, count=1).lstrip()
        text = rest or text
    return text


def strip_quotes(text: str) -> str:
    """The text without quotation marks around all of it."""
    text = text.strip()
    for quotes in QUOTES:
        first, last, inside = quotes[0], quotes[1], text[1:-1]
        if len(text) > 1 and text[0] == first and text[-1] == last and first not in inside and last not in inside:
            return inside.strip()
    return text


def listed(text: str) -> str:
    """The entries of a list, one a line, without bullets; what stands before the first goes, if there is one."""
    lines = [line for line in text.split("\n") if line.strip()]
    first = next((number for number, line in enumerate(lines) if BULLET.match(line)), 0)
    return "\n".join(BULLET.sub("", line).strip() for line in lines[first:])


def pairs_of(text: str) -> list[str]:
    """Questions with what follows each, up to the next; what stands before the first goes, as do those not answered."""
    pairs: list[list[str]] = []
    for line in text.split("\n"):
        bare = BULLET.sub("", line).strip()
        if bare.startswith(QUESTION):
            pairs.append([bare])
        elif bare and pairs:
            pairs[-1].append(bare)
    return ["\n".join(lines) for lines in pairs if len(lines) > 1]


def chosen(pairs: list[str], tokens: int, seed: int) -> list[str]:
    """Of a segment's pairs, shuffled, a number between 1 and max(1, int(10 * tokens / 150)) (methods 3.2)."""
    draw = random.Random(seed)
    shuffled = draw.sample(pairs, len(pairs))
    return shuffled[: draw.randint(1, max(1, PAIRS_A_SEGMENT * tokens // TOKENS_A_PAIR))]
