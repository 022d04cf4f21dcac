"""The back end `vllm:`: vLLM's asynchronous engine (V1), its model in processes of its own.

vLLM pins a transformers of its own, so it has an environment of its own: `make vllm` here, the vLLM image on a cluster.
What it was written against is 0.32 and 0.33. Greedy answers and seeded ones do not depend on what else is in the batch
on a CPU (measured); on a GPU they do, unless VLLM_BATCH_INVARIANT=1 is set, which is slower.

What a model can do follows from how it was saved, as vLLM sees it (`runner=auto`): a causal LM generates and scores; a
sequence classifier classifies; what sentence-transformers saved, or a base model, embeds. `runner=pooling` makes a
causal LM embed, `runner=generate` makes what would embed generate. An engine has one of the two for its life.
"""

import copy
import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from timeit import default_timer
from typing import Any, TypeVar

import numpy as np

from stages.models.engine import Answer, Failure, Prompt, Request, Scored, Usage, Vector
from stages.models.flow import Flow
from stages.models.orphans import Guard
from stages.models.spec import Spec
from stages.models.tokens import Tokens, Words
from stages.models.vllm_settings import adapter, arguments, parameters
from stages.stage import StageError, WorkerBrokenError

T = TypeVar("T")

AHEAD = 1.1  # requests given to the engine, of those it runs at a time: Ray's figure; a long queue slows its scheduler
TRIES = 3  # of a request that fails inside the engine for no fault of its own
WATCH = 0.5  # seconds between two looks for the engine's processes while it starts
ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with threads may hang
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class _Row:
    number: int
    tokens: Tokens
    params: Any


