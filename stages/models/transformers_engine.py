"""The back end `transformers:`: a model in this process, on a GPU or a CPU, asked in padded batches sorted by length.

On a GPU with flash attention `continuous=true` lets rows come and go; on a CPU transformers' continuous batching has
less than half the speed of padded batches of 32 to 64 rows. What an answer at temperature 0 or with a seed depends on
besides its request is rounding (`stages.models.decoding`): give the same batches for the same bits.

`batch_size` and `batch_tokens` (rows x (longest prompt + longest answer)) bound a batch. The defaults suit a CPU and
small GPUs; a large one wants hundreds of rows (`batch_size=512&batch_tokens=1048576` for a model of 0.3 B parameters).
"""

from collections.abc import Callable, Iterator, Sequence
from threading import RLock
from timeit import default_timer
from typing import Any, TypeVar

import numpy as np

from stages.models.batches import Batches, Row
from stages.models.checkpoint import Head, device_of, dtype_of, head_of, load, load_config, load_tokenizer
from stages.models.continuous import Continuous, refusal
from stages.models.decoding import Voice
from stages.models.engine import Answer, Failure, Prompt, Request, Sampling, Scored, Usage, Vector
from stages.models.padded import Padded
from stages.models.pooling import Pooling, pool, pooling_of
from stages.models.scoring import token_logprobs
from stages.models.spec import Spec
from stages.models.tokens import Words
from stages.stage import StageError

T = TypeVar("T")
FLOWS = 8  # times the batch size: what continuous batching is given before its answers are passed on


