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

    python benchmarks/synthetic_cpt.py [--scale cpu|gpu] [--seeds 3] [--base FILE] [--documents N --tokens N ...]
"""

import argparse
import copy
import math
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fact_world import KINDS, RELATIONS, Document, Question, make_world, questions
from record import record
from template_engine import recombined
from transformers import LlamaConfig, LlamaForCausalLM

from stages.synthesize.content import headed
from stages.synthesize.scaling import fit

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
WORD = re.compile(r"###|\w+|[^\w\s]")
Documents = tuple[Document, ...]
ARMS = ("raw", "paraphrase", "entigraph", "adjacent")
DECAY = 0.98  # of the moving average of the weights, a step
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
    hidden: int
    layers: int
    inner: int
    block: int
    batch: int
    base_rate: float
    rate: float
    checkpoints: int = 10


SIZES = {
    "cpu": Size(48, 24, 6, 420_000, 120_000, 0.5, 128, 3, 256, 128, 4, 3e-3, 1e-3),
    "gpu": Size(1000, 500, 8, 40_000_000, 10_000_000, 0.5, 512, 8, 1536, 256, 32, 1e-3, 5e-4),
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


class Words:
    """Words and signs as tokens, small letters; the vocabulary is that of all texts it is made of."""

    def __init__(self, texts: list[str]) -> None:
        words = {word for text in texts for word in WORD.findall(text.lower())}
        self.ids = {word: number for number, word in enumerate([PAD, BEGIN, END, *sorted(words)])}

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, text: str) -> list[int]:
        return [self.ids[word] for word in WORD.findall(text.lower())]

    def text(self, text: str) -> list[int]:
        return [self.ids[BEGIN], *self.encode(text), self.ids[END]]

    def question(self, question: Question) -> tuple[list[int], list[int]]:
        """What is asked, and what has to follow."""
        asked = [self.ids[BEGIN], *self.encode(f"Question: {question.text} Answer:")]
        return asked, [*self.encode(question.answer), self.ids[END]]


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
        blocks = torch.cat([packed(texts, size.block), packed(asked, size.block)])
        return blocks[torch.tensor(draw.sample(range(len(blocks)), len(blocks)))]
    mixed = texts + asked
    draw.shuffle(mixed)
    return packed(mixed, size.block)


def packed(texts: list[list[int]], block: int) -> torch.Tensor:
    flat = torch.tensor([token for text in texts for token in text])
    return flat[: len(flat) // block * block].view(-1, block)


def right(model: Any, words: Words, asked: list[Question], device: str) -> list[bool]:
    """Whether each greedy continuation is the answer and its end: so it is when every token of them comes first."""
    pairs = sorted(((*words.question(q), at) for at, q in enumerate(asked)), key=lambda p: len(p[0]) + len(p[1]))
    verdicts = [False] * len(asked)
    for begin in range(0, len(pairs), 128):
        part = pairs[begin : begin + 128]
        width = max(len(q) + len(a) for q, a, _ in part)
        rows = torch.tensor([[*q, *a, *[0] * (width - len(q) - len(a))] for q, a, _ in part], device=device)
        with torch.inference_mode():
            first = model(input_ids=rows, use_cache=False).logits.argmax(-1).cpu()
        for row, (q, a, at) in enumerate(part):
            verdicts[at] = first[row, len(q) - 1 : len(q) + len(a) - 1].tolist() == a
    return verdicts


def accuracy(model: Any, words: Words, asked: list[Question], device: str) -> dict[str, float]:
    """In percent, of all and of each kind."""
    verdicts = right(model, words, asked, device)
    found = {"all": 100 * statistics.mean(verdicts)}
    for kind in KINDS:
        found[kind] = 100 * statistics.mean(v for v, q in zip(verdicts, asked, strict=True) if q.kind == kind)
    return {kind: round(value, 2) for kind, value in found.items()}


def fresh(words: Words, size: Size, seed: int, device: str) -> Any:
    """A model of random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // 32,
        max_position_embeddings=size.block,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).to(device)


def train(
    model: Any, blocks: torch.Tensor, rate: float, size: Size, device: str, look: Callable[[Any], dict[str, float]]
) -> tuple[list[dict[str, float]], Any]:
    """`look` at the averaged model at each checkpoint, and that model."""
    averaged = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    steps = len(blocks) // size.batch
    stops = {round(steps * (k + 1) / size.checkpoints) for k in range(size.checkpoints)}
    looks = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / (0.05 * steps))
        batch = blocks[step * size.batch : (step + 1) * size.batch].to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            new = [p.detach() for p in model.parameters()]
            torch._foreach_lerp_([p.data for p in averaged.parameters()], new, 1 - min(DECAY, step / (step + 10)))
        if step + 1 in stops:
            looks.append({"share": (step + 1) / steps, "loss": round(loss.item(), 3), **look(averaged)})
            print(looks[-1], file=sys.stderr, flush=True)
    return looks, averaged


