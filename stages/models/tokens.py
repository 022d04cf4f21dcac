"""Prompts as tokens, by the model's own tokenizer; what cannot become tokens is a failure of that prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from stages.models.engine import Failure, Prompt
from stages.stage import StageError

Tokens = tuple[int, ...]


@dataclass
class Words:
    """A tokenizer that threads may share, and how much of the text its model can take."""

    tokenizer: Any
    who: str
    context: int | None
    vocabulary: int  # tokens that the model has embeddings for
    lock: Lock = field(default_factory=Lock)

    def encode(self, texts: Sequence[str], special: bool) -> list[list[int]]:
        """Tokens of texts; `special` ones in front if asked for."""
        if not texts:
            return []
        with self.lock:  # a fast tokenizer refuses a second thread while its settings are touched
            return [list(ids) for ids in self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]]

    def of(self, prompts: Sequence[Prompt], rooms: Sequence[int]) -> list[Tokens | Failure]:
        """Tokens of each prompt, checked against the context less the room that its answer may take."""
        texts = [i for i, prompt in enumerate(prompts) if prompt.text is not None]
        found = dict(zip(texts, self._texts([prompts[i].text or "" for i in texts]), strict=True))
        return [
            self._fits(found[i] if i in found else self._others(prompt), room)
            for i, (prompt, room) in enumerate(zip(prompts, rooms, strict=True))
        ]

    def _texts(self, texts: list[str]) -> list[Tokens | Failure]:
        try:
            return [tuple(ids) for ids in self.encode(texts, True)]
        except (TypeError, UnicodeError) as error:  # a lone surrogate in one of them
            if len(texts) == 1:
                return [Failure(f"the prompt does not become tokens: {error}")]
            return [found for text in texts for found in self._texts([text])]

    def _others(self, prompt: Prompt) -> Tokens | Failure:
        if prompt.tokens is not None:
            return prompt.tokens
        if self.tokenizer.chat_template is None:
            raise StageError(f"{self.who}: a chat was asked for, and its tokenizer has no chat template; send a text")
        messages = [{"role": role, "content": content} for role, content in prompt.chat or ()]
        try:
            with self.lock:
                found = self.tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True)
        except (TypeError, UnicodeError) as error:
            return Failure(f"the prompt does not become tokens: {error}")
        return tuple(found["input_ids"])

    def _fits(self, tokens: Tokens | Failure, room: int) -> Tokens | Failure:
        if isinstance(tokens, Failure):
            return tokens
        if not tokens:
            return Failure("the prompt has no tokens")
        if not 0 <= min(tokens) <= max(tokens) < self.vocabulary:  # on a GPU it would kill the process
            return Failure(f"token {max(tokens)} is not among the model's {self.vocabulary}")
        if self.context is not None and len(tokens) + room > self.context:
            answer = f" and an answer of {room}" if room else ""
            return Failure(f"a prompt of {len(tokens)} tokens{answer} is longer than the context of {self.context}")
        return tokens
