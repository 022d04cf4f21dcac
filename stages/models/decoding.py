"""One answer while it is written: which token comes next, and where it ends.

Every row decides for itself, so that its answer does not depend on its batch. A row with a temperature draws by
Gumbel-max: argmax(log p - log E) with E exponential from the row's own `torch.Generator` is a draw from p. The rest is
rounding: logits differ by 1e-7 from one batch composition to another in float32, more in bfloat16, and a near-tie then
goes the other way. Measured on a small model: 96 of 96 answers equal at batch sizes 32 and 7, greedy ones 95 or 96 in
float32 and 90 to 96 in bfloat16. Engines of another kind (vLLM) draw other numbers from the same seed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.models.engine import Answer, Failure, Finish, Sampling, Usage
from stages.models.grammars import Follower

SLACK = 8  # tokens in front of a stop string that are decoded with it: the first of a few may lose its space


@dataclass
class Voice:
    """One row while it is answered. `finish` is None until it has ended."""

    sampling: Sampling
    follower: Follower | None = None
    generator: Any = None
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None

    def take(self, token: int, ends: Sequence[int], tokenizer: Any) -> None:
        """The next token; it may be the last."""
        self.tokens.append(token)
        if self.follower is not None:
            self.follower.take(token)
        if token in ends or self._stopped(tokenizer):
            self.finish = "stop"
        elif len(self.tokens) >= self.sampling.max_tokens:
            self.finish = "length"

    def _stopped(self, tokenizer: Any) -> bool:
        stops = self.sampling.stop
        if not stops:
            return False
        tail = decode(tokenizer, self.tokens[-max(len(stop.encode()) for stop in stops) - SLACK :])
        return any(stop in tail for stop in stops)

    def answer(self, prompt: int, ends: Sequence[int], tokenizer: Any, seconds: float) -> Answer | Failure:
        """What was said after a prompt of `prompt` tokens: without the end token, cut at the first stop string."""
        if self.follower is not None and self.follower.error is not None:
            return Failure(self.follower.error)
        said = self.tokens[:-1] if self.tokens and self.tokens[-1] in ends else self.tokens
        text = decode(tokenizer, said)
        cut = min((text.find(stop) for stop in self.sampling.stop if stop in text), default=len(text))
        usage = Usage(prompt, len(self.tokens), seconds)
        return Answer(text[:cut], "length" if self.finish == "length" and cut == len(text) else "stop", usage)


def voice(prompt: Sequence[int], sampling: Sampling, follower: Follower | None, device: Any) -> Voice:
    """A row at its begin. Without a seed its randomness comes from its prompt: still the same in every run."""
    if sampling.temperature <= 0:
        return Voice(sampling, follower)
    import torch  # noqa: PLC0415 - an extra

    seed = sampling.seed
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(repr(list(prompt)).encode()).digest()[:8], "big")
    return Voice(sampling, follower, torch.Generator(device).manual_seed(seed & (2**64 - 1)))


def choose(voices: Sequence[Voice], logits: Any) -> list[int]:
    """The next token of each row, by its row of `logits` (rows, vocabulary) in float32."""
    followed = [i for i, v in enumerate(voices) if v.follower is not None and v.finish is None]
    if followed:
        logits = _allowed(voices, logits, followed)
    drawn = [i for i, v in enumerate(voices) if v.generator is not None and v.finish is None]
    if drawn:
        logits = _drawn(voices, logits, drawn)
    tokens: list[int] = logits.argmax(1).tolist()
    return tokens


def _allowed(voices: Sequence[Voice], logits: Any, followed: list[int]) -> Any:
    """`logits` with what grammars forbid made impossible."""
    import torch  # noqa: PLC0415 - an extra

    mask = np.ones(tuple(logits.shape), np.bool_)
    for i in followed:
        follower = voices[i].follower
        assert follower is not None
        mask[i] = follower.allowed()
    return logits.masked_fill(~torch.from_numpy(mask).to(logits.device), float("-inf"))


def _drawn(voices: Sequence[Voice], logits: Any, drawn: list[int]) -> Any:
    """`logits` whose highest is a draw, in the rows that draw."""
    import torch  # noqa: PLC0415 - an extra

    device, settings = logits.device, [voices[i].sampling for i in drawn]
    rows = torch.tensor(drawn, device=device)
    mine = logits[rows] / torch.tensor([s.temperature for s in settings], device=device)[:, None]
    if any(s.top_p < 1 for s in settings):
        mine = _nucleus(mine, torch.tensor([s.top_p for s in settings], device=device)[:, None])
    noise = torch.empty_like(mine)
    for row, i in zip(noise, drawn, strict=True):
        row.exponential_(generator=voices[i].generator)
    return logits.index_copy(0, rows, mine - noise.clamp_min(1e-30).log())


def _nucleus(logits: Any, top_p: Any) -> Any:
    """The fewest most probable tokens whose probabilities reach `top_p`; the others become impossible."""
    import torch  # noqa: PLC0415 - an extra

    ordered, order = logits.sort(dim=1, descending=True, stable=True)
    before = torch.nn.functional.pad(ordered.softmax(1).cumsum(1)[:, :-1], (1, 0))
    beyond = (before >= top_p) & (top_p < 1)  # a top_p of 1 keeps all: the sum may round to 1 before the last token
    beyond[:, 0] = False
    return logits.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), float("-inf"))


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """The text of tokens, special ones left out."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))
