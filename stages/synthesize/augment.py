"""Knowledge augmentation: each document in several variants, so that a model learns its facts and not its wording."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from stages.guards import Guards, guards_of
from stages.models.ask import Asker, Made, open_asker
from stages.models.engine import Request, Sampling
from stages.models.ledger import Forgetful, Ledger
from stages.models.spec import parse
from stages.prompts import PromptFile, load_prompt
from stages.rephrase.segments import count_words
from stages.stage import EXECUTION, Resources, Rows, Transform, at_least, set_columns
from stages.synthesize.again import Dead, with_dead
from stages.synthesize.extract_entities import SEEDS
from stages.synthesize.heirs import ADDED, Heir, heir_id, heirs
from stages.synthesize.lots import Lot
from stages.synthesize.relations import draw
from stages.synthesize.sentences import Pronoun, permuted, with_full_names
from stages.synthesize.variants import Variant, Written, judge
from stages.text.words import splitter

NAME = "Augment"
DOCUMENT_EMPTY, DOCUMENT_LONG, REPEATED = "document_empty", "document_long", "variant_repeated"
LONGEST_NAME = 100  # characters; what is longer names nobody


@dataclass(frozen=True)
class Augment:
    """Variants of each document, by the operators of Physics of Language Models 3.1 (arXiv 2309.14316).

    `multi` M: M texts that a model writes, the k-th by the k-th of `prompts` (again from the first where there are
    fewer); 0: the document's own text, and no model is asked. `single`: the document's own text beside those M.
    `subject`: the column that names whom each document is about, such as title: then pronouns become that name
    (`pronoun`, stages/synthesize/sentences.py). `permute` P: in place of each of these texts, P with its sentences in
    orders drawn by hash; 0: as they are. The paper's best is multi5 with permute and fullname. `variant` says what a
    row is: `multi3 fullname permute1`. The document itself does not go on.

    A text of the model that a guard rejects is dropped with its reason (stages/guards; `guards` are changes to them),
    one that is equal to an earlier variant with `variant_repeated`; a document of more than `max_input` tokens at 1.3 a
    word is not rewritten (`document_long`), an empty one is `document_empty`. A call that failed leaves a dead row;
    what a replay writes in its place is held against what it writes itself, not against variants of the run before.

    Variants of a document must not be neighbours in training: DrawOrder, and a shuffle by it, belong to the method.
    """

    multi: int = 5
    single: bool = False
    permute: int = 1
    subject: str | None = None
    pronoun: Pronoun = "auto"
    prompts: tuple[str, ...] = (
        "augment-retell", "augment-entry", "augment-backwards", "augment-talk", "augment-sentences",
    )  # fmt: skip
    guards: dict[str, Any] = field(default_factory=dict, hash=False)
    language: str = "en"
    engine: str = field(default="transformers:Qwen/Qwen2.5-7B-Instruct?dtype=bfloat16", metadata=EXECUTION)
    model: str | None = None
    max_input: int = 2000
    max_tokens: int = 2048
    temperature: float = 0.7
    seed: int = 42
    model_id: str | None = field(init=False, default=None)
    prompt_hashes: tuple[str, ...] = field(init=False, default=())
    language_checksum: str = field(init=False, default="")  # of the model that the guards tell languages by

    adds: ClassVar[pa.Schema] = pa.schema([*ADDED, c.VARIANT])
    rows: ClassVar[Rows] = "any"
    version: ClassVar[int] = 2  # 2: the first of the orders of a text has the id that the text has when it dies

    def __post_init__(self) -> None:
        at_least(self, multi=0, permute=0, max_input=1, max_tokens=1, temperature=0)
        if not self.multi:
            return
        if not self.prompts:
            raise ValueError(f"{NAME}: multi is {self.multi}, and prompts names none")
        if self.multi > len(self.prompts) and not self.temperature:
            raise ValueError(
                f"{NAME}: {self.multi} texts from {len(self.prompts)} prompts at temperature 0 repeat themselves; "
                "name more prompts, or set a temperature"
            )
        object.__setattr__(self, "model_id", self.model or parse(self.engine, NAME).model_id)
        object.__setattr__(self, "prompt_hashes", tuple(prompt.hash for prompt in self._prompts()))
        object.__setattr__(self, "language_checksum", self._guards().language_checksum)

    @property
    def reads(self) -> pa.Schema:
        return pa.schema([c.ID, c.BODY, *([pa.field(self.subject, pa.null())] if self.subject else [])])

    @property
    def resources(self) -> Resources:
        return parse(self.engine, NAME).resources if self.multi else Resources(memory_gb=1.0)

    def open(self) -> Transform:
        return self.open_with_ledger(Forgetful())

    def open_with_ledger(self, ledger: Ledger) -> Transform:
        """The transform, with answers that were paid for before."""
        asker = open_asker(parse(self.engine, NAME), str(self.model_id), ledger) if self.multi else None
        return lambda table: self.write(table, asker)

    def write(self, table: pa.Table, asker: Asker | None) -> pa.Table:
        """The variants of the documents of `table`, those of one document together; of one that died, that one."""
        return with_dead(table, NAME, lambda documents, dead: self._write(documents, dead, asker))

    def _write(self, table: pa.Table, dead: Dead | None, asker: Asker | None) -> pa.Table:
        ids, texts = (table.column(f.name).to_pylist() for f in (c.ID, c.BODY))
        subjects = table.column(self.subject).to_pylist() if self.subject else [None] * len(ids)
        found = self._texts(ids, [text or "" for text in texts], dead, asker)
        seen: set[tuple[int, str]] = set()
        made: list[Variant] = []
        for text in sorted(found, key=lambda variant: variant.row):
            for variant in self._changed(text, ids[text.row], name_of(subjects[text.row])):
                if variant.reason is None and variant.error is None and (variant.row, variant.text) in seen:
                    variant.reason = REPEATED
                if variant.reason is None:
                    seen.add((variant.row, variant.text))
                if dead is None or variant.prompt is not None:  # the document's own text did not die
                    made.append(variant)
        parts = [Heir(v.row, self._parts(v.part or v.label), v.text, v.reason, v.error, v.entry) for v in made]
        return set_columns(
            heirs(table, NAME, None, parts),
            variant=pa.array([v.label for v in made], c.VARIANT.type),
            model=pa.array([self.model_id if v.prompt else None for v in made], c.MODEL.type),
            prompt_hash=pa.array([v.prompt for v in made], c.PROMPT_HASH.type),
        )

    def _parts(self, part: str) -> tuple[str, ...]:
        return (str(self.seed), part)

    def _texts(self, ids: list[str], texts: list[str], dead: Dead | None, asker: Asker | None) -> list[Variant]:
        """What the documents' own texts and the model's are, before they are changed further."""
        wanted = None if dead is None else dead.ids
        found: list[Variant] = []
        tasks: list[tuple[int, int]] = []
        for row, text in enumerate(texts):
            if not text.strip():
                found.append(Variant(row, "single", text, DOCUMENT_EMPTY))
                continue
            if self.single or not self.multi:
                found.append(Variant(row, "single", text))
            if self.multi and count_words([text])[0] > self.max_input:
                found.append(Variant(row, "multi", "", DOCUMENT_LONG))
            elif self.multi:
                names = [self._parts(multi(k)) for k in range(self.multi)]
                tasks += [
                    (row, k)
                    for k, parts in enumerate(names)
                    if wanted is None or heir_id(NAME, ids[row], parts) in wanted
                ]
        if asker is not None:
            found += self._written(ids, texts, tasks, asker)
        return found

    def _written(self, ids: list[str], texts: list[str], tasks: list[tuple[int, int]], asker: Asker) -> list[Variant]:
        """What the model writes: the k-th text of each document by the k-th prompt."""
        prompts = self._prompts()

        def request(number: int) -> Request:
            row, k = tasks[number]
            seed = draw(self.seed, NAME, ids[row], str(k)) % SEEDS if self.temperature > 0 else None
            return Request(prompts[k].chat(text=texts[row]), Sampling(self.max_tokens, self.temperature, seed=seed))

        results = asker.ask(Made(len(tasks), request))
        written = [
            Written(texts[row], Variant(row, multi(k), "", prompt=prompts[k].hash), prompts[k], result)
            for (row, k), result in zip(tasks, results, strict=True)
        ]
        judge(written, self._guards(), asker, NAME)
        return [one.variant for one in written]

    def _changed(self, variant: Variant, id_: str, subject: str | None) -> Iterator[Variant]:
        """A text with names and in other orders; the first of them has the account of the call, and the text's id."""
        variant.part = variant.label
        if variant.reason is not None or variant.error is not None:
            yield variant
            return
        if subject is not None:
            named = with_full_names(variant.text, subject, self.pronoun)
            variant.label += " fullname" * (named != variant.text)
            variant.text = named
        if not self.permute:
            yield variant
            return
        lot, sentences = Lot(self.seed, id_), splitter(self.language).sentences(variant.text)
        for p in range(1, self.permute + 1):
            label = f"{variant.label} permute{p}"
            made = Variant(variant.row, label, permuted(sentences, lot, label), prompt=variant.prompt)
            if p == 1:
                made.entry, made.part = variant.entry, variant.part
            yield made

    def _prompts(self) -> list[PromptFile]:
        """The prompt of each of the texts."""
        return [load_prompt(self.prompts[k % len(self.prompts)]) for k in range(self.multi)]

    def _guards(self) -> Guards:
        return guards_of(self.guards, NAME)


def multi(k: int) -> str:
    """What the k-th text of the model is called, from 0."""
    return f"multi{k + 1}"


def name_of(subject: str | None) -> str | None:
    """A name in one line; None for what is none."""
    name = " ".join((subject or "").split())
    return name if 0 < len(name) <= LONGEST_NAME else None
