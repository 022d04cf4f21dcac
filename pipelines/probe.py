"""`headrace probe`: which prompt format a refining model answers best, tried on a sample of your pages (methods 1.4).

The released models bring no template, and what they saw in training is in doubt. Each format is tried on the same
documents, and judged by the rules of an independent reproduction (RESCRAPER, 2026):

operations   documents with at least one removal or replacement; acceptable from 50 %
kept         documents that were not dropped; acceptable from 50 %
words        words kept, of all; acceptable from 0.30 to 0.999: a model that cuts nothing or nearly all does not read

Of the acceptable formats the one with most operations is best. A format that no document can be asked about in (a
context too short) is not acceptable.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from cluster.errors import ConfigError
from cluster.plan import make_plan
from cluster.shards import list_inputs
from cluster.signals.progress import duration
from pipelines.audit import sample
from pipelines.config import configure
from pipelines.refine import refine
from stages.models.ask import Asker, open_asker
from stages.models.spec import parse
from stages.refine.chunk import ProxChunks
from stages.refine.execute import DROPS
from stages.refine.prompt_format import FORMATS, PromptFormat

LEAST_OPERATIONS = 0.5
LEAST_KEPT = 0.5
WORDS_KEPT = (0.30, 0.999)


def silent(line: str) -> None:
    """Tells nobody."""


def probe(
    urls: list[str],
    documents: int,
    seed: int,
    settings: dict[str, dict[str, Any]],
    tell: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Plain data: how the model of `ProxChunks` answers in each format on `documents` texts of `urls`.

    `tell` hears how far it is: a line before the model is loaded, one before each format and one behind it.
    """
    recipe = configure(refine(), settings)
    stage = recipe.steps[0].stages[1]
    assert isinstance(stage, ProxChunks)
    if stage.engine is None:
        raise ConfigError("a probe needs an engine: ProxChunks.engine is null")
    texts = sample(make_plan(recipe, list_inputs(urls)), documents, seed)
    if not texts:
        raise ConfigError(f"{', '.join(urls)}: no text to probe with")
    tell(f"probe: {len(texts):,} documents, {len(FORMATS)} formats; opening {stage.engine}")
    asker = open_asker(parse(stage.engine, "ProxChunks"), str(stage.model_id))
    tried: list[dict[str, Any]] = []
    try:
        for number, name in enumerate(FORMATS, 1):
            tell(f"probe: {name} ({number} of {len(FORMATS)}) ...")
            begun = time.monotonic()
            tried.append(try_format(stage, asker, name, texts))
            tell(f"probe: {name}: {_short(tried[-1])}, in {duration(time.monotonic() - begun)}")
    finally:
        asker.engine.close()
    acceptable = [one for one in tried if one["acceptable"]]
    return {
        "engine": stage.engine,
        "model": stage.model_id,
        "input": urls,
        "seed": seed,
        "documents": len(texts),
        "formats": tried,
        "best": max(acceptable, key=lambda one: one["operations"])["prompt_format"] if acceptable else None,
    }


def _short(one: dict[str, Any]) -> str:
    """The figures of a format in a few words."""
    lost = "".join(f", {one[what]:,} {what}" for what in ("skipped", "failed") if one[what])
    return f"{one['asked']:,} asked{lost}, operations {one['operations']:.0%}, words kept {one['words']:.0%}"


def try_format(stage: ProxChunks, asker: Asker, name: PromptFormat, texts: list[str]) -> dict[str, Any]:
    """The figures of one format."""
    found = dataclasses.replace(stage, prompt_format=name).refining(asker).refine(texts)
    asked = [(text, r) for text, r in zip(texts, found, strict=True) if r.answers and not r.failure]
    n = len(asked)
    before = sum(len(text.split()) for text, _ in asked)
    after = sum(len(r.result.text.split()) for _, r in asked)
    operations = sum(r.program.acts for _, r in asked) / n if n else 0.0
    kept = sum(r.result.decision not in DROPS for _, r in asked) / n if n else 0.0
    words = after / before if before else 0.0
    return {
        "prompt_format": name,
        "asked": n,
        "skipped": sum(not r.answers and not r.failure for r in found),
        "failed": sum(r.failure is not None for r in found),
        "operations": operations,
        "kept": kept,
        "words": words,
        "faultless": sum(not r.result.errors for _, r in asked) / n if n else 0.0,
        "decisions": dict(Counter(r.decision for _, r in asked).most_common()),
        "acceptable": operations >= LEAST_OPERATIONS and kept >= LEAST_KEPT and WORDS_KEPT[0] <= words <= WORDS_KEPT[1],
    }


def as_text(found: dict[str, Any]) -> str:
    """The same as a table for a person."""
    lines = [
        f"probe of {found['model']} on {found['documents']:,} documents of {', '.join(found['input'])}, "
        f"seed {found['seed']}",
        "",
        f"{'prompt_format':<15}{'asked':>7}{'operations':>12}{'kept':>8}{'words':>8}{'faultless':>11}",
    ]
    for one in found["formats"]:
        lines.append(
            f"{one['prompt_format']:<15}{one['asked']:>7,}{one['operations']:>12.1%}{one['kept']:>8.1%}"
            f"{one['words']:>8.3f}{one['faultless']:>11.1%}" + ("" if one["acceptable"] else "  not acceptable")
        )
    rules = (
        f"acceptable: operations >= {LEAST_OPERATIONS:.0%}, kept >= {LEAST_KEPT:.0%}, "
        f"words from {WORDS_KEPT[0]} to {WORDS_KEPT[1]}"
    )
    if found["best"] is None:
        return "\n".join([*lines, "", rules, "no format is acceptable: another model, or other pages"])
    return "\n".join([*lines, "", rules, f"best: --set ProxChunks.prompt_format={found['best']}"])
