"""A model writes each document again, in the style of a paper; what it may not say stays as it was, with the reason."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from schemas import columns as c
from stages.guards import guards_of
from stages.models.ask import Asker, open_asker
from stages.models.engine import Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import check_tokenizer, parse
from stages.prompts import load_prompt
from stages.rephrase.rewrite import Task, rewrite
from stages.rephrase.rows import Found, beside, instead, prepared
from stages.rephrase.segments import counter
from stages.rephrase.styles import find_style
from stages.stage import EXECUTION, Resources, Rows, StageError, Transform, at_least
from stages.text.words import check_language

ADDS = (c.BODY, c.N_CHARS, c.EDITS, c.PARENTS, c.MODEL, c.PROMPT_HASH, c.ANSWERS, c.ERROR)


@dataclass(frozen=True)
class Rephrase:
    """Rewrites documents in one or more `styles` (stages/rephrase/styles.py, prompts in stages/prompts).

    `mix`: the rewrite is a row of its own beside the original, whose id is in its `parents`, so that real and
    synthetic text are 1:1 for one style (WRAP, arXiv 2401.16380); without it, the rewrite of the one style replaces
    the text. `rejected` says what stands for a segment that was not rewritten: the original, or nothing (drop), as in
    Nemotron-CC. `answers.decision` tells of each document: rewritten; `partial: <reasons>`; `original: <reasons>`, and
    then there is no rewrite. Reasons are those of stages/guards, `low_confidence`, `segment_long`, `segment_short`,
    `document_short`, `document_empty` and `result_short` (methods 3.2). A row of which a request failed is dead.

    `model` names the model in ledger and provenance, whatever the engine calls it; `prompt` is the file of another
    prompt for the one style. `temperature` and `top_p` are Nemotron-CC's; seeds come from `seed`, style and id.
    `max_tokens` and `max_input` null: the style's. `tokens`: how they are counted, by the engine's tokenizer or as 1.3
    a word. `language` is that of the sentence rules. `guards` are changes to those of the style, such as
    {novel_numbers: 2}. `confidence`: the least that a rewrite needs (stages/rephrase/confidence.py), null for none;
    it takes `confidence_samples` + 1 more calls a segment, and is also a column.
    """

    styles: tuple[str, ...] = ("wrap-medium",)
    mix: bool = True
    rejected: Literal["original", "drop"] = "original"
    engine: str = field(default="transformers:HuggingFaceTB/SmolLM2-1.7B-Instruct", metadata=EXECUTION)
    model: str | None = None
    prompt: str | None = None
    temperature: float = 0.5
    top_p: float = 0.9
    max_tokens: int | None = None
    max_input: int | None = None
    seed: int = 0
    tokens: Literal["engine", "words"] = "engine"
    language: str = "en"
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    confidence: float | None = None
    confidence_samples: int = 5
    confidence_beta: float = 0.7
    model_id: str = field(init=False)
    prompt_hashes: tuple[str, ...] = field(init=False)
    language_checksum: str = field(init=False)  # of the model that the guards tell languages by

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY])
    rows: ClassVar[Rows] = "any"

    def __post_init__(self) -> None:
        if not self.styles or len(set(self.styles)) < len(self.styles):
            raise ValueError(f"styles should be names, each once, got {self.styles!r}")
        if len(self.styles) > 1 and (not self.mix or self.prompt is not None):
            raise ValueError(f"{len(self.styles)} styles: a rewrite that replaces the text, and a prompt, take one")
        if not 0 <= self.confidence_beta <= 1 or self.confidence_samples < 1:
            raise ValueError("confidence_beta should be from 0 to 1, confidence_samples at least 1")
        at_least(self, max_tokens=1, max_input=1, temperature=0, top_p=0)
        check_language(self.language)
        name = type(self).__name__
        spec = parse(self.engine, name)
        if self.tokens == "engine":
            check_tokenizer(spec, name, f", or set {name}.tokens=words")
        object.__setattr__(self, "model_id", self.model or spec.model_id)
        tasks = self._tasks()
        for task in tasks:
            if task.prompt.fields != ("text",):
                places = ", ".join(f"{{{{{place}}}}}" for place in task.prompt.fields) or "none"
                raise ValueError(f"prompt {task.prompt.name} should have the one place {{{{text}}}}, it has {places}")
        object.__setattr__(self, "prompt_hashes", tuple(task.prompt.hash for task in tasks))
        object.__setattr__(self, "language_checksum", tasks[0].guards.language_checksum)

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([*ADDS, *([c.CONFIDENCE] if self.confidence is not None else [])])

    @property
    def resources(self) -> Resources:
        """What the engine takes."""
        return parse(self.engine, type(self).__name__).resources

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """`open` with the ledger of the run."""
        return self.asking(open_asker(parse(self.engine, type(self).__name__), self.model_id, ledger))

    def asking(self, asker: Asker) -> Transform:
        """The transform with an engine that is open."""
        tasks = self._tasks()
        if (hashes := tuple(task.prompt.hash for task in tasks)) != self.prompt_hashes:
            raise StageError(f"Rephrase: prompts have changed since it was planned: {self.prompt_hashes} to {hashes}")
        count = counter(asker.engine, self.tokens, type(self).__name__)

        def transform(table: pa.Table) -> pa.Table:
            documents = list(zip(*(table.column(n).to_pylist() for n in (c.ID.name, c.BODY.name)), strict=True))
            found = [Found(task, rewrite(task, asker, count, documents)) for task in tasks]
            table = prepared(table, self.adds, found)
            return beside(table, found, asker) if self.mix else instead(table, found[0], asker)

        return transform

    def _tasks(self) -> tuple[Task, ...]:
        return tuple(self._task(style) for style in self.styles)

    def _task(self, name: str) -> Task:
        style = find_style(name, type(self).__name__)
        if self.max_input is not None:
            style = dataclasses.replace(style, max_input=self.max_input)
        return Task(
            name=name,
            style=style,
            prompt=load_prompt(self.prompt or name),
            guards=guards_of({**style.guards, **self.guards}, type(self).__name__),
            sampling=Sampling(self.max_tokens or style.max_output, self.temperature, self.top_p),
            seed=self.seed,
            keep_rejected=self.rejected == "original",
            language=self.language,
            least_confidence=self.confidence or 0.0,
            samples=self.confidence_samples if self.confidence is not None else 0,
            beta=self.confidence_beta,
        )
