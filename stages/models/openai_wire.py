"""What goes over the wire: bodies of requests, and what the answers to them say.

Fields beyond OpenAI's are sent only where they are asked for (a grammar, log-probabilities of a prompt): strict servers
refuse a request for a field they do not know.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from stages.models.engine import Answer, Grammar, Prompt, Request, Scored, Usage, Vector
from stages.models.openai_faults import Again, Refused
from stages.stage import StageError

# Reasons to finish that servers give: OpenAI's stop and length; eos_token and stop_sequence are TGI's.
STOPPED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn"})
# (max_tokens, other fields) of /completions that give log-probabilities of the prompt: vLLM's own, then OpenAI's first
# form without and with a token generated (the last entry is that token's and does not count).
SCORING: tuple[dict[str, Any], ...] = (
    {"max_tokens": 1, "prompt_logprobs": 0},
    {"max_tokens": 0, "echo": True, "logprobs": 1},
    {"max_tokens": 1, "echo": True, "logprobs": 1},
)
Count = Callable[[str], int]  # tokens of a text


def prompt_fields(prompt: Prompt, field: str) -> dict[str, Any]:
    """A prompt as a chat's messages, or as `field`."""
    if prompt.chat is not None:
        return {"messages": [{"role": role, "content": content} for role, content in prompt.chat]}
    return {field: prompt.text if prompt.text is not None else list(prompt.tokens or ())}


def generate_body(model: str, request: Request, structured: str, limit: str) -> bytes:
    """The body of /chat/completions and /completions; `limit` is the name that max_tokens has there.

    temperature and top_p are always said: vLLM takes what is not from the model's generation_config.json.
    """
    s = request.sampling
    body: dict[str, Any] = {"model": model, **prompt_fields(request.prompt, "prompt"), limit: s.max_tokens}
    body |= {"temperature": s.temperature, "top_p": s.top_p}
    if s.stop:
        body["stop"] = list(s.stop)
    if s.seed is not None:
        body["seed"] = s.seed
    if s.grammar is not None:
        body |= grammar_fields(s.grammar, structured)
    return dumps(body)


def grammar_fields(grammar: Grammar, structured: str) -> dict[str, Any]:
    """A grammar as the server reads it. JSON without free white space: a weak model writes newlines for ever."""
    if structured == "vllm":
        kind = "grammar" if grammar.kind == "ebnf" else grammar.kind
        if grammar.kind != "json":
            return {"structured_outputs": {kind: grammar.text}}
        return {"structured_outputs": {kind: _schema(grammar), "disable_any_whitespace": True}}
    if structured == "openai" and grammar.kind == "json":
        schema = {"name": "answer", "schema": _schema(grammar), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    can = "JSON schemas only" if structured == "openai" else "no grammar"
    raise StageError(f"structured={structured} means {can}, and the answer needs a {grammar.kind}: try structured=vllm")


def dumps(body: dict[str, Any]) -> bytes:
    """JSON, or `Refused` for a text that is not Unicode (half a surrogate pair)."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise Refused(f"the prompt cannot be sent: {error}") from None


def check_model(payload: Any, model: str) -> None:
    """`Again` if another model answered. Dated (gpt-4o-2024-08-06), revised (path@main) and short names are ours."""
    if not isinstance(payload, dict):
        raise Again("row", f"status 200 with {str(payload)[:80]!r} instead of an object")
    name = payload.get("model")
    if not isinstance(name, str) or name == model:
        return
    theirs, ours = name.lower(), model.lower()
    if not theirs.startswith((f"{ours}-", f"{ours}@", f"{ours}:")) and theirs != ours.rpartition("/")[2]:
        raise Again("model", f"the answer is from model {name[:80]!r}, not {model!r}")


def read_answer(payload: dict[str, Any], seconds: float, prompt: Prompt, count: Count) -> Answer:
    """The first choice."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Again("paid", "the answer has no choices")
    choice = choices[0]
    reason, message = choice.get("finish_reason"), choice.get("message")
    if isinstance(message, dict) and message.get("refusal"):
        raise Refused(f"the server refuses to answer: {str(message['refusal'])[:200]}")
    if reason in ("content_filter", "tool_calls", "function_call"):
        raise Refused(f"finish_reason {reason}")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise Again("paid", f"the answer has content {text!r:.80} (finish_reason {reason!r})")
    if reason != "length" and reason not in STOPPED:  # abort: vLLM gave up on it
        raise Again("row" if reason == "abort" else "paid", f"finish_reason {reason!r}")
    return Answer(text, "length" if reason == "length" else "stop", read_usage(payload, seconds, prompt, text, count))


def read_usage(payload: dict[str, Any], seconds: float, prompt: Prompt, text: str, count: Count) -> Usage:
    """The server's account; without one, tokens as `count` has them (a chat's without its template)."""
    usage = payload.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int):
        return Usage(usage["prompt_tokens"], usage.get("completion_tokens") or 0, seconds)
    if prompt.tokens is not None:
        asked = len(prompt.tokens)
    elif prompt.text is not None:
        asked = count(prompt.text)
    else:
        asked = sum(count(content) for _, content in prompt.chat or ())
    return Usage(asked, count(text) if text else 0, seconds)


def read_scored(payload: dict[str, Any], seconds: float, prompt: Prompt, form: dict[str, Any], count: Count) -> Scored:
    """Log-probabilities in `form`, one of SCORING; `Refused` where there are none."""
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if "prompt_logprobs" in form:
        entries = choice.get("prompt_logprobs") or payload.get("prompt_logprobs")  # a chat has them beside the choices
        values = [next(iter(e.values()))["logprob"] for e in (entries or [None])[1:]]
    else:
        entries = (choice.get("logprobs") or {}).get("token_logprobs")
        values = (entries or [None])[1 : -1 if form["max_tokens"] else None]
    if not isinstance(entries, list) or not entries:
        raise Refused("the answer has no log-probabilities of the prompt")
    return Scored(np.array(values, np.float32), read_usage(payload, seconds, prompt, "", count))


def read_vector(payload: dict[str, Any], seconds: float, prompt: Prompt, field: str, count: Count) -> Vector:
    """`field` of the first entry of `data`: an embedding (made of length 1), or logits."""
    data = payload.get("data")
    entry = data[0].get(field) if isinstance(data, list) and data and isinstance(data[0], dict) else None
    if not isinstance(entry, list) or not entry:
        raise Again("paid", f"the answer has no {field}")
    values: npt.NDArray[np.float32] = np.array(entry, np.float32)
    if field == "embedding":
        values /= max(float(np.linalg.norm(values)), 1e-12)
    return Vector(values, read_usage(payload, seconds, prompt, "", count))


def _schema(grammar: Grammar) -> Any:
    try:
        return orjson.loads(grammar.text)
    except orjson.JSONDecodeError as error:
        raise StageError(f"the grammar is no JSON schema: {error}: {grammar.text[:80]!r}") from None
