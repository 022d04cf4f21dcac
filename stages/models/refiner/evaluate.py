"""How well a refiner does on labelled documents, the whole way: numbered chunks, programs, parsing, lines removed.

Noise is the positive class: precision is the share of removed lines that are noise, recall the share of noise that is
removed, F1 = 2TP / (2TP + FP + FN) as ProX has it (methods 1.8). To remove nothing then scores 0 whatever the text, so
the other class is told too: `keep_f1`, and `macro_f1`, the mean of both, where "keep all" is a real rival. Blank lines
do not count. A program that does not parse, or names lines that the model was not shown, leaves its chunk as it was.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stages.refine.labels import Document
from stages.refine.lines import Chunk, chunk
from stages.refine.program import RemoveLines, parse_program
from stages.refine.prompt_format import chunk_prompt

Generate = Callable[[Sequence[str]], Sequence[str]]
Cost = Callable[[Sequence[str]], Sequence[int]]


class Refined(NamedTuple):
    """What a refiner made of a document: lines it removed, chunks it was shown, and programs that were no good."""

    removed: frozenset[int]
    chunks: int
    invalid: int


def refine(documents: Sequence[Document], generate: Generate, cost: Cost, chunk_tokens: int) -> list[Refined]:
    """Each document the way the stage does it."""
    chunks = [(i, c) for i, d in enumerate(documents) for c in chunk("\n".join(d.lines), cost, chunk_tokens)]
    shown = [(i, c) for i, c in chunks if c.tokens <= chunk_tokens]
    outputs = generate([chunk_prompt(c.text, "plain") for _, c in shown])
    removed: dict[int, set[int]] = defaultdict(set)
    counts: Counter[tuple[int, str]] = Counter()
    for (i, part), output in zip(shown, outputs, strict=True):
        lines = removed_lines(output, part)
        counts[i, "chunks"] += 1
        counts[i, "invalid"] += lines is None
        removed[i] |= lines or set()
    return [Refined(frozenset(removed[i]), counts[i, "chunks"], counts[i, "invalid"]) for i in range(len(documents))]


def removed_lines(output: str, part: Chunk) -> set[int] | None:
    """The lines that a program removes; None for a program with a fault."""
    program = parse_program(output, within=(part.first, part.last))
    if program.errors or not program.ops:
        return None
    return {n for op in program.ops if isinstance(op, RemoveLines) for n in range(op.start, op.end + 1)}


def figures(documents: Sequence[Document], removed: Sequence[frozenset[int]]) -> dict[str, Any]:
    """Over all lines of all documents."""
    counts: Counter[tuple[bool, bool]] = Counter()
    words = kept_words = 0
    for document, gone in zip(documents, removed, strict=True):
        for i, (line, keep) in enumerate(zip(document.lines, document.keep, strict=True)):
            n = len(line.split())
            words += n
            kept_words += n * (i not in gone)
            if line:
                counts[not keep, i in gone] += 1
    hit, missed = counts[True, True], counts[True, False]
    false, right = counts[False, True], counts[False, False]
    noise_f1, keep_f1 = f1(hit, false, missed), f1(right, missed, false)
    return {
        "documents": len(documents),
        "lines": counts.total(),
        "noise_share": round((hit + missed) / max(counts.total(), 1), 4),
        "f1": round(noise_f1, 4),
        "precision": round(hit / max(hit + false, 1), 4),
        "recall": round(hit / max(hit + missed, 1), 4),
        "keep_f1": round(keep_f1, 4),
        "macro_f1": round((noise_f1 + keep_f1) / 2, 4),
        "accuracy": round((hit + right) / max(counts.total(), 1), 4),
        "words_kept": round(kept_words / max(words, 1), 4),
    }


def f1(hit: int, false: int, missed: int) -> float:
    return 2 * hit / (2 * hit + false + missed) if hit else 0.0


def programs_valid(refined: Sequence[Refined]) -> float:
    chunks = sum(r.chunks for r in refined)
    return round(1 - sum(r.invalid for r in refined) / max(chunks, 1), 4)


def token_cost(tokenizer: Any) -> Cost:
    """Tokens of each numbered line, as the stage counts them."""
    return lambda lines: [len(ids) for ids in tokenizer(list(lines))["input_ids"]]


def generator(model: Any, tokenizer: Any, batch: int = 32, max_new_tokens: int = 640) -> Generate:
    """Greedy answers, of batches sorted by length."""

    def generate(prompts: Sequence[str]) -> list[str]:
        import torch  # noqa: PLC0415

        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers: dict[int, str] = {}
        for begin in range(0, len(order), batch):
            part = order[begin : begin + batch]
            inputs = tokenizer([prompts[i] for i in part], return_tensors="pt", padding=True)
            with torch.inference_mode():
                found = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                )
            texts = tokenizer.batch_decode(found[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            answers.update(zip(part, texts, strict=True))
        return [answers[i] for i in range(len(prompts))]

    return generate
