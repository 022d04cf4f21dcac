"""What a model's reply holds of exercises: lines that begin with Question: and Answer:, and a reason for each fault."""

import re
from typing import NamedTuple

from stages.guards.leaks import leak
from stages.guards.refusals import refusal
from stages.models.engine import Finish

REPLY_EMPTY = "reply_empty"
REPLY_REFUSAL = "reply_refusal"
REPLY_NO_TASK = "reply_no_task"  # no line begins with Question: or Answer:
TRUNCATED = "task_truncated"  # the last one, by max_tokens
NO_ANSWER = "task_no_answer"
NO_QUESTION = "task_no_question"
EMPTY_QUESTION = "task_empty_question"
EMPTY_ANSWER = "task_empty_answer"
ANSWERS = "task_answers"  # two to one question
REPEATED = "task_repeated"
MARKUP = "task_markup"  # of a chat template, or the prompt again
REASONS = (
    REPLY_EMPTY, REPLY_REFUSAL, REPLY_NO_TASK, TRUNCATED, NO_ANSWER, NO_QUESTION, EMPTY_QUESTION, EMPTY_ANSWER, ANSWERS,
    REPEATED, MARKUP,
)  # fmt: skip
LABEL = re.compile(
    r"^[ \t]*(?:[-*\u2022>#]+[ \t]*|\d{1,2}[.)][ \t]*)*[*_]*(Question|Answer)(?:[ \t]*\d{1,2})?[*_]*:[*_]*", re.M
)


class Tasks(NamedTuple):
    """Questions with their answers, and a reason for each that is none."""

    pairs: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]


def parse_tasks(reply: str, finish: Finish = "stop", source: str = "", prompt: str = "") -> Tasks:
    """The exercises of a reply, each question once. `source` is the text, `prompt` the instructions."""
    if not reply.strip():
        return Tasks((), (REPLY_EMPTY,))
    blocks = _blocks(reply)
    if not blocks:
        return Tasks((), (REPLY_REFUSAL if refusal(source, reply) else REPLY_NO_TASK,))
    faults, found = [], dict[str, tuple[str, str]]()
    for number, block in enumerate(blocks, 1):
        last = number == len(blocks) and finish == "length"
        fault = TRUNCATED if last else _fault(block, source, prompt)
        if fault is None:
            question, answer = block[0][1], block[1][1]
            fault = REPEATED if question.casefold() in found else None
            found.setdefault(question.casefold(), (question, answer))
        faults += [fault] if fault else []
    return Tasks(tuple(found.values()), tuple(faults))


Block = list[tuple[str, str]]  # label and text


def _blocks(reply: str) -> list[Block]:
    """A question and all answers up to the next question; answers before the first are a block of their own."""
    marks = list(LABEL.finditer(reply))
    starts = [*(mark.start() for mark in marks), len(reply)]
    blocks: list[Block] = []
    for mark, end in zip(marks, starts[1:], strict=True):
        label, text = mark[1], reply[mark.end() : end].strip()
        if label == "Question" or not blocks:
            blocks.append([])
        blocks[-1].append((label, text))
    return blocks


def _fault(block: Block, source: str, prompt: str) -> str | None:
    """Why a block is no exercise."""
    if block[0][0] != "Question":
        return NO_QUESTION
    if len(block) == 1:
        return NO_ANSWER
    if len(block) > 2:
        return ANSWERS
    (_, question), (_, answer) = block
    if not question:
        return EMPTY_QUESTION
    if not answer:
        return EMPTY_ANSWER
    return MARKUP if leak(source, f"{question}\n{answer}", prompt) else None
