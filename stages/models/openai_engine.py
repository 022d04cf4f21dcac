"""The back end `openai:`: any server that speaks OpenAI's routes, asked over HTTP with thousands of requests in flight.

A chat goes to /chat/completions, a text or tokens to /completions (tokens: vLLM and OpenAI's first form); `style=chat`
or `style=completions` refuses the other. Log-probabilities of prompts and logits are vLLM's extensions. The key comes
from the environment variable that `key_env` names. Where a server gives no account of tokens they are counted with
`tokenizer`, if it is set, and are 0 otherwise, with one warning.

Servers have defaults of their own: start vLLM with `--generation-config vllm`, or the model's generation_config.json
decides what a request leaves open (repetition_penalty, top_k). `structured=openai` is not honoured by all who take it.
"""

import gc
import logging
import os
import resource
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from yarl import URL

from stages.models import openai_wire as wire
from stages.models.engine import Answer, Failure, Keep, Prompt, Request, Scored, Vector
from stages.models.openai_client import Client
from stages.models.openai_faults import Unsupported
from stages.models.openai_pace import Backoff
from stages.models.openai_retry import Call, Limits, Verb
from stages.models.spec import Spec
from stages.stage import StageError

log = logging.getLogger(__name__)

STYLES, STRUCTURED = ("auto", "chat", "completions"), ("vllm", "openai", "none")
FILES = 128  # descriptors that a process has beside its connections
OBJECTS = 100  # Python objects that a request on its way has, with aiohttp's
CHARACTERS = 4.0  # a token, for the estimate that a limit of tokens is kept by until the server has counted
TRIAL = Prompt(text="The river is high in spring.")


