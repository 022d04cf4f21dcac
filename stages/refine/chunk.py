"""ProX's chunk stage: lines that a small model finds to be noise are cut, strings replaced (methods 1.3 to 1.6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas import columns as c
from stages.edits import Edit, append_edits
from stages.models.ask import Asker, account, append_answers, open_asker
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import check_tokenizer, parse
from stages.refine.execute import COMPAT, DROPS, STRICT, Guards, Thresholds
from stages.refine.profile import read_profile
from stages.refine.program import Program
from stages.refine.prompt_format import PromptFormat, chunk_prompt
from stages.refine.refining import Refined, Refining
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, fingerprint, set_columns
from stages.verdict import reasons


@dataclass(frozen=True)
class ProxChunks:
    """Refines each text by the programs that a model writes about its chunks.

    One request a chunk; what it says of all chunks of a text is carried out once. What changed the text is in `edits`,
    as a program that can be run again without the model (`stages.refine.replay`); what the model wrote, in `answers`,
    with the decision: refined, untouched, dropped_ratio, dropped_short, abandoned (too many faults: the text stays),
    skipped. A chunk that does not fit the model's context is not asked about: `+skipped` behind the decision. Without
    `compat` a chunk whose program has `error_op` faults stays as it was, and the others are refined all the same.

    `engine` null switches the stage off. `model` names the model in ledger and provenance, whatever the engine calls
    it. Settings that are null are what `headrace.json` in the model's folder says, or else what the released models
    take: compat true, prompt_format llama2_sys, chunk_tokens 1500, max_tokens 256, context 2048. `guards` (replacements
    may not add numbers, addresses or much text) null: unless `compat`. `constrain`: the engine holds the model to a
    grammar, of removals alone.

    Reasons: `prox_dropped_ratio` (at most 1 - threshold_2 of the words would be left), `prox_dropped_short` (at most
    `min_words` words would). A row with a request that cannot be answered is dead, with its error.
    """

    engine: str | None = field(default="transformers:gair-prox/web-chunk-refining-lm", metadata=EXECUTION)
    model: str | None = None
    compat: bool | None = None
    prompt_format: PromptFormat | None = None
    chunk_tokens: int | None = None
    max_tokens: int | None = None
    context: int | None = None
    threshold_1: float = 0.0
    threshold_2: float = 0.95
    error_op: int = 2
    min_words: int = 10
    guards: bool | None = None
    constrain: bool = False
    model_id: str | None = field(init=False)

    reads: ClassVar[pa.Schema] = pa.schema([c.BODY])
    adds: ClassVar[pa.Schema] = pa.schema([c.BODY, c.N_CHARS, c.EDITS, c.ANSWERS, c.DROP_REASON, c.ERROR])
    rows: ClassVar[Rows] = "same"

    def __post_init__(self) -> None:
        at_least(self, chunk_tokens=1, max_tokens=1, context=2, error_op=1)
        for setting in ("threshold_1", "threshold_2"):
            if not 0 <= getattr(self, setting) <= 1:
                raise ValueError(f"ProxChunks.{setting} should be from 0 to 1, got {getattr(self, setting)}")
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
            return lambda table: self._written(table, [None] * table.num_rows, [None] * table.num_rows)
        asker = open_asker(parse(self.engine, type(self).__name__), str(self.model_id), ledger)
        return self.asking(asker)

    def asking(self, asker: Asker) -> Transform:
        """The transform with an engine that is open."""
        refining = self.refining(asker)
        prompt_hash = fingerprint(chunk_prompt("{}", refining.profile.prompt_format))

        def told(r: Refined) -> dict[str, Any]:
            entry = account(asker, type(self).__name__, prompt_hash, r.answers, r.decision, len(r.result.errors))
            return entry | {"output": r.output}

        def transform(table: pa.Table) -> pa.Table:
            found = refining.refine([text or "" for text in table.column(c.BODY.name).to_pylist()])
            return self._written(table, found, [told(r) for r in found])

        return transform

    def refining(self, asker: Asker) -> Refining:
        """What is done with a text, with an engine that is open."""
        profile = read_profile(
            asker.spec.folder,
            compat=self.compat,
            prompt_format=self.prompt_format,
            chunk_tokens=self.chunk_tokens,
            max_tokens=self.max_tokens,
            context=self.context,
        )
        guards: Guards | None = None if self.guards is None else STRICT if self.guards else COMPAT
        limits = Thresholds(self.threshold_1, self.threshold_2, self.error_op, self.min_words)
        return Refining(asker, profile, limits, guards, self.constrain)

    def _written(
        self, table: pa.Table, found: Sequence[Refined | None], entries: Sequence[dict[str, Any] | None]
    ) -> pa.Table:
        """`table` with what became of each row; of a row that is None, nothing."""
        texts = table.column(c.BODY.name).to_pylist()
        edits: list[list[Edit]] = [[] for _ in found]
        why: list[str | None] = [None] * len(found)
        for row, refined in enumerate(found):
            if refined is None or refined.failure:
                continue
            result = refined.result
            if result.decision in DROPS:
                why[row] = f"prox_{result.decision}"
            elif result.applied:
                edits[row] = [Edit(str(Program(result.applied)), len(texts[row]), len(result.text))]
                texts[row] = result.text
        text = pa.array(texts, c.BODY.type)
        errors = [f"Failure: {r.failure}" if r and r.failure else None for r in found]
        table = set_columns(
            table,
            text=text,
            n_chars=pc.utf8_length(text).cast(pa.int64()),
            drop_reason=reasons(why),
            error=pa.array(errors, c.TEXT),
        )
        return append_answers(append_edits(table, type(self).__name__, edits), entries)
