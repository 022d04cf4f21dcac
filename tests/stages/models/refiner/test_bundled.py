"""The refiner that headrace brings: what it is, and what it does on text that no training saw.

Bounds are a little under what was measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

import torch

from stages.models.refiner import folder
from stages.models.refiner.evaluate import Refined, figures, generator, programs_valid, refine, token_cost
from stages.models.refiner.judge import generated
from stages.models.refiner.rules import Rule, best_rule
from stages.models.spec import parse
from stages.refine.labels import Document, draws_the_line, is_held_back, labelled_rows
from stages.refine.profile import read_profile
from tests.sample_pages import texts

UNSEEN, PEOPLE_MARGIN = 0.94, 0.015
DOCUMENTS = 20  # of 44, for time's sake; training.json has all
BUNDLED = parse("transformers:headrace-refiner", "test").folder


@pytest.fixture(scope="module")
def bundled() -> tuple[Any, Any]:
    torch.set_num_threads(1)
    assert BUNDLED is not None
    return folder.load(BUNDLED)


def refined(bundled: tuple[Any, Any], documents: Sequence[Document]) -> list[Refined]:
    assert BUNDLED is not None
    profile = read_profile(BUNDLED)
    return refine(documents, generator(*bundled), token_cost(bundled[1]), profile.chunk_tokens)


def test_it_is_small_and_says_where_it_comes_from(bundled: tuple[Any, Any]) -> None:
    assert BUNDLED is not None
    assert sum(p.numel() for p in bundled[0].parameters()) < 1_000_000
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 2_500_000
    training = json.loads((BUNDLED / folder.TRAINING).read_text())
    seconds, run = 0.0, training
    while run is not None:
        seconds, run = seconds + run["cpu_seconds"], run.get("start")
    assert seconds < 3 * 3600  # on a busy machine
    assert {"data_sha256", "settings", "sources", "split", "held_back"} <= set(training)
    assert any("CC BY-SA 4.0" in licence for source in training["sources"] for licence in source["licences"])
    profile = read_profile(BUNDLED)
    assert profile.context <= bundled[0].config.max_position_embeddings


def test_it_removes_boilerplate_of_families_that_it_was_not_trained_on(bundled: tuple[Any, Any]) -> None:
    documents = generated(sample_texts(), 60, seen=False, seed=11)
    found = refined(bundled, documents)
    told = figures(documents, [r.removed for r in found])
    assert told["f1"] > UNSEEN, told
    assert programs_valid(found) > 0.97


def sample_texts() -> list[Document]:
    """Texts written for this project's tests: no page, and in no training."""
    return [
        Document(a.slug, a.slug, a.lang, "tests", a.paragraphs, (True,) * len(a.paragraphs))
        for a in (*texts.english(), *texts.short(), *texts.other())
    ]


@pytest.mark.slow
def test_it_is_better_than_either_rule_on_documents_held_back(bundled: tuple[Any, Any], shared: Path) -> None:
    rows = pq.read_table(shared / "quality-lines-dev.parquet").to_pylist()
    documents = list(labelled_rows(rows, "people"))
    held = [d for d in documents if is_held_back(d.site) and not draws_the_line(d.site)][:DOCUMENTS]
    found = refined(bundled, held)
    told = figures(held, [r.removed for r in found])
    rivals = [figures(held, [frozenset()] * len(held))]
    for rule in (best_rule([d for d in documents if not is_held_back(d.site)]), rule_of_all()):
        rivals.append(figures(held, [rule.removed(d) for d in held]))
    for figure in ("f1", "macro_f1"):
        assert told[figure] > max(rival[figure] for rival in rivals) + PEOPLE_MARGIN, (told, rivals)
    assert programs_valid(found) > 0.97


def rule_of_all() -> Rule:
    """The one rule for all sources, as the training found it."""
    assert BUNDLED is not None
    training = json.loads((BUNDLED / folder.TRAINING).read_text())
    feature, sign, threshold = training["held_back"]["people"]["one rule"]["rule"].rsplit(" ", 2)
    return Rule(feature, sign == "<", float(threshold), 0.0)
