"""What the instruction synthesizer is asked and how its answer is read: Instruction Pre-Training, methods 6.1 and 6.2.

    <s> <CON> text </CON>

    <QUE> question <ANS> answer </END>

    <QUE> question <ANS> answer </END></s><s> <CON> the next text </CON>

What comes before the last text are examples that the model wrote itself. The first <s> is typed although the engine
puts one in front too: so it was for the original (methods 26.5).

The original passes over what is no pair; here every piece has a reason. It also takes pairs that its templates cannot
use later, or with an empty question, or with marks of the form in them: here these have a reason at once.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from stages.guards.refusals import refusal
from stages.models.engine import Finish
from stages.synthesize.instruction_patterns import nothing_fits

BEGIN, CLOSE = "<s>", "</s>"
CONTEXT, CONTEXT_END, QUESTION, ANSWER, END = "<CON>", "</CON>", "<QUE>", "<ANS>", "</END>"
BLANK_LINE = "\n\n"
MARKS = re.compile("|".join(map(re.escape, (BEGIN, CLOSE, CONTEXT, CONTEXT_END, QUESTION, ANSWER, END))))

OPTIONS, OPTION = "\nOptions:\n- ", "\n- "
STEPS, THEREFORE = "\nLet's think step by step.", "\nTherefore, the answer is "
TOKENS_A_WORD = 1.5  # by which the original estimates whether a prompt fits

REPLY_EMPTY = "reply_empty"
REPLY_REFUSAL = "reply_refusal"
TRUNCATED = "pair_truncated"  # the last one, by max_tokens
UNFINISHED = "pair_unfinished"  # the last one, though the model stopped
BLANK = "pair_blank"
NO_ANSWER_MARK = "pair_no_answer_mark"
ANSWER_MARKS = "pair_answer_marks"
NO_QUESTION_MARK = "pair_no_question_mark"
NO_ANSWER = "pair_no_answer"
NO_QUESTION = "pair_no_question"
MARKUP = "pair_markup"
REASONING = "pair_reasoning"
OPTION_LIST = "pair_options"
OPTION_UNKNOWN = "pair_option_unknown"
REPEATED = "pair_repeated"
REASONS = (
    REPLY_EMPTY, REPLY_REFUSAL, TRUNCATED, UNFINISHED, BLANK, NO_ANSWER_MARK, ANSWER_MARKS, NO_QUESTION_MARK, NO_ANSWER,
    NO_QUESTION, MARKUP, REASONING, OPTION_LIST, OPTION_UNKNOWN, REPEATED,
)  # fmt: skip


class Pair(NamedTuple):
    """A question and its answer, as the model wrote them."""

    question: str
    answer: str


class Parsed(NamedTuple):
    """The pairs of a reply, and a reason for each piece that is none."""

    pairs: tuple[Pair, ...]
    faults: tuple[str, ...]


class Exercise(NamedTuple):
    """A pair in parts: choices, if there are any; how the answer is found, if that is told."""

    question: str
    options: tuple[str, ...]
    reasoning: str
    answer: str


def reading(text: str) -> str:
    """A text as it is shown; the blank before <CON> belongs to it."""
    return f"{BEGIN} {CONTEXT} {text} {CONTEXT_END}{BLANK_LINE}" if text else BEGIN


def comprehension(pairs: Sequence[Pair]) -> str:
    """Pairs as the model writes them."""
    return BLANK_LINE.join(f"{QUESTION} {question} {ANSWER} {answer} {END}" for question, answer in pairs)


def shot(text: str, pairs: Sequence[Pair]) -> str:
    """An example that comes before the text that is asked about."""
    return reading(text) + comprehension(pairs) + CLOSE


def tokens_of(prompt: str) -> float:
    """The original's estimate of a prompt's length."""
    return len(prompt.split(" ")) * TOKENS_A_WORD


def form_hash() -> str:
    """16 hex digits over the form, for provenance: it is this prompt's file."""
    what = shot("{text}", [Pair("{question}", "{answer}")]) + reading("{text}")
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def parse_pairs(text: str, finish: Finish = "stop") -> Parsed:
    """The pairs in a reply, each question once whatever its case (the first wins)."""
    if not text.strip():
        return Parsed((), (REPLY_EMPTY,))
    *pieces, rest = text.split(END)
    found: dict[str, Pair] = {}
    faults = []
    for piece in pieces:
        result = _pair(piece)
        if isinstance(result, str):
            faults.append(result)
        elif result.question.lower() in found:
            faults.append(REPEATED)
        else:
            found[result.question.lower()] = result
    if rest.strip():
        faults.append(TRUNCATED if finish == "length" else UNFINISHED)
    if not found and refusal("", text):
        faults.append(REPLY_REFUSAL)
    return Parsed(tuple(found.values()), tuple(faults))


def _pair(piece: str) -> Pair | str:  # noqa: PLR0911 - one return a reason
    """The pair in a piece before </END>, or why it is none."""
    if not piece.strip():
        return BLANK
    before, *answers = piece.split(ANSWER)
    if len(answers) != 1:
        return ANSWER_MARKS if answers else NO_ANSWER_MARK
    question, answer = before.strip(), answers[0].strip()
    if not question.startswith(QUESTION):
        return NO_QUESTION_MARK
    if not answer:
        return NO_ANSWER
    question = question.replace(QUESTION, "").strip()
    if not question:
        return NO_QUESTION
    if MARKS.search(question) or MARKS.search(answer):
        return MARKUP
    exercise = exercise_of(Pair(question, answer))
    return exercise if isinstance(exercise, str) else Pair(question, answer)


def exercise_of(pair: Pair) -> Exercise | str:
    """The parts of a pair; or why they do not fit together.

    `pair_reasoning`: it begins to think and does not conclude, or the other way round. `pair_options`: there are two
    lists, or an empty choice or question. `pair_option_unknown`: the answer is no choice, nor says that none fits.
    """
    question, answer, reasoning = pair.question, pair.answer, ""
    if STEPS in question or THEREFORE in answer:
        parts = answer.split(THEREFORE)
        if not question.endswith(STEPS) or len(parts) != 2:
            return REASONING
        question = question.removesuffix(STEPS).strip()
        reasoning, answer = parts[0].strip().removesuffix("."), parts[1].strip()
        if not (question and reasoning and answer):
            return REASONING
    if OPTIONS not in question:
        return Exercise(question, (), reasoning, answer)
    question, *lists = question.split(OPTIONS)
    options = [option.strip() for option in lists[0].split(OPTION)]
    if len(lists) > 1 or not question.strip() or not all(options):
        return OPTION_LIST
    if answer not in options and not nothing_fits(answer):
        return OPTION_UNKNOWN
    return Exercise(question.strip(), tuple(options), reasoning, answer)