class VllmEngine:
    """An engine (`stages.models.engine.Engine`) on vLLM's AsyncLLM. The model is loaded and warm when it is made."""

    def __init__(self, spec: Spec) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import vllm.v1.engine.async_llm  # noqa: F401, PLC0415 - an environment of its own
        except ImportError as error:
            raise ImportError(
                f"engine vllm: needs vLLM, which shares no environment with our transformers ({error}); use an image "
                "that has it, or `make vllm`; or ask its server with openai:"
            ) from error
        self.who = f"engine vllm:{spec.target}"
        self._lora = adapter(spec.options["lora"], self.who)
        self._ids = count()
        flow, guard = Flow(), Guard()
        try:
            self._llm = _start(spec, flow, guard, self.who)
        except BaseException:
            flow.close()
            guard.release()
            raise
        self._flow = flow
        self._end = weakref.finalize(self, _close, self._llm, flow, guard)
        self._tasks = tuple(flow.start(self._llm.get_supported_tasks()).result())
        config = self._llm.model_config
        self.context: int | None = config.max_model_len
        names = config.hf_config.id2label if "classify" in self._tasks else {}
        self.labels: tuple[str, ...] = tuple(str(names[number]) for number in sorted(names))
        tokenizer = copy.deepcopy(self._llm.get_tokenizer())  # the engine's threads have their own
        self._words = Words(tokenizer, self.who, self.context, config.get_vocab_size())
        parallel = self._llm.vllm_config.parallel_config
        flow.widen(ceil(AHEAD * self._llm.vllm_config.scheduler_config.max_num_seqs * parallel.pipeline_parallel_size))

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        """Answers in the order in which they are ready."""
        self._need("generate", "generate")
        rooms = [request.sampling.max_tokens for request in requests]
        params = [parameters(request.sampling) for request in requests]

        def read(out: Any, usage: Usage) -> Answer:
            answer = out.outputs[0]
            return Answer(answer.text, "length" if answer.finish_reason == "length" else "stop", usage)

        yield from self._each([request.prompt for request in requests], rooms, params, self._llm.generate, read)

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        """Log-probabilities of the tokens of each prompt after the first.

        vLLM always writes a token, so a prompt may be one token shorter than the context at most.
        """
        from vllm import SamplingParams  # noqa: PLC0415 - an environment of its own
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        self._need("score", "generate")
        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=0,  # of the token that is there, and no others
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

        def read(out: Any, usage: Usage) -> Scored:
            flat = out.prompt_logprobs
            found = np.array([flat.logprobs[i] for i in flat.start_indices[1:]], np.float32)
            return Scored(found, replace(usage, completion_tokens=0))

        yield from self._each(prompts, [1] * len(prompts), [params] * len(prompts), self._llm.generate, read)

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Embeddings of length 1, pooled as the checkpoint's own files say."""

        def read(out: Any, usage: Usage) -> Vector:
            values = out.outputs.data.float().numpy()
            return Vector(values / max(float(np.linalg.norm(values)), 1e-12), usage)

        yield from self._pooled("embed", prompts, read)

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Logits of the labels."""

        def read(out: Any, usage: Usage) -> Vector:
            return Vector(out.outputs.data.float().numpy(), usage)

        yield from self._pooled("classify", prompts, read)

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        return self._words.encode(texts, special)

    def close(self) -> None:
        """End the engine and its processes. Callers that wait get `CancelledError`."""
        self._end()

    def _need(self, verb: str, task: str) -> None:
        if task not in self._tasks:
            other = "generate" if task == "generate" else "pooling"
            raise StageError(
                f"{self.who}: {verb} needs a model that vLLM loads for {task!r}, it has {', '.join(self._tasks)}; "
                f"is it the right model, and would runner={other} do?"
            )

    def _pooled(
        self, task: str, prompts: Sequence[Prompt], read: Callable[[Any, Usage], T]
    ) -> Iterator[tuple[int, T | Failure]]:
        from vllm import PoolingParams  # noqa: PLC0415 - an environment of its own

        self._need(task, task)
        params = [PoolingParams(task=task, use_activation=False) for _ in prompts]
        yield from self._each(prompts, [0] * len(prompts), params, self._llm.encode, read)

    def _each(
        self,
        prompts: Sequence[Prompt],
        rooms: Sequence[int],
        params: Sequence[Any],
        ask: Callable[..., AsyncIterator[Any]],
        read: Callable[[Any, Usage], T],
    ) -> Iterator[tuple[int, T | Failure]]:
        """`read` of what the engine says of every prompt; those it cannot be asked come first."""
        rows = []
        for number, tokens in enumerate(self._words.of(prompts, rooms)):
            if isinstance(tokens, Failure):
                yield number, tokens
            else:
                rows.append(_Row(number, tokens, params[number]))

        async def work(row: _Row) -> T | Failure:
            begin = default_timer()
            out = await self._final(ask, row)
            if isinstance(out, Failure):
                return out
            written = len(out.outputs[0].token_ids) if isinstance(out.outputs, list) else 0
            return read(out, Usage(len(row.tokens), written, default_timer() - begin))

        for place, result in self._flow.each(rows, work):
            yield rows[place].number, result

    async def _final(self, ask: Callable[..., AsyncIterator[Any]], row: _Row) -> Any:
        """The engine's last word on a request, or why there is none."""
        from vllm.exceptions import VLLMClientError  # noqa: PLC0415 - an environment of its own
        from vllm.inputs import tokens_input  # noqa: PLC0415
        from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415

        why = ""
        for _ in range(TRIES):
            out: Any = None
            try:
                prompt, name = tokens_input(list(row.tokens)), str(next(self._ids))
                async for said in ask(prompt, row.params, name, lora_request=self._lora):
                    out = said
            except EngineDeadError as error:
                raise WorkerBrokenError(f"{self.who}: its processes have died; their log says why") from error
            except VLLMClientError as error:  # this request is wrong
                return Failure(f"vLLM rejects it: {error}")
            except Exception as error:
                cause = error.__cause__ or error
                why = f"{type(cause).__name__}: {cause}"
                if isinstance(cause, ValueError | TypeError | NotImplementedError):
                    return Failure(f"vLLM rejects it: {why}")
                continue
            if isinstance(out.outputs, list) and out.outputs[0].finish_reason in ("abort", "error"):
                why = f"the engine ended it: {out.outputs[0].finish_reason}"
                continue
            return out
        return Failure(f"vLLM failed {TRIES} times: {why}")


def _start(spec: Spec, flow: Flow, guard: Guard, who: str) -> Any:
    """The engine, loaded; its processes are guarded from their first moment."""
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - an environment of its own
    from vllm.usage.usage_lib import UsageContext  # noqa: PLC0415
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

    async def begin() -> Any:  # in the loop that it will run in
        args = AsyncEngineArgs(**arguments(spec))
        return AsyncLLM.from_engine_args(args, usage_context=UsageContext.LLM_CLASS)  # its sizes of batches

    future = flow.start(begin())
    while not wait([future], WATCH).done:
        guard.look()
    guard.look()
    try:
        return future.result()
    except Exception as error:
        why = str(error).strip().splitlines()
        raise StageError(f"{who} does not start: {why[0] if why else type(error).__name__}") from error


def _close(llm: Any, flow: Flow, guard: Guard) -> None:
    llm.shutdown()
    flow.close()
    guard.release()
