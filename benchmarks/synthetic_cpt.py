"""Closed-book questions after continued pretraining on articles, on paraphrases, and on what EntiGraph makes of them.

A tiny Llama, the base, is trained from scratch on articles of a made-up world (fact_world.py) in every form, and on
question-answer pairs about them: it knows the language, and how a question is answered from memory (Physics of Language
Models 3.1, mixed training). Then it goes on, from the same weights, on articles that are new to it, in one of the
forms, as many tokens of each:

    raw          the articles, again and again
    paraphrase   each time in other words, every sentence and its two names where they were
    entigraph    stages/synthesize's texts on every two and three entities, written by templates (template_engine.py)

with questions about the base's articles in between, the same in all arms, and is asked about the new ones. An answer is
right when the greedy continuation is the answer and nothing else: likelihood among candidates would need a list of
wrong answers, and its chance level hides small gains. Texts and questions are shuffled all together before they are
packed; `adjacent` is `entigraph` with the texts of one article beside each other, blocks shuffled. A seed has articles
and an order of its own; intervals are over seeds with one base. Weights are averaged (a moving average), so that every
checkpoint of a run counts as a measurement; `law` is stages/synthesize/scaling.py's on those of `entigraph`, x in
million tokens of its texts.

    python benchmarks/synthetic_cpt.py [--scale cpu|gpu|smoke] [--seeds 3] [--kept FOLDER] [--tokens N ...]

One command from nothing: it makes the world, trains the base (or takes it from --kept), runs every arm of every seed
and writes the result. `smoke` goes through all of it in seconds, with a model too small to learn anything, and writes
no result. How long it takes: benchmarks/README.md.
"""

import argparse
import copy
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from closed_book import Shape, Words, fresh, packed, right, train
from fact_world import KINDS, RELATIONS, Document, Question, make_world, questions
from record import record
from template_engine import recombined

from stages.synthesize.content import headed
from stages.synthesize.scaling import fit

Documents = tuple[Document, ...]
ARMS = ("raw", "paraphrase", "entigraph", "adjacent")
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's, two-sided, by seeds


@dataclass(frozen=True)
class Size:
    """How large the world, the model and the trainings are.

    `known` articles are the base's, on `base_tokens` of texts at `base_rate`; each of `groups` has `documents` new
    ones, on `tokens` of texts at `rate`. Tokens of questions are `asked` times those of texts.
    """

    known: int
    documents: int
    groups: int
    base_tokens: int
    tokens: int
    asked: float
    shape: Shape
    batch: int
    base_rate: float
    rate: float
    checkpoints: int = 12


LEAST_CHECKPOINTS = 8  # two exponentials have five unknowns, and half of the points are to foretell the rest
SIZES = {
    "cpu": Size(48, 24, 6, 420_000, 240_000, 0.5, Shape(128, 3, 256, 128), 4, 3e-3, 1e-3),
    "smoke": Size(6, 4, 2, 6_000, 4_000, 0.5, Shape(32, 1, 32, 64), 4, 3e-3, 1e-3, LEAST_CHECKPOINTS),
    "gpu": Size(1000, 500, 8, 40_000_000, 10_000_000, 0.5, Shape(512, 8, 1536, 256), 32, 1e-3, 5e-4),
}
Passes = Iterator[list[str]]


def texts_of(arm: str, documents: Documents, seed: int) -> Passes:
    """Pass after pass over the articles: the texts of each pass, in the order in which they are trained on."""
    draw = random.Random(seed)
    groups = recombined(documents, seed) if arm in ("entigraph", "adjacent") else []
    while True:
        if arm == "raw":
            texts = [headed(d.title, None, d.text) for d in documents]
        elif arm == "paraphrase":
            texts = [headed(d.title, None, d.paraphrase(draw)) for d in documents]
        elif arm == "entigraph":
            texts = [text for group in groups for text in group]
        else:
            yield [text for group in draw.sample(groups, len(groups)) for text in draw.sample(group, len(group))]
            continue
        draw.shuffle(texts)
        yield texts


def vocabulary(documents: Documents) -> list[str]:
    """Texts that hold every word that any text made from `documents` can."""
    forms = [form for r in RELATIONS.values() for form in (*r.forward, *r.reverse, r.subject_is, r.object_is) if form]
    asked = [f"Question: {q.text} Answer: {q.answer}" for q in exam(documents)]
    said = next(texts_of("raw", documents, 0)) + next(texts_of("entigraph", documents[:2], 0))
    return [*said, *asked, *(form.format(s="", o="") for form in forms)]


def exam(documents: Documents) -> list[Question]:
    return [question for document in documents for question in questions(document.facts)]


def taken(passes: Iterator[list[list[int]]], tokens: int) -> list[list[int]]:
    """Texts of pass after pass up to `tokens`."""
    found: list[list[int]] = []
    for texts in passes:
        for text in texts:
            if tokens <= 0:
                return found
            found.append(text[:tokens])
            tokens -= len(text)
    return found