class TransformersEngine:
    """An engine (`stages.models.engine.Engine`). The model is loaded as it was saved."""

    def __init__(self, spec: Spec) -> None:
        import torch  # noqa: PLC0415 - an extra

        torch.set_num_threads(spec.options["threads"])  # with more than its share of a machine a worker crawls
        self.spec = spec
        who = f"engine transformers:{spec.target}"
        self.device = device_of(spec)
        if spec.options["continuous"] and (why := refusal(self.device, dtype_of(spec, self.device))):
            raise StageError(f"{who}: continuous=true {why}")
        config = load_config(spec)
        self.saved_as = head_of(config)
        names = config.id2label if self.saved_as == "classifier" else {}
        self.labels = tuple(str(names[number]) for number in sorted(names))
        self._running = RLock()
        self._models: dict[Head, Any] = {}
        self._batches: dict[str, Batches] = {}
        tokenizer = load_tokenizer(spec)
        model = self._model(self.saved_as)
        self.context = _context(model, tokenizer, self.saved_as)
        self.words = Words(tokenizer, who, self.context, int(model.get_input_embeddings().weight.shape[0]))
        self._padded: Padded | None = None
        self._continuous: Continuous | None = None
        self._pooling: Pooling | None = None
        if self.device.type == "cuda":
            self._warm_up()

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        """Answers, the longest prompts first; requests of any sampling share a batch."""
        padded = self._causal()
        rooms = [request.sampling.max_tokens for request in requests]
        if min(rooms, default=1) < 1:
            raise StageError(f"{self.words.who}: max_tokens={min(rooms)}: an answer has at least one token")
        rows, failures = self._rows([request.prompt for request in requests], rooms)
        yield from failures
        if self._continuous is not None:
            flowing = [row for row in rows if _plain(requests[row.number].sampling)]
            done = set()
            for number, result in self._flow(self._continuous, padded, flowing, requests):
                done.add(number)
                yield number, result
            rows = [row for row in rows if row.number not in done]

        def work(batch: list[Row]) -> list[Answer | Failure]:
            with self._running:
                return padded.answers(batch, [requests[row.number].sampling for row in batch])

        yield from self._batched("generate").run(rows, work)

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        """Log-probabilities of the tokens of each prompt after the first."""
        model = self._model("causal")

        def work(ids: Any, mask: Any) -> list[Any]:
            found = token_logprobs(model, ids, mask)
            return [row[: length - 1] for row, length in zip(found, mask.sum(1).tolist(), strict=True)]

        yield from self._each("score", prompts, work, Scored)

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Embeddings of length 1, pooled as the checkpoint's own files say."""
        model = self._model("base")
        if self._pooling is None:
            self._pooling = pooling_of(self.spec.folder or self.spec.target, model)
        pooling = self._pooling

        def work(ids: Any, mask: Any) -> list[Any]:
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            return list(pool(hidden, mask, pooling).cpu().numpy())

        yield from self._each("embed", prompts, work, Vector)

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Logits of the labels."""
        model = self._model("classifier")
        if model.config.pad_token_id is None:  # by which a decoder finds the last token of a row
            model.config.pad_token_id = self.words.tokenizer.pad_token_id
        size = None if model.config.pad_token_id is not None else 1

        def work(ids: Any, mask: Any) -> list[Any]:
            return list(model(input_ids=ids, attention_mask=mask).logits.float().cpu().numpy())

        yield from self._each("classify", prompts, work, Vector, size)

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        return self.words.encode(texts, special)

    def close(self) -> None:
        """Let go of the model and its memory."""
        with self._running:
            if self._continuous is not None:
                self._continuous.close()
            self._padded = self._continuous = None
            self._models.clear()

    def _model(self, head: Head) -> Any:
        """The model with `head`, loaded when it is first asked for; one without any is the inside of what is there."""
        with self._running:
            if head == "base" and self.saved_as != "base":
                return self._models[self.saved_as].base_model
            if head not in self._models:
                attention = "flash_attention_2" if self.spec.options["continuous"] else None
                self._models[head] = load(self.spec, head, self.device, attention)
            return self._models[head]

    def _causal(self) -> Padded:
        """The model that answers; `continuous` ones get their scheduler."""
        with self._running:
            if self._padded is None:
                model = self._model("causal")
                self._padded = Padded(model, self.words.tokenizer, self.words.who)
                o = self.spec.options
                if o["continuous"]:
                    self._continuous = Continuous(model, self._padded.ends, o["batch_tokens"], o["batch_size"])
            return self._padded

    def _batched(self, verb: str, size: int | None = None) -> Batches:
        """The batches of a verb, which remember what did not fit."""
        o = self.spec.options
        return self._batches.setdefault(verb, Batches(o["batch_tokens"], size or o["batch_size"]))

    def _rows(self, prompts: Sequence[Prompt], rooms: Sequence[int]) -> tuple[list[Row], list[tuple[int, Failure]]]:
        """Prompts that can be asked, and those that cannot."""
        rows, failures = [], []
        for number, (tokens, room) in enumerate(zip(self.words.of(prompts, rooms), rooms, strict=True)):
            if isinstance(tokens, Failure):
                failures.append((number, tokens))
            else:
                rows.append(Row(number, tokens, room))
        return rows, failures

    def _each(
        self,
        verb: str,
        prompts: Sequence[Prompt],
        work: Callable[[Any, Any], list[Any]],
        result: Callable[[Any, Usage], T],
        size: int | None = None,
    ) -> Iterator[tuple[int, T | Failure]]:
        """`result` of the array that `work` makes of every prompt, from ids and mask padded on the right."""
        import torch  # noqa: PLC0415 - an extra

        rows, failures = self._rows(prompts, [0] * len(prompts))
        yield from failures
        pad = self.words.tokenizer.pad_token_id or 0

        def batched(batch: list[Row]) -> list[T | Failure]:
            begin = default_timer()
            width = max(len(row.tokens) for row in batch)
            ids = torch.tensor([[*row.tokens, *[pad] * (width - len(row.tokens))] for row in batch])
            mask = torch.tensor([[1] * len(row.tokens) + [0] * (width - len(row.tokens)) for row in batch])
            with self._running, torch.inference_mode():
                found = work(ids.to(self.device), mask.to(self.device))
            share = (default_timer() - begin) / len(batch)
            return [
                result(np.array(values, np.float32), Usage(len(row.tokens), 0, share))
                for row, values in zip(batch, found, strict=True)
            ]

        yield from self._batched(verb, size).run(rows, batched)

    def _flow(
        self, continuous: Continuous, padded: Padded, rows: Sequence[Row], requests: Sequence[Request]
    ) -> Iterator[tuple[int, Answer | Failure]]:
        """Answers by continuous batching; rows that it gives up are not among them."""
        prompts = {row.number: row.tokens for row in rows}
        step = FLOWS * self.spec.options["batch_size"]
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            with self._running:
                begin = default_timer()
                found = list(continuous.run(part))
                share = (default_timer() - begin) / len(part)
            for number, tokens in found:
                if tokens is not None:
                    mine = Voice(requests[number].sampling)
                    for token in tokens:
                        mine.take(token, padded.ends, padded.tokenizer)
                    yield number, mine.answer(len(prompts[number]), padded.ends, padded.tokenizer, share)

    def _warm_up(self) -> None:
        """The first kernels of a GPU take seconds: not those of the first table."""
        prompt = Prompt(tokens=(0,) * 8)
        if self.saved_as == "causal":
            list(self.generate([Request(prompt, Sampling(max_tokens=2))]))
        else:
            list((self.classify if self.saved_as == "classifier" else self.embed)([prompt]))


def _plain(sampling: Sampling) -> bool:
    """Whether continuous batching answers it."""
    return sampling.temperature <= 0 and not sampling.stop and sampling.grammar is None


def _context(model: Any, tokenizer: Any, head: Head) -> int | None:
    """How many positions the model has; RoBERTa's kind spend the first of theirs on padding."""
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if found is not None and name.endswith("position_embeddings") and padding is not None:
            found = module.num_embeddings - padding - 1
    if head != "causal":
        limits = [limit for limit in (found, tokenizer.model_max_length) if limit is not None and limit < 1 << 40]
        found = min(limits, default=None)
    return found
