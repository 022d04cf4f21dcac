"""What the kernels count, in plain Python after datatrove's own code: slow, and plainly right."""

import re
from collections import Counter

from datatrove.utils.text import PUNCTUATION_SET

from stages.kernels.quality import Counts
from stages.kernels.repetition import Repeated, Text


def quality(text: str, words: list[str], stop_words: tuple[str, ...]) -> Counts:
    """The counts of `datatrove.pipeline.filters.gopher_quality_filter`."""
    no_symbols = [w for w in words if any(ch not in PUNCTUATION_SET for ch in w)]
    lines = text.splitlines()
    return Counts(
        words=len(words),
        no_symbols=len(no_symbols),
        chars=sum(map(len, no_symbols)),
        alphabetic=sum(any(c.isalpha() for c in w) for w in words),
        stop_words=len(set(stop_words).intersection(words)),
        hashes=text.count("#"),
        ellipses=text.count("...") + text.count("…"),
        lines=len(lines),
        bullets=sum(s.lstrip().startswith("•") or s.lstrip().startswith("-") for s in lines),
        ends=sum(s.rstrip().endswith("...") or s.rstrip().endswith("…") for s in lines),
    )


def repetition(text: str, words: list[str], top: tuple[int, ...], duplicated: tuple[int, ...]) -> Text:
    """The counts of `datatrove.pipeline.filters.gopher_repetition_filter`."""
    return Text(
        len(text),
        repeated(re.split(r"\n{2,}", text.strip())),
        repeated(re.split(r"\n+", text)),
        [top_n_gram(words, n) for n in top],
        [duplicated_n_grams(words, n) for n in duplicated],
    )


def repeated(elements: list[str]) -> Repeated:
    seen: set[str] = set()
    n_repeated = n_chars = 0
    for element in elements:
        if element in seen:
            n_repeated += 1
            n_chars += len(element)
        seen.add(element)
    return Repeated(len(elements), n_repeated, n_chars)


def top_n_gram(words: list[str], n: int) -> int:
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if not counts:
        return 0
    gram, count = counts.most_common(1)[0]
    return len(" ".join(gram)) * count


def duplicated_n_grams(words: list[str], n: int) -> int:
    seen: set[str] = set()
    n_chars = i = 0
    while i < len(words) - n + 1:
        gram = "".join(words[i : i + n])
        if gram in seen:
            n_chars += len(gram)
            i += n
        else:
            seen.add(gram)
            i += 1
    return n_chars