def stream(
    forms: tuple[str, ...], documents: Documents, known: Documents, words: Words, size: Size, seed: int, tokens: int
) -> torch.Tensor:
    """Blocks of a whole training, in order: `tokens` of `documents`, of each form as many, and questions on `known`."""
    draw = random.Random(seed)
    trained = [asked + answer for asked, answer in map(words.question, exam(known))]

    def shuffled() -> Iterator[list[list[int]]]:
        while True:
            yield draw.sample(trained, len(trained))

    texts = []
    for form in forms:
        passes = ([words.text(text) for text in texts] for texts in texts_of(form, documents, seed))
        texts += taken(passes, tokens // len(forms))
    asked = taken(shuffled(), int(tokens * size.asked))
    if forms == ("adjacent",):
        blocks = torch.cat([packed(texts, size.shape.block), packed(asked, size.shape.block)])
        return blocks[torch.tensor(draw.sample(range(len(blocks)), len(blocks)))]
    mixed = texts + asked
    draw.shuffle(mixed)
    return packed(mixed, size.shape.block)


def accuracy(model: Any, words: Words, asked: list[Question]) -> dict[str, float]:
    """In percent, of all and of each kind."""
    verdicts = right(model, words, asked)
    found = {"all": 100 * statistics.mean(verdicts)}
    for kind in KINDS:
        found[kind] = 100 * statistics.mean(v for v, q in zip(verdicts, asked, strict=True) if q.kind == kind)
    return {kind: round(value, 2) for kind, value in found.items()}


def made_base(size: Size, known: Documents, words: Words, device: str, kept: Path | None) -> tuple[Any, Any]:
    """The model that all arms go on from, and what it knows of its own articles; taken from `kept` if it is there."""
    model = fresh(words, size.shape, 0, device)
    file = kept / "base.pt" if kept else None
    if file and file.exists():
        state, looks = torch.load(file, weights_only=True)
        model.load_state_dict(state)
        return model, looks
    blocks = stream(ARMS[:3], known, known, words, size, 0, size.base_tokens)
    mine = exam(known)

    def look(model: Any) -> dict[str, float]:
        return accuracy(model, words, mine)

    looks, averaged = train(model, blocks, size.base_rate, size.batch, size.checkpoints, look)
    if file:
        torch.save((averaged.state_dict(), looks), file)
    return averaged, looks


def kept_runs(kept: Path | None, size: Size) -> list[dict[str, Any]]:
    """Runs of an earlier command of the same size; another size is another folder."""
    if kept is None:
        return []
    kept.mkdir(parents=True, exist_ok=True)
    told = json.dumps(settings_of(size))
    about = kept / "size.json"
    if about.exists() and about.read_text() != told:
        raise SystemExit(f"{kept} is of {about.read_text()}, and {told} is asked for: name another folder")
    about.write_text(told)
    runs = kept / "runs.jsonl"
    return [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []


def measure(arm: str, base: Any, group: Documents, known: Documents, words: Words, size: Size, seed: int) -> Any:
    """One continued pretraining from `base`."""
    clock = time.process_time()
    blocks = stream((arm,), group, known, words, size, seed, size.tokens)
    tested = exam(group)

    def look(model: Any) -> dict[str, float]:
        return accuracy(model, words, tested)

    before = look(base)
    looks, _ = train(copy.deepcopy(base), blocks, size.rate, size.batch, size.checkpoints, look)
    seconds = round(time.process_time() - clock, 1)
    return {"arm": arm, "seed": seed, "before": before, "looks": looks, "cpu_seconds": seconds}


def interval(values: list[float]) -> dict[str, Any]:
    """Mean over seeds and the half of its 95 % interval by Student's t."""
    half = None
    if len(values) > 1:
        half = round(T95.get(len(values), 2.3) * statistics.stdev(values) / math.sqrt(len(values)), 2)
    return {"mean": round(statistics.mean(values), 2), "plus_minus": half, "seeds": values}


def summary(runs: list[dict[str, Any]], size: Size) -> dict[str, Any]:
    """Accuracies with intervals, curves over tokens of texts, and the law of `entigraph`."""
    arms = {}
    for arm in dict.fromkeys(run["arm"] for run in runs):
        mine = [run for run in runs if run["arm"] == arm]
        last = [run["looks"][-1] for run in mine]
        curve = [
            (round(looks[0]["share"] * size.tokens / 1e6, 5), round(statistics.mean(one["all"] for one in looks), 2))
            for looks in zip(*(run["looks"] for run in mine), strict=True)
        ]
        arms[arm] = {
            **{kind: interval([one[kind] for one in last]) for kind in ("all", *KINDS)},
            "curve": curve,
            "curve_by_kind": {
                kind: [
                    round(statistics.mean(one[kind] for one in looks), 2)
                    for looks in zip(*(run["looks"] for run in mine), strict=True)
                ]
                for kind in KINDS
            },
            "loss": [one["loss"] for one in last],
            "cpu_seconds": [run["cpu_seconds"] for run in mine],
        }
    found: dict[str, Any] = {"arms": arms}
    for better, worse in (
        ("entigraph", "paraphrase"),
        ("paraphrase", "raw"),
        ("entigraph", "raw"),
        ("entigraph", "adjacent"),
    ):
        if {better, worse} <= arms.keys():
            last = {(run["arm"], run["seed"]): run["looks"][-1]["all"] for run in runs}
            both = sorted(seed for arm, seed in last if arm == better and (worse, seed) in last)
            gains = [round(last[better, seed] - last[worse, seed], 2) for seed in both]
            found[f"{better}_minus_{worse}"] = interval(gains)
    if "entigraph" in arms:
        before = round(statistics.mean(run["before"]["all"] for run in runs if run["arm"] == "entigraph"), 2)
        points = [(0.0, before), *arms["entigraph"]["curve"]]
        law, half = fit(points, terms=2), fit(points[: 1 + len(points) // 2], terms=2)
        found["law"] = {
            "points": points,
            "ceiling": round(law.ceiling, 2),
            "ceiling_is_the_bound": law.ceiling >= 100,  # then the points are too straight to tell where it ends
            "weights": [round(w, 3) for w in law.weights],
            "rates": list(law.rates),
            "error": round(law.error, 3),
            "first_half_foretells": {"accuracy": round(half.accuracy(points[-1][0]), 2), "measured": points[-1][1]},
            "twice_the_tokens_add": round(law.gain(size.tokens / 1e6, size.tokens / 1e6), 2),
        }
    return found


def corpus(documents: Documents, words: Words) -> dict[str, dict[str, int]]:
    """How much there is of one group: the articles, and what EntiGraph makes of them. Paraphrases have no end."""
    texts = {arm: next(texts_of(arm, documents, 1)) for arm in ("raw", "entigraph")}
    return {arm: {"texts": len(all_), "tokens": sum(map(len, map(words.text, all_)))} for arm, all_ in texts.items()}


def settings_of(size: Size) -> dict[str, Any]:
    settings = asdict(size)
    return {**settings.pop("shape"), **settings}


def asked_size(arguments: argparse.Namespace) -> Size:
    """That of the scale, with what the command line changes."""
    size = SIZES[arguments.scale]
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    shape = replace(size.shape, **{f.name: given[f.name] for f in fields(Shape) if f.name in given})
    return replace(size, shape=shape, **{f.name: given[f.name] for f in fields(Size) if f.name in given})


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--seeds", type=int, help="3 unless it is given; 2 of a smoke run")
    parser.add_argument("--first", type=int, default=1, help="the first seed; each has a group of articles")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--kept", type=Path, help="a folder for base and runs: the same command goes on from there")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    for settings in (Size, Shape):
        for field in fields(settings):
            if field.name != "shape":
                parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type)
    arguments = parser.parse_args()
    smoke = arguments.scale == "smoke"
    arguments.seeds = arguments.seeds or (2 if smoke else 3)
    size = asked_size(arguments)
    if arguments.first + arguments.seeds - 1 > size.groups:
        parser.error(f"there are {size.groups} groups of new articles, one a seed: ask for more --groups")
    if size.checkpoints < LEAST_CHECKPOINTS:
        parser.error(f"--checkpoints should be at least {LEAST_CHECKPOINTS}, or no law can be fitted to them")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    world = make_world(size.known + size.groups * size.documents, seed=1)
    known, words = world[: size.known], Words(vocabulary(world))
    runs = kept_runs(arguments.kept, size)
    base, base_looks = made_base(size, known, words, device, arguments.kept)
    arms = arguments.arms.split(",")
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        begin = size.known + (seed - 1) * size.documents
        for arm in arms:
            if any((run["arm"], run["seed"]) == (arm, seed) for run in runs):
                continue
            runs.append(measure(arm, base, world[begin : begin + size.documents], known, words, size, seed))
            print({key: runs[-1][key] for key in ("arm", "seed", "cpu_seconds")}, file=sys.stderr, flush=True)
            if arguments.kept:
                with (arguments.kept / "runs.jsonl").open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    found = summary(runs, size)
    about = {
        "device": device,
        "scale": arguments.scale,
        "size": settings_of(size),
        "parameters": sum(p.numel() for p in base.parameters()),
        "vocabulary": len(words),
        "questions": len(exam(world[: size.documents])),
        "corpus": corpus(world[size.known : size.known + size.documents], words),
        "base": {"own_articles": base_looks[-1], "new_articles": [run["before"]["all"] for run in runs]},
    }
    if arguments.dry or smoke:
        print(about, found)
    else:
        record("synthetic_cpt", {**about, **found})


if __name__ == "__main__":
    main()
