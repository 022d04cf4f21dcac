"""A tiny Llama that is trained on texts and asked questions without them: tokens, packing, training, marking."""

import copy
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fact_world import Question
from transformers import LlamaConfig, LlamaForCausalLM

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
WORD = re.compile(r"###|\w+|[^\w\s]")
DECAY = 0.98  # of the moving average of the weights, a step


@dataclass(frozen=True)
class Shape:
    """Of the model, and how many tokens it sees at a time."""

    hidden: int
    layers: int
    inner: int
    block: int


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


def packed(texts: list[list[int]], block: int) -> torch.Tensor:
    flat = torch.tensor([token for text in texts for token in text])
    return flat[: len(flat) // block * block].view(-1, block)


def right(model: Any, words: Words, asked: list[Question]) -> list[bool]:
    """Whether each greedy continuation is the answer and its end: so it is when every token of them comes first."""
    pairs = sorted(((*words.question(q), at) for at, q in enumerate(asked)), key=lambda p: len(p[0]) + len(p[1]))
    verdicts = [False] * len(asked)
    for begin in range(0, len(pairs), 128):
        part = pairs[begin : begin + 128]
        width = max(len(q) + len(a) for q, a, _ in part)
        rows = torch.tensor([[*q, *a, *[0] * (width - len(q) - len(a))] for q, a, _ in part], device=model.device)
        with torch.inference_mode():
            first = model(input_ids=rows, use_cache=False).logits.argmax(-1).cpu()
        for row, (q, a, at) in enumerate(part):
            verdicts[at] = first[row, len(q) - 1 : len(q) + len(a) - 1].tolist() == a
    return verdicts


def fresh(words: Words, shape: Shape, seed: int, device: str) -> Any:
    """A model of random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 32,
        max_position_embeddings=shape.block,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).to(device)


def train(
    model: Any, blocks: torch.Tensor, rate: float, batch: int, checkpoints: int, look: Callable[[Any], dict[str, float]]
) -> tuple[list[dict[str, float]], Any]:
    """`look` at the averaged model at each checkpoint, and that model."""
    device = model.device
    averaged = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    steps = len(blocks) // batch
    stops = {round(steps * (k + 1) / checkpoints) for k in range(checkpoints)}
    looks = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / (0.05 * steps))
        rows = blocks[step * batch : (step + 1) * batch].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = model(input_ids=rows, labels=rows, use_cache=False).loss
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
