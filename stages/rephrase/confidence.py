"""How sure a model is of its own answer, as CLEAR (arXiv 2403.12776) filters by it: c = beta * O + (1 - beta) * S.

O, observed consistency: the mean likeness of the answer to some others, drawn at a high temperature. BSDetector (arXiv
2308.16175), from which CLEAR has it, compares meanings by a model of entailment; here it is the F1 of their words. S,
self-reflection: the model is shown task and answer and says A (right, 1), B (wrong, 0) or C (cannot tell, 1/2); a reply
that says none of them counts as C. Beta and the number of samples are BSDetector's as far as is known: nobody here has
verified them (methods 27).

CLEAR keeps what is above the median of the data set. A stage sees one table at a time, so its limit is a number: take
`median` of the column of a first run.
"""

import dataclasses
import re
import statistics
from collections import Counter
from collections.abc import Sequence

from stages.models.engine import Request, Sampling
from stages.prompts import PromptFile
from stages.text.scripts import UNSPACED

LOW_CONFIDENCE = "low_confidence"
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])\w)+")
REPLY = re.compile(r"^\W*(?:letter|answer)?\W*\(?([ABC])\b", re.IGNORECASE)
WORTH = {"A": 1.0, "B": 0.0, "C": 0.5}
REPLY_TOKENS = 8
TEMPERATURE = 1.0  # of the other answers


def questions(task: Request, text: str, answer: str, reflection: PromptFile, seeds: Sequence[int]) -> list[Request]:
    """What is asked of the model about `answer` to `task`: the task again for each seed, and what it thinks of it."""
    sampling = dataclasses.replace(task.sampling, temperature=TEMPERATURE, top_p=1.0)
    again = [Request(task.prompt, dataclasses.replace(sampling, seed=seed)) for seed in seeds]
    said = "\n\n".join(words for role, words in task.prompt.chat or () if role == "user") or text
    return [*again, Request(reflection.chat(task=said, answer=answer), Sampling(max_tokens=REPLY_TOKENS))]


def confidence(answer: str, samples: Sequence[str], reply: str, beta: float) -> float:
    """The confidence in an answer, from 0 to 1."""
    observed = statistics.fmean(likeness(answer, sample) for sample in samples) if samples else 0.0
    return beta * observed + (1 - beta) * reflected(reply)


def likeness(one: str, other: str) -> float:
    """F1 of the words of two texts, counted as often as they stand there."""
    a, b = (Counter(WORD.findall(text.lower())) for text in (one, other))
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


def reflected(reply: str) -> float:
    """What a reply to the question of self-reflection is worth."""
    found = REPLY.match(reply)
    return WORTH[found[1].upper()] if found else WORTH["C"]


def median(scores: Sequence[float]) -> float:
    """CLEAR's limit: keep what is above it."""
    return statistics.median(scores)
