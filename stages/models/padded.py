"""Answers of a causal model over batches padded on the left, whatever sampling their rows ask for.

As transformers' `generate` with a `DynamicCache`, token for token, except that rows leave the batch once they have
ended: programs of a few words do not wait for the longest. With the lengths of ProX's programs (mean 21 tokens, longest
49, prompts of 190) that takes 0.6 to 0.8 of the CPU seconds.
"""

from collections.abc import Sequence
from inspect import signature
from threading import Lock
from timeit import default_timer
from typing import Any

from stages.models.batches import Row
from stages.models.decoding import Voice, choose, voice
from stages.models.engine import Answer, Failure, Sampling
from stages.models.grammars import Follower, Vocabulary, open_vocabulary
from stages.stage import StageError

LEAVE = 0.75  # share of rows that are left when the others leave: each time the cache is copied


class Padded:
    """A causal model as it is asked in batches. Settings that came with the model (top_k, penalties) do not count."""

    def __init__(self, model: Any, tokenizer: Any, who: str) -> None:
        if getattr(model, "_is_stateful", False):
            raise StageError(f"{who}: {type(model).__name__} keeps a state instead of a cache; use vllm: for it")
        self.model, self.tokenizer, self.who = model, tokenizer, who
        self.ends = _ends(model, tokenizer)
        pads = (tokenizer.pad_token_id, model.config.get_text_config().pad_token_id, *self.ends, 0)
        self.pad = next(int(pad) for pad in pads if pad is not None and pad >= 0)
        known = signature(model.forward).parameters
        self.extra = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._placed = "position_ids" in known
        self._vocabulary: Vocabulary | None = None
        self._opening = Lock()

    def answers(self, batch: Sequence[Row], samplings: Sequence[Sampling]) -> list[Answer | Failure]:
        """One for each row, in order."""
        begin = default_timer()
        failed: dict[int, Failure] = {}
        voices: dict[int, Voice] = {}
        for i, (row, sampling) in enumerate(zip(batch, samplings, strict=True)):
            try:
                voices[i] = voice(row.tokens, sampling, self._follow(sampling), self.model.device)
            except ValueError as error:
                failed[i] = Failure(str(error))
        if voices:
            self._speak([batch[i].tokens for i in voices], list(voices.values()))
        share = (default_timer() - begin) / len(batch)
        return [
            failed[i] if i in failed else voices[i].answer(len(row.tokens), self.ends, self.tokenizer, share)
            for i, row in enumerate(batch)
        ]

    def _speak(self, prompts: list[tuple[int, ...]], voices: list[Voice]) -> None:
        """Let every voice say what follows its prompt."""
        import torch  # noqa: PLC0415 - an extra
        from transformers import DynamicCache  # noqa: PLC0415

        width, device = max(map(len, prompts)), self.model.device
        ids = torch.tensor([[self.pad] * (width - len(p)) + list(p) for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        places = (mask.cumsum(1) - 1).clamp_min(0)
        cache = DynamicCache(config=self.model.config)
        with torch.inference_mode():
            while voices:
                placed = {"position_ids": places} if self._placed else {}
                output = self.model(
                    input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **placed, **self.extra
                )
                tokens = choose(voices, output.logits[:, -1].float())
                del output
                for mine, token in zip(voices, tokens, strict=True):
                    if mine.finish is None:
                        mine.take(token, self.ends, self.tokenizer)
                live = [i for i, mine in enumerate(voices) if mine.finish is None]
                if not live or len(live) <= LEAVE * len(voices):
                    voices, tokens = [voices[i] for i in live], [tokens[i] for i in live]
                    kept = torch.tensor(live, dtype=torch.long, device=device)
                    cache.batch_select_indices(kept)
                    mask, places = mask[kept], places[kept]
                ids = torch.tensor(tokens, dtype=torch.long, device=device)[:, None]
                mask = torch.cat([mask, mask.new_ones((len(mask), 1))], dim=1)
                places = places[:, -1:] + 1

    def _follow(self, sampling: Sampling) -> Follower | None:
        if sampling.grammar is None:
            return None
        with self._opening:
            if self._vocabulary is None:
                width = int(self.model.get_output_embeddings().weight.shape[0])
                self._vocabulary = open_vocabulary(self.tokenizer, width, self.ends, self.who)
        return self._vocabulary.follow(sampling.grammar)


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end an answer, as the model's generation settings name them; else the tokenizer's."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return () if ends is None else tuple(ends) if isinstance(ends, list | tuple) else (int(ends),)
