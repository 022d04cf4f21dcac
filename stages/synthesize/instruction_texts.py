"""Instruction Pre-Training's second step: texts and their pairs become texts to train on (methods 6.4). No model."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from schemas import columns as c
from schemas.check import conform
from stages.stage import Resources, Rows, Transform, set_columns
from stages.synthesize.heirs import ADDED, Heir, heirs
from stages.synthesize.instruction_form import Exercise, Pair, exercise_of
from stages.synthesize.instruction_patterns import patterns_hash
from stages.synthesize.instruction_templates import Entry, write_group
from stages.synthesize.lots import Lot


@dataclass(frozen=True)
class InstructionTexts:
    """One text for each chain of texts that were shown with one another: M-shot examples (arXiv 2406.14491).

    Its row names all of them in `parents`, in order, and has their `answers`. Modes and patterns are drawn by hash of
    `seed` and the chain (stages/synthesize/instruction_templates.py). A document without pairs goes on as it is.
    """

    seed: int = 12345
    patterns_hash: str = field(init=False, default_factory=patterns_hash)

    reads: ClassVar[pa.Schema] = pa.schema([c.ID, c.BODY, c.PAIRS, c.CHAIN, c.ANSWERS])
    adds: ClassVar[pa.Schema] = pa.schema(list(ADDED))
    rows: ClassVar[Rows] = "any"
    resources: ClassVar[Resources] = Resources(memory_gb=1.0)

    def open(self) -> Transform:
        return self.write

    def write(self, table: pa.Table) -> pa.Table:
        """The rows that the documents of `table` make."""
        exercises = [_exercises(pairs) for pairs in table.column(c.PAIRS.name).to_pylist()]
        groups: dict[str, list[int]] = {}
        for row, chain in enumerate(table.column(c.CHAIN.name).to_pylist()):
            if exercises[row]:
                groups.setdefault(chain, []).append(row)
        members = sorted(groups.values())
        made = self._made(table, exercises, members)
        raw = [row for row, found in enumerate(exercises) if not found]
        return _merged(table, raw, [rows[0] for rows in members], made)

    def _made(self, table: pa.Table, exercises: list[tuple[Exercise, ...]], members: list[list[int]]) -> pa.Table:
        """One row a group."""
        ids, texts, answers = (table.column(f.name).to_pylist() for f in (c.ID, c.BODY, c.ANSWERS))
        parts = [
            Heir(
                rows[0],
                (str(self.seed), *(ids[row] for row in rows)),
                write_group([Entry(texts[row], exercises[row]) for row in rows], Lot(self.seed, ids[rows[0]])),
            )
            for rows in members
        ]
        made = heirs(table, "InstructionTexts", None, parts)
        said: list[list[dict[str, Any]]] = [[a for row in rows for a in answers[row] or ()] for rows in members]
        written = [_writer(entries) for entries in said]
        sources = pa.array(["\n\n".join(texts[row] for row in rows) for rows in members], c.TEXT)
        places = pa.array(range(len(members)), pa.int32())
        return set_columns(
            made,
            parents=pa.array([[ids[row] for row in rows] for rows in members], c.PARENTS.type),
            answers=pa.array(said, c.ANSWERS.type),
            model=pa.array([entry["model"] for entry in written], c.MODEL.type),
            prompt_hash=pa.array([entry["prompt_hash"] for entry in written], c.PROMPT_HASH.type),
            parent_text=pa.DictionaryArray.from_arrays(places, sources),
        )


def _exercises(pairs: list[dict[str, str]] | None) -> tuple[Exercise, ...]:
    """Pairs in parts. What does not fit together was left out when they were parsed."""
    found = (exercise_of(Pair(**pair)) for pair in pairs or ())
    return tuple(exercise for exercise in found if not isinstance(exercise, str))


def _writer(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The account of the model that wrote the pairs: the last one's."""
    return entries[-1] if entries else {"model": None, "prompt_hash": None}


def _merged(table: pa.Table, raw: list[int], places: list[int], made: pa.Table) -> pa.Table:
    """The rows `raw` of `table` as they are and the rows `made`, in the order of their first documents."""
    documents = table.take(pa.array(raw, pa.int64()))
    text = c.PARENT_TEXT.name
    fields = [field for field in made.schema if field.name != text]
    kept = conform(documents, pa.schema(fields))
    sources = made.column(text).combine_chunks()
    indices = pa.concat_arrays([pa.nulls(len(raw), pa.int32()), sources.indices])
    both = pa.concat_tables([kept, made.drop_columns([text])])
    both = both.append_column(c.PARENT_TEXT, pa.DictionaryArray.from_arrays(indices, sources.dictionary))
    order = sorted(range(len(raw) + len(places)), key=[*raw, *places].__getitem__)
    return both.take(pa.array(order, pa.int64()))
