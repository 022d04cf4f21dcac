"""A document's variants (Augment), and the verdict on those that a model wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stages.guards import Guards
from stages.guards.check import EMPTY, PREFIX
from stages.models.ask import Asker, account
from stages.models.engine import Answer, Failure
from stages.prompts import PromptFile
from stages.rephrase.answers import made_of
from stages.synthesize.again import FAILED


@dataclass
class Variant:
    """One text of a document: what was done to it, or why it is not taken."""

    row: int
    label: str
    text: str
    reason: str | None = None
    error: str | None = None
    prompt: str | None = None  # its hash, if a model wrote the text
    entry: dict[str, Any] | None = None  # the account of the call
    part: str | None = None  # what tells it from others of its document, if that is not the label


class Written(NamedTuple):
    """What a model was asked for, and what it said."""

    source: str
    variant: Variant
    prompt: PromptFile
    result: Answer | Failure


def judge(written: Sequence[Written], guards: Guards, asker: Asker, stage: str) -> None:
    """Fill each variant: its text, the reason why that is not taken, or why there is none, and the account."""
    for one in written:
        _read(one)
    for prompt in dict.fromkeys(one.prompt for one in written):
        mine = [one for one in written if one.prompt == prompt and one.variant.error is None]
        finishes = [one.result.finish for one in mine if isinstance(one.result, Answer)]
        said = f"{prompt.system or ''}\n{prompt.user}"
        reasons = guards.check_all([one.source for one in mine], [one.variant.text for one in mine], finishes, said)
        for one, reason in zip(mine, reasons, strict=True):
            one.variant.reason = one.variant.reason or reason
    for one in written:
        answers = [one.result] if isinstance(one.result, Answer) else []
        reason = one.variant.reason
        decision = FAILED if one.variant.error else reason or "written"
        one.variant.entry = account(asker, stage, one.prompt.hash, answers, decision, int(reason is not None))


def _read(one: Written) -> None:
    if isinstance(one.result, Failure):
        one.variant.error = one.result.error
        return
    text = made_of(one.result.text, "prose", one.prompt.prefix)
    one.variant.text = text or ""
    if text is None:
        one.variant.reason = PREFIX if one.result.text.strip() else EMPTY