class OpenAIEngine:
    """An engine over HTTP. The server is met at the first request, or when `context` is read; it may come up later."""

    labels: tuple[str, ...] = ()  # a server does not tell them

    def __init__(self, spec: Spec, backoff: Backoff | None = None) -> None:
        o = self._options = spec.options
        for name, known in (("style", STYLES), ("structured", STRUCTURED)):
            if o[name] not in known:
                raise StageError(f"{spec.target}: {name}={o[name]} should be one of {', '.join(known)}")
        limits = Limits(**{f.name: o[f.name] for f in fields(Limits)})
        if min(limits.concurrency, limits.tries) < 1 or limits.timeout <= 0:
            raise StageError(f"{spec.target}: concurrency and tries should be at least 1, timeout more than 0")
        self._address, self._model = spec.target, spec.model
        self._completions, self._chats = (URL(f"{spec.target}/{path}") for path in ("completions", "chat/completions"))
        self._limit = "max_tokens"  # its name in chats; OpenAI's newer models want another
        self._form: dict[str, Any] | None = None  # of wire.SCORING
        self._lock = threading.Lock()
        self._warned = False
        _allow_files(limits.concurrency + FILES, spec.target)
        _collect_less(limits.concurrency * OBJECTS)
        self._client = Client(spec.target, limits, _key(o["key_env"]), backoff or Backoff())
        self._end = weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"OpenAIEngine({self._address}#{self._model})"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer | Failure]]:
        """Answers in the order in which they come."""
        return self.generate_and_keep(requests, lambda number, answer: None)

    def generate_and_keep(self, requests: Sequence[Request], keep: Keep) -> Iterator[tuple[int, Answer | Failure]]:
        """The same; `keep` is called in the client's thread, which asks nothing else meanwhile."""

        def make(number: int) -> Call:
            request = requests[number]
            limit = "max_tokens" if request.prompt.chat is None else self._limit
            body = wire.generate_body(self._model, request, self._options["structured"], limit)
            return Call(self._url(request.prompt), body, self._estimate(request.prompt) + request.sampling.max_tokens)

        def read(number: int, payload: Any, seconds: float) -> Answer:
            wire.check_model(payload, self._model)
            answer = wire.read_answer(payload, seconds, requests[number].prompt, self._count)
            keep(number, answer)
            return answer

        def adapt(message: str) -> bool:
            self._limit = "max_completion_tokens" if "max_completion_tokens" in message else self._limit
            return self._limit in message

        return self._client.stream(len(requests), Verb(make, read, adapt))

    def score(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Scored | Failure]]:
        """Log-probabilities; a chat's (by vLLM alone) are those of its whole template, the header of an answer too."""
        form = self._scoring()
        if "prompt_logprobs" not in form and any(prompt.chat is not None for prompt in prompts):
            raise StageError(f"{self._address}: this server has log-probabilities of texts and tokens, not of a chat")
        return self._client.stream(len(prompts), self._score_verb(prompts, form))

    def embed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Embeddings of /embeddings."""
        return self._pool(prompts, URL(f"{self._address}/embeddings"), "embedding", {"encoding_format": "float"})

    def classify(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Vector | Failure]]:
        """Logits of vLLM's /classify, which is beside /v1. A server that ignores `use_activation` gives otherwise."""
        root = self._address.removesuffix("/v1")
        return self._pool(prompts, URL(f"{root}/classify"), "probs", {"use_activation": False})

    def tokenize(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        """By the tokenizer that the option `tokenizer` names: a folder, a tokenizer.json or a name on the hub."""
        if self._tokenizer is None:
            raise StageError(f"{self._address}: a server has no tokenizer here; name the model's: tokenizer=FOLDER")
        return [found.ids for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=special)]

    def close(self) -> None:
        self._end()

    @cached_property
    def context(self) -> int | None:
        """What vLLM says of it as max_model_len; waits for the server."""
        found = self._client.get_models()
        entries = found.get("data") if isinstance(found, dict) else None
        names = []
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("id") == self._model:
                length = entry.get("max_model_len")
                return length if isinstance(length, int) else None
            names.append(str(entry.get("id")) if isinstance(entry, dict) else str(entry))
        if names:  # a gateway need not list all that it has, so it is asked all the same
            log.warning("%s does not list the model %r; it has %s", self._address, self._model, ", ".join(names[:10]))
        return None

    @cached_property
    def _tokenizer(self) -> Any:
        name = self._options["tokenizer"]
        if not name:
            return None
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra

        path = Path(name).expanduser()
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else Tokenizer.from_pretrained(name)
        except Exception as error:  # the library's is a bare Exception
            where = f"no folder with a tokenizer.json, no such file, and no name on the hub that is reached ({error})"
            raise StageError(f"{self._address}: tokenizer={name}: {where}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def _url(self, prompt: Prompt) -> URL:
        style = self._options["style"]
        if prompt.chat is not None and style == "completions":
            raise StageError(f"{self._address}: style=completions has no template for a chat; set style=auto")
        if prompt.chat is None and style == "chat":
            raise StageError(f"{self._address}: style=chat, and the prompt is no chat: a chat is another question")
        return self._completions if prompt.chat is None else self._chats

    def _score_verb(self, prompts: Sequence[Prompt], form: dict[str, Any]) -> Verb[Scored]:
        def make(number: int) -> Call:
            prompt = prompts[number]
            body = {"model": self._model, **wire.prompt_fields(prompt, "prompt"), "temperature": 0.0, **form}
            return Call(self._url(prompt), wire.dumps(body), self._estimate(prompt) + 1)

        def read(number: int, payload: Any, seconds: float) -> Scored:
            wire.check_model(payload, self._model)
            return wire.read_scored(payload, seconds, prompts[number], form, self._count)

        return Verb(make, read)

    def _scoring(self) -> dict[str, Any]:
        """The first of `wire.SCORING` that this server answers, found out once with a short text."""
        with self._lock:
            said = []
            for form in wire.SCORING if self._form is None else ():
                try:
                    _, result = next(self._client.stream(1, self._score_verb([TRIAL], form)))
                except Unsupported as error:
                    result = Failure(str(error))
                if isinstance(result, Scored):
                    self._form = form
                    break
                said.append(f"{form}: {result.error}")
            if self._form is None:
                raise StageError(f"{self._address} gives no log-probabilities of a prompt: " + "; ".join(said))
            return self._form

    def _pool(
        self, prompts: Sequence[Prompt], url: URL, field: str, more: dict[str, Any]
    ) -> Iterator[tuple[int, Vector | Failure]]:
        def make(number: int) -> Call:
            prompt = prompts[number]
            body = wire.dumps({"model": self._model, **wire.prompt_fields(prompt, "input"), **more})
            return Call(url, body, self._estimate(prompt))

        def read(number: int, payload: Any, seconds: float) -> Vector:
            wire.check_model(payload, self._model)
            return wire.read_vector(payload, seconds, prompts[number], field, self._count)

        return self._client.stream(len(prompts), Verb(make, read))

    def _estimate(self, prompt: Prompt) -> float:
        if not self._options["tokens_per_minute"]:
            return 0.0
        if prompt.tokens is not None:
            return float(len(prompt.tokens))
        texts = (prompt.text or "",) if prompt.chat is None else (content for _, content in prompt.chat)
        return sum(map(len, texts)) / CHARACTERS

    def _count(self, text: str) -> int:
        if self._tokenizer is not None:
            return len(self.tokenize([text])[0])
        if not self._warned:
            self._warned = True
            log.warning("%s tells no usage: tokens and cost count as 0 unless tokenizer=FOLDER is set", self._address)
        return 0


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise StageError(f"the key in ${variable} has characters that no header may have")
    return key


def _collect_less(objects: int) -> None:
    """Let the garbage collector wait for as many new objects as the requests on their way are, up to 50,000.

    By default it looks at every 700 new ones, and finds requests: a third of the CPU that a request costs.
    """
    first, *rest = gc.get_threshold()
    if first:  # 0: it is off
        gc.set_threshold(max(first, min(objects, 50_000)), *rest)


def _allow_files(wanted: int, address: str) -> None:
    """Raise the soft limit of open files, which is often 1024, to what the connections take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise StageError(
            f"{address}: {wanted} open files are needed, {hard} allowed: lower concurrency or raise ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
