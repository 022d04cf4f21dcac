"""How well a refiner does on labelled documents, the whole way: numbered chunks, programs, parsing, lines removed.

Noise is the positive class: precision is the share of removed lines that are noise, recall the share of noise that is
removed, F1 = 2TP / (2TP + FP + FN) as ProX has it (methods 1.8). To remove nothing then scores 0 whatever the text, so
the other class is told too: `keep_f1`, and `macro_f1`, the mean of both, where "keep all" is a real rival. Blank lines
do not count. A program that does not parse, or names lines that the model was not shown, leaves its chunk as it was.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.models.refiner.folder import MAX_TOKENS
from stages.refine.labels import Document
from stages.refine.lines import Chunk, chunk
from stages.refine.program import RemoveLines, parse_program
from stages.refine.prompt_format import chunk_prompt

Flags = npt.NDArray[np.bool_]  # one a line that is not blank
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
    noise: list[bool] = []
    gone: list[bool] = []
    words = kept_words = 0
    for document, numbers in zip(documents, removed, strict=True):
        for i, (line, keep) in enumerate(zip(document.lines, document.keep, strict=True)):
            n = len(line.split())
            words += n
            kept_words += n * (i not in numbers)
            if line:
                noise.append(not keep)
                gone.append(i in numbers)
    said, true = np.array(gone, bool), np.array(noise, bool)
    hit = int((said & true).sum())
    return {
        "documents": len(documents),
        "lines": len(noise),
        "noise_share": round(sum(noise) / max(len(noise), 1), 4),
        "f1": round(f1(said, true), 4),
        "precision": round(hit / max(sum(gone), 1), 4),
        "recall": round(hit / max(sum(noise), 1), 4),
        "keep_f1": round(f1(~said, ~true), 4),
        "macro_f1": round(macro_f1(said, true), 4),
        "accuracy": round(int((said == true).sum()) / max(len(noise), 1), 4),
        "words_kept": round(kept_words / max(words, 1), 4),
    }


def f1(gone: Flags, noise: Flags) -> float:
    """Of the lines that are `gone`, as noise."""
    return 2 * int((gone & noise).sum()) / max(int(gone.sum()) + int(noise.sum()), 1)


def macro_f1(gone: Flags, noise: Flags) -> float:
    """In the mean of noise and what is kept."""
    return (f1(gone, noise) + f1(~gone, ~noise)) / 2


def programs_valid(refined: Sequence[Refined]) -> float:
    chunks = sum(r.chunks for r in refined)
    return round(1 - sum(r.invalid for r in refined) / max(chunks, 1), 4)


def token_cost(tokenizer: Any) -> Cost:
    """Tokens of each numbered line, as the stage counts them."""
    return lambda lines: [len(ids) for ids in tokenizer(list(lines))["input_ids"]]


def generator(model: Any, tokenizer: Any, batch: int = 32, max_new_tokens: int = MAX_TOKENS) -> Generate:
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
