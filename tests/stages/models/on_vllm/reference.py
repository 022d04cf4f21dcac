"""What transformers makes of the same folder, one prompt at a time in float32."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.stages.models import tiny


@cache
def loaded(kind: Any, folder: Path) -> Any:
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


def tokens_of(folder: Path, text: str) -> list[int]:
    return list(AutoTokenizer.from_pretrained(folder)(text)["input_ids"])


@torch.inference_mode()
def greedy(folder: Path, tokens: Sequence[int], length: int, model: Any = None) -> tuple[str, int]:
    """(text, number of tokens) of the greedy answer."""
    model = model or loaded(AutoModelForCausalLM, folder)
    prompt = torch.tensor([list(tokens)])
    found = model.generate(prompt, max_new_tokens=length, do_sample=False, pad_token_id=tiny.PAD)[0, len(tokens) :]
    return AutoTokenizer.from_pretrained(folder).decode(found, skip_special_tokens=True), len(found)


@torch.inference_mode()
def logprobs(folder: Path, tokens: Sequence[int]) -> list[float]:
    """Of each token after the first."""
    found = loaded(AutoModelForCausalLM, folder)(torch.tensor([list(tokens)])).logits[0].log_softmax(-1)
    return [float(found[i - 1, token]) for i, token in enumerate(tokens) if i]


@torch.inference_mode()
def logits(folder: Path, tokens: Sequence[int]) -> list[float]:
    return loaded(AutoModelForSequenceClassification, folder)(torch.tensor([list(tokens)])).logits[0].tolist()


@torch.inference_mode()
def last_token(folder: Path, tokens: Sequence[int]) -> list[float]:
    """The last token's hidden state, of length 1."""
    hidden = loaded(AutoModel, folder)(torch.tensor([list(tokens)])).last_hidden_state[0, -1]
    return (hidden / hidden.norm()).tolist()