def interval(values: list[float]) -> dict[str, Any]:
    """Mean over seeds and the half of its 95 % interval by Student's t."""
    half = None
    if len(values) > 1:
        half = round(T95.get(len(values), 2.3) * statistics.stdev(values) / math.sqrt(len(values)), 2)
    return {"mean": round(statistics.mean(values), 2), "plus_minus": half, "seeds": values}


def made_base(size: Size, known: Documents, words: Words, device: str, kept: Path | None) -> tuple[Any, Any]:
    """The model that all arms go on from, and what it knows of its own articles; taken from `kept` if it is there."""
    model = fresh(words, size, 0, device)
    if kept and kept.exists():
        state, looks = torch.load(kept)
        model.load_state_dict(state)
        return model, looks
    blocks = stream(ARMS[:3], known, known, words, size, 0, size.base_tokens)
    mine = exam(known)
    looks, averaged = train(model, blocks, size.base_rate, size, device, lambda m: accuracy(m, words, mine, device))
    if kept:
        torch.save((averaged.state_dict(), looks), kept)
    return averaged, looks


def measure(arm: str, base: Any, group: Documents, known: Documents, words: Words, size: Size, seed: int) -> Any:
    """One continued pretraining from `base`."""
    clock, device = time.process_time(), base.device.type
    blocks = stream((arm,), group, known, words, size, seed, size.tokens)
    tested = exam(group)

    def look(model: Any) -> dict[str, float]:
        return accuracy(model, words, tested, device)

    before = look(base)
    looks, _ = train(copy.deepcopy(base), blocks, size.rate, size, device, look)
    seconds = round(time.process_time() - clock, 1)
    return {"arm": arm, "seed": seed, "before": before, "looks": looks, "cpu_seconds": seconds}


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
            "loss": [one["loss"] for one in last],
            "cpu_seconds": [run["cpu_seconds"] for run in mine],
        }
    found: dict[str, Any] = {"arms": arms}
    if {"raw", "paraphrase", "entigraph"} <= arms.keys():
        for better, worse in (("entigraph", "paraphrase"), ("paraphrase", "raw"), ("entigraph", "adjacent")):
            if worse in arms:
                pairs = zip(arms[better]["all"]["seeds"], arms[worse]["all"]["seeds"], strict=True)
                found[f"{better}_minus_{worse}"] = interval([round(b - w, 2) for b, w in pairs])
    if "entigraph" in arms:
        before = round(statistics.mean(run["before"]["all"] for run in runs if run["arm"] == "entigraph"), 2)
        points = [(0.0, before), *arms["entigraph"]["curve"]]
        law = fit(points, terms=2)
        found["law"] = {
            "points": points,
            "ceiling": round(law.ceiling, 2),
            "weights": [round(w, 3) for w in law.weights],
            "rates": list(law.rates),
            "error": round(law.error, 3),
            "twice_the_tokens_add": round(law.gain(size.tokens / 1e6, size.tokens / 1e6), 2),
        }
    return found


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="the first seed; each has a group of articles")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--base", type=Path, help="where the base model is kept, and taken from if it is there")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    for name, kind in Size.__annotations__.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    arguments = parser.parse_args()
    changed = {name: value for name in Size.__annotations__ if (value := getattr(arguments, name)) is not None}
    size = Size(**{**vars(SIZES[arguments.scale]), **changed})
    if arguments.first + arguments.seeds - 1 > size.groups:
        parser.error(f"there are {size.groups} groups of new articles, one a seed: ask for more --groups")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    world = make_world(size.known + size.groups * size.documents, seed=1)
    known, words = world[: size.known], Words(vocabulary(world))
    base, base_looks = made_base(size, known, words, device, arguments.base)
    runs = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        begin = size.known + (seed - 1) * size.documents
        for arm in arguments.arms.split(","):
            runs.append(measure(arm, base, world[begin : begin + size.documents], known, words, size, seed))
            print({key: runs[-1][key] for key in ("arm", "seed", "cpu_seconds")}, file=sys.stderr, flush=True)
    found = summary(runs, size)
    about = {
        "device": device,
        "scale": arguments.scale,
        "size": vars(size),
        "parameters": sum(p.numel() for p in base.parameters()),
        "vocabulary": len(words),
        "questions": len(exam(world[: size.documents])),
        "base": {"own_articles": base_looks[-1], "new_articles": [run["before"]["all"] for run in runs]},
    }
    if arguments.dry:
        print(about, found)
    else:
        record("synthetic_cpt", {**about, **found})


if __name__ == "__main__":
    main()
