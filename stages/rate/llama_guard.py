"""A guard model's verdict on a text: safe or unsafe, and of which categories (methods 24, as AutoPureData)."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Prompt, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.rate.rater import failures_of, texts_of
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, fingerprint, set_columns
from stages.verdict import reasons

REASON = "unsafe"
PROMPT = fingerprint("the text as the user's turn of a chat")  # the policy is in the model's own chat template


class Verdict(NamedTuple):
    """`safe`, `unsafe` or `undecided`, and the categories of what is unsafe."""

    safety: str
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class LlamaGuard:
    """Adds `safety` and `unsafe_categories`: what a guard model answers about the text, given as a user's turn.

    The model's own chat template wraps it in its policy, and the answer is `safe`, or `unsafe` and below it the
    categories. Anything else is undecided: the row is kept and marked, as AutoPureData does. `drop` says whether unsafe
    documents are dropped (reason `unsafe`), and `categories` for which ones alone; empty is for any.

    A text is read up to `max_chars`, since policy, text and answer have to fit the model's context (8192 tokens). Empty
    texts are not asked about, and are safe. Answers go through the ledger.

    `engine` is how the model is run (stages/models/spec.py); `model` its name, by default the engine's.
    """

    drop: bool = True
    categories: tuple[str, ...] = ()
    max_chars: int = 6000
    max_tokens: int = 64
    engine: str = field(default="transformers:meta-llama/Meta-Llama-Guard-2-8B?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    model_id: str = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.SAFETY, c.UNSAFE_CATEGORIES, c.ANSWERS, c.ERROR, c.DROP_REASON])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", tuple(self.categories))
        at_least(self, max_chars=1, max_tokens=1)
        object.__setattr__(self, "model_id", self.model or parse(self.engine, "LlamaGuard").model_id)

    @property
    def resources(self) -> Resources:
        return parse(self.engine, "LlamaGuard").resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """`open` with the ledger of the run."""
        asker = open_asker(parse(self.engine, "LlamaGuard"), self.model_id, ledger)
        return lambda table: self._judge(table, asker)

    def _judge(self, table: pa.Table, asker: Asker) -> pa.Table:
        texts = texts_of(table)
        asked = [row for row, text in enumerate(texts) if text and not text.isspace()]
        said = dict(zip(asked, asker.ask([self._request(texts[row]) for row in asked]), strict=True))
        verdicts: list[Verdict] = []
        entries = []
        for row in range(len(texts)):
            answer = said.get(row)
            answers = [answer] if isinstance(answer, Answer) else []
            verdict = parse_verdict(answer.text) if isinstance(answer, Answer) else Verdict("safe")
            verdicts.append(verdict)
            faults = int(verdict.safety == "undecided")
            entries.append(account(asker, "LlamaGuard", PROMPT, answers, verdict.safety, faults))
        failures = failures_of([said.get(row) for row in range(len(texts))])
        drop = [
            self.reason(verdict) if failed is None else None for verdict, failed in zip(verdicts, failures, strict=True)
        ]
        table = append_answers(table, [None if f else entry for f, entry in zip(failures, entries, strict=True)])
        return set_columns(
            table,
            safety=pa.array([verdict.safety for verdict in verdicts], c.SAFETY.type),
            unsafe_categories=pa.array([verdict.categories for verdict in verdicts], c.UNSAFE_CATEGORIES.type),
            error=pa.array(failures, c.ERROR.type),
            drop_reason=reasons(drop),
        )

    def _request(self, text: str) -> Request:
        return Request(Prompt(chat=(("user", text[: self.max_chars]),)), Sampling(max_tokens=self.max_tokens))

    def reason(self, verdict: Verdict) -> str | None:
        """Why a text of this verdict is dropped, or None."""
        if not self.drop or verdict.safety != "unsafe":
            return None
        return REASON if not self.categories or set(verdict.categories) & set(self.categories) else None


def parse_verdict(answer: str) -> Verdict:
    """The first line says safe or unsafe, the second the categories, by commas; anything else is undecided."""
    lines = answer.strip().splitlines() or [""]
    first = lines[0].strip().lower()
    if first == "unsafe":
        named = lines[1].split(",") if len(lines) > 1 else []
        return Verdict("unsafe", tuple(name.strip() for name in named if name.strip()))
    return Verdict("safe" if first == "safe" else "undecided")
