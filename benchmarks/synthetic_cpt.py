"""Closed-book questions after pretraining on articles as they are, on paraphrases, and on what EntiGraph makes of them.

A tiny Llama is trained from scratch on made-up articles (fact_world.py) in three forms of equally many tokens:

    raw          the articles, again and again
    paraphrase   each time in other words, every sentence and its two names where they were
    entigraph    stages/synthesize's texts on every two and three entities, written by templates (template_engine.py)

and on question-answer pairs about half of the articles, the same in all arms (Physics of Language Models 3.1, mixed
training), so that the form of a question is known. It is asked about the other half. An answer is right when the greedy
continuation is the answer and nothing else: likelihood among candidates would need a list of wrong answers, and its
chance level hides small gains. Texts and questions are shuffled all together before they are packed; `adjacent` is
`entigraph` with the texts of one article beside each other, blocks shuffled. Weights are averaged (a moving average),
so that every checkpoint of one run counts as a measurement; `law` is stages/synthesize/scaling.py's on those of
`entigraph`, x in million tokens of its texts.

    python benchmarks/synthetic_cpt.py [--scale cpu|gpu] [--seeds 3] [--arms raw,...] [--documents N --tokens N ...]
"""

import argparse
import math
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from fact_world import KINDS, Question, World, make_world, questions
from record import record
from template_engine import recombined
from transformers import LlamaConfig, LlamaForCausalLM

from stages.synthesize.content import headed
from stages.synthesize.scaling import fit

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
WORD = re.compile(r"###|\w+|[^\w\s]")
ARMS = ("raw", "paraphrase", "entigraph", "adjacent")
DECAY = 0.98  # of the moving average of the weights, a step
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's, two-sided, by seeds


@dataclass(frozen=True)
class Size:
    """How large the world, the model and the training are. `tokens` of texts; those of questions are `asked` times."""

    documents: int
    tokens: int
    asked: float
    hidden: int
    layers: int
    inner: int
    block: int
    batch: int
    rate: float
    checkpoints: int = 10


SIZES = {
    "cpu": Size(48, 240_000, 0.6, 128, 3, 256, 128, 6, 3e-3),
    "gpu": Size(2000, 60_000_000, 0.5, 512, 8, 1536, 256, 64, 1e-3),
}


def articles(world: World) -> list[str]:
    return [headed(d.title, None, d.text) for d in world.documents]


def texts_of(arm: str, world: World, seed: int) -> Iterator[list[str]]:
    """Pass after pass over the articles: the texts of each pass, in the order in which they are trained on."""
    draw = random.Random(seed)
    groups = recombined(world, seed) if arm in ("entigraph", "adjacent") else []
    while True:
        if arm == "raw":
            texts = articles(world)
        elif arm == "paraphrase":
            texts = [headed(d.title, None, d.paraphrase(draw)) for d in world.documents]
        elif arm == "entigraph":
            texts = [text for group in groups for text in group]
        else:
            yield [text for group in draw.sample(groups, len(groups)) for text in draw.sample(group, len(group))]
            continue
        draw.shuffle(texts)
        yield texts


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


def exam(world: World) -> tuple[list[Question], list[Question]]:
    """Questions that are trained on, and those of the test."""
    sides: tuple[list[Question], list[Question]] = ([], [])
    for document in world.documents:
        sides[document.id not in world.asked].extend(questions(document.facts))
    return sides


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


def stream(arm: str, world: World, words: Words, size: Size, seed: int) -> torch.Tensor:
    """Blocks of the whole training, in order."""
    draw = random.Random(seed)
    trained = [asked + answer for asked, answer in map(words.question, exam(world)[0])]

    def shuffled() -> Iterator[list[list[int]]]:
        while True:
            yield draw.sample(trained, len(trained))

    texts = taken(([words.text(t) for t in one] for one in texts_of(arm, world, seed)), size.tokens)
    asked = taken(shuffled(), int(size.tokens * size.asked))
    if arm == "adjacent":
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


def train(
    blocks: torch.Tensor, words: Words, size: Size, seed: int, device: str, look: Callable[[Any], dict[str, float]]
) -> tuple[list[dict[str, float]], int]:
    """`look` at the averaged model at each checkpoint, and how many parameters it has."""
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
    model, averaged = (LlamaForCausalLM(config).to(device) for _ in range(2))
    averaged.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    steps = len(blocks) // size.batch
    stops = {round(steps * (k + 1) / size.checkpoints) for k in range(size.checkpoints)}
    looks = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = size.rate * min(1.0, (step + 1) / (0.05 * steps))
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
    return looks, sum(p.numel() for p in model.parameters())


def interval(values: list[float]) -> dict[str, Any]:
    """Mean over seeds and the half of its 95 % interval by Student's t."""
    half = None
    if len(values) > 1:
        half = round(T95.get(len(values), 2.3) * statistics.stdev(values) / math.sqrt(len(values)), 2)
    return {"mean": round(statistics.mean(values), 2), "plus_minus": half, "seeds": values}


def measure(arm: str, size: Size, seed: int, device: str) -> dict[str, Any]:
    """One training: a world, a model and an order of its own for each seed."""
    world = make_world(size.documents, seed)
    trained, tested = exam(world)
    everything = [next(texts_of(a, world, seed)) for a in ("raw", "entigraph")]
    told = [d.told((n,) * len(d.facts)) for d in world.documents for n in range(4)]
    asked = [f"Question: {q.text} Answer: {q.answer}" for q in trained + tested]
    words = Words([*(t for texts in everything for t in texts), *told, *asked])
    clock = time.process_time()
    blocks = stream(arm, world, words, size, seed)
    looks, parameters = train(
        blocks, words, size, seed, device, lambda model: accuracy(model, words, tested, device)
    )  # fmt: skip
    distinct = {
        "raw": len(world.documents),
        "paraphrase": None,
        "entigraph": len(everything[1]),
        "adjacent": len(everything[1]),
    }
    return {
        "arm": arm,
        "seed": seed,
        "parameters": parameters,
        "vocabulary": len(words),
        "trained_tokens": blocks.numel(),
        "test_questions": len(tested),
        "distinct_texts": distinct[arm],
        "looks": looks,
        "cpu_seconds": round(time.process_time() - clock, 1),
    }


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
        points = [(0.0, 0.0), *arms["entigraph"]["curve"]]
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
    parser.add_argument("--arms", default=",".join(ARMS))
    for name, kind in Size.__annotations__.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--dry", action="store_true", help="print each run, record nothing")
    arguments = parser.parse_args()
    changed = {name: value for name in Size.__annotations__ if (value := getattr(arguments, name)) is not None}
    size = Size(**{**vars(SIZES[arguments.scale]), **changed})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    runs = []
    for seed in range(1, arguments.seeds + 1):
        for arm in arguments.arms.split(","):
            runs.append(measure(arm, size, seed, device))
            if arguments.dry:
                print(runs[-1], flush=True)
    if arguments.dry:
        print(summary(runs, size))
        return
    about = {key: runs[0][key] for key in ("parameters", "vocabulary", "trained_tokens", "test_questions")}
    record(
        "synthetic_cpt",
        {"device": device, "scale": arguments.scale, "size": vars(size), **about, **summary(runs, size)},
    )


if __name__ == "__main__":
    main()
