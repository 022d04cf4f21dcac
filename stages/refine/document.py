"""ProX's document stage: a small model says which documents are worth keeping at all (methods 1.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from schemas import columns as c
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.engine import Answer, Engine, Failure, Prompt, Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import check_tokenizer, parse
from stages.refine.profile import Profile, read_profile
from stages.refine.program import Drop, Keep, parse_program
from stages.refine.prompt_format import PromptFormat, document_prompt, wrap
from stages.stage import EXECUTION, Resources, Rows, StageError, Transform, at_least, fingerprint, set_columns
from stages.verdict import reasons

REASON = "prox_drop_doc"


class Verdict(NamedTuple):
    """`keep` or `drop`, and how many faults the output had that said so."""

    decision: str
    errors: int


@dataclass(frozen=True)
class ProxDocument:
    """Drops documents that a model says to drop; every other answer keeps them, an unreadable one too.

    The model sees the first `prompt_tokens` tokens of the prompt; the original cuts the closing tag off a long one.
    With `whole` the text is cut instead. `max_tokens` is the answer's; the original allows 2000, one call needs few.
    What the model wrote is in `answers`, with the decision: keep, drop, or skipped for a text of no words.

    `engine` null switches the stage off. `model` names the model in ledger and provenance, whatever the engine calls
    it. `compat`: the word `drop` anywhere in the answer drops (the original's rule); else the answer has to be a
    program with `drop_doc()` in it and no `keep_doc()`. Null is what `headrace.json` in the model's folder says, or
    else what the released models take: compat true, prompt_format llama2_sys, context 2048.

    Reason: `prox_drop_doc`. A row whose request cannot be answered is dead, with its error.
    """

    engine: str | None = field(default="transformers:gair-prox/web-doc-refining-lm", metadata=EXECUTION)
    model: str | None = None
    compat: bool | None = None
    prompt_format: PromptFormat | None = None
    prompt_tokens: int = 2000
    max_tokens: int = 32
    context: int | None = None
    whole: bool = False
    model_id: str | None = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.ANSWERS, c.DROP_REASON, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        at_least(self, prompt_tokens=1, max_tokens=1, context=1)
        name = None
        if self.engine is not None:
            spec = parse(self.engine, type(self).__name__)
            check_tokenizer(spec, type(self).__name__)
            name = self.model or spec.model_id
        object.__setattr__(self, "model_id", name)

    @property
    def resources(self) -> Resources:
        """What the engine takes."""
        return parse(self.engine, type(self).__name__).resources if self.engine is not None else Resources()

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """`open` with the ledger of the run."""
        if self.engine is None:
            return lambda table: _written(table, [None] * table.num_rows, [None] * table.num_rows)
        asker = open_asker(parse(self.engine, type(self).__name__), str(self.model_id), ledger)
        return self.asking(asker)

    def asking(self, asker: Asker) -> Transform:
        """The transform with an engine that is open."""
        profile = read_profile(
            asker.spec.folder, compat=self.compat, prompt_format=self.prompt_format, context=self.context
        )
        prompt_hash = fingerprint(wrap("{}", profile.prompt_format))
        room = min(profile.context, asker.engine.context or profile.context) - self.max_tokens
        most = min(self.prompt_tokens, room)
        if most < 1:
            raise StageError(f"ProxDocument.max_tokens is {self.max_tokens}: no context is left for the prompt")

        def told(answer: Answer | Failure | None) -> dict[str, Any] | None:
            if isinstance(answer, Failure):
                return None
            verdict = judge(answer.text, profile.compat) if answer else Verdict("skipped", 0)
            return account(asker, type(self).__name__, prompt_hash, [answer] if answer else [], *verdict)

        def transform(table: pa.Table) -> pa.Table:
            texts = [text or "" for text in table.column(c.BODY.name).to_pylist()]
            asked = [row for row, text in enumerate(texts) if text and not text.isspace()]
            said = asker.ask([self._request(asker.engine, profile, texts[row], most) for row in asked])
            answers: list[Answer | Failure | None] = [None] * len(texts)
            for row, one in zip(asked, said, strict=True):
                answers[row] = one
            return _written(table, answers, [told(answer) for answer in answers])

        return transform

    def _request(self, engine: Engine, profile: Profile, text: str, most: int) -> Request:
        def tokenize(prompt: str, special: bool) -> list[int]:
            return engine.tokenize([prompt], special)[0]

        tokens = document_prompt(text, profile.prompt_format, tokenize, most, self.whole)
        return Request(Prompt(tokens=tokens), Sampling(max_tokens=self.max_tokens, top_p=0.9))


def judge(output: str, compat: bool) -> Verdict:
    """What a model's output says of the document: anything that is not clearly "drop" keeps it."""
    if compat:
        return Verdict("drop" if "drop" in output else "keep", 0)
    program = parse_program(output)
    drop, keep = (any(isinstance(op, kind) for op in program.ops) for kind in (Drop, Keep))
    return Verdict("drop" if drop and not keep else "keep", len(program.errors) + (drop == keep))


def _written(
    table: pa.Table, answers: Sequence[Answer | Failure | None], entries: Sequence[dict[str, Any] | None]
) -> pa.Table:
    failures = [f"Failure: {answer.error}" if isinstance(answer, Failure) else None for answer in answers]
    why = [REASON if entry and entry["decision"] == "drop" else None for entry in entries]
    table = set_columns(table, drop_reason=reasons(why), error=pa.array(failures, c.TEXT))
    return append_answers(table, entries)
