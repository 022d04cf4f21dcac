"""Bodies as servers read them, and answers as they give them: literals in, literals out."""

from typing import Any

import numpy as np
import orjson
import pytest

from stages.models import openai_wire as wire
from stages.models.engine import Answer, Grammar, Prompt, Request, Sampling, Usage
from stages.models.openai_faults import Again, Refused
from stages.stage import StageError

TEXT = Prompt(text="a b")
CHAT = Prompt(chat=(("system", "be short"), ("user", "a b c")))


def words(text: str) -> int:
    return len(text.split())


def body(request: Request, structured: str = "vllm", limit: str = "max_tokens") -> Any:
    return orjson.loads(wire.generate_body("m", request, structured, limit))


def test_a_text_and_tokens_are_prompts_a_chat_is_messages() -> None:
    said = {"model": "m", "max_tokens": 256, "temperature": 0.0, "top_p": 1.0}
    assert body(Request(TEXT)) == {**said, "prompt": "a b"}
    assert body(Request(Prompt(tokens=(1, 2)))) == {**said, "prompt": [1, 2]}
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": "a b c"}]
    assert body(Request(CHAT)) == {**said, "messages": messages}


def test_sampling_is_passed_on() -> None:
    sampling = Sampling(max_tokens=5, temperature=0.7, top_p=0.9, stop=("\n\n", "END"), seed=7)
    assert body(Request(TEXT, sampling), limit="max_completion_tokens") == {
        "model": "m", "prompt": "a b", "max_completion_tokens": 5, "temperature": 0.7, "top_p": 0.9,
        "stop": ["\n\n", "END"], "seed": 7,
    }  # fmt: skip


SCHEMA = Grammar("json", '{"type": "object"}')


@pytest.mark.parametrize(
    ("grammar", "structured", "fields"),
    [
        (Grammar("regex", "[ab]+"), "vllm", {"structured_outputs": {"regex": "[ab]+"}}),
        (Grammar("ebnf", 'root ::= "a"'), "vllm", {"structured_outputs": {"grammar": 'root ::= "a"'}}),
        (SCHEMA, "vllm", {"structured_outputs": {"json": {"type": "object"}, "disable_any_whitespace": True}}),
        (
            SCHEMA,
            "openai",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
    ],
)
def test_grammars(grammar: Grammar, structured: str, fields: dict[str, Any]) -> None:
    sent = body(Request(TEXT, Sampling(grammar=grammar)), structured)
    assert {k: v for k, v in sent.items() if k in ("structured_outputs", "response_format")} == fields


@pytest.mark.parametrize(
    ("grammar", "structured", "error"),
    [
        (SCHEMA, "none", "structured=none means no grammar, and the answer needs a json"),
        (Grammar("regex", "a"), "openai", "structured=openai means JSON schemas only"),
        (Grammar("json", "{"), "vllm", "no JSON schema"),
    ],
)
def test_a_grammar_that_cannot_be_sent_stops_the_stage(grammar: Grammar, structured: str, error: str) -> None:
    with pytest.raises(StageError, match=error):
        body(Request(TEXT, Sampling(grammar=grammar)), structured)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be sent"):
        body(Request(Prompt(text="\ud800")))


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("choice", "prompt", "answer"),
    [
        ({"text": "x y", "finish_reason": "stop"}, TEXT, Answer("x y", "stop", Usage(3, 2, 0.5))),
        ({"text": "x", "finish_reason": "length"}, TEXT, Answer("x", "length", Usage(3, 2, 0.5))),
        ({"text": "", "finish_reason": "eos_token"}, TEXT, Answer("", "stop", Usage(3, 2, 0.5))),
        ({"message": {"content": "x"}, "finish_reason": "stop"}, CHAT, Answer("x", "stop", Usage(3, 2, 0.5))),
    ],
)
def test_answers(choice: dict[str, Any], prompt: Prompt, answer: Answer) -> None:
    assert wire.read_answer({"choices": [choice], "usage": USAGE}, 0.5, prompt, words) == answer


@pytest.mark.parametrize(
    ("choices", "kind"),
    [
        ([], "paid"),
        (None, "paid"),
        (["x"], "paid"),
        ([{"text": None, "finish_reason": "stop"}], "paid"),
        ([{"message": {"content": None}, "finish_reason": "length"}], "paid"),  # all of it went into reasoning
        ([{"message": {"content": [{"type": "text"}]}, "finish_reason": "stop"}], "paid"),
        ([{"text": "x", "finish_reason": None}], "paid"),
        ([{"text": "x", "finish_reason": "abort"}], "row"),
    ],
)
def test_answers_that_say_nothing_are_asked_for_again(choices: Any, kind: str) -> None:
    with pytest.raises(Again) as caught:
        wire.read_answer({"choices": choices, "usage": USAGE}, 0.5, TEXT, words)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"message": {"content": None, "refusal": "I cannot"}, "finish_reason": "stop"}, "refuses to answer: I cannot"),
        ({"text": "", "finish_reason": "content_filter"}, "content_filter"),
        ({"message": {"content": None}, "finish_reason": "tool_calls"}, "tool_calls"),
    ],
)
def test_answers_that_will_not_come(choice: dict[str, Any], error: str) -> None:
    with pytest.raises(Refused, match=error):
        wire.read_answer({"choices": [choice]}, 0.5, TEXT, words)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, []])
@pytest.mark.parametrize(("prompt", "asked"), [(TEXT, 2), (CHAT, 5), (Prompt(tokens=(7, 8, 9)), 3)])
def test_without_usage_tokens_are_counted(usage: Any, prompt: Prompt, asked: int) -> None:
    payload = {"choices": [{"text": "x y z w", "finish_reason": "stop"}], "usage": usage}
    assert wire.read_answer(payload, 0.5, prompt, words).usage == Usage(asked, 4, 0.5)


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        (None, "m"),
        ("m", "m"),
        ("gpt-4o-2024-08-06", "gpt-4o"),  # OpenAI dates it
        ("/models/a@main", "/models/a"),  # transformers serve names the revision
        ("qwen3-8b", "Qwen/Qwen3-8B"),
    ],
)
def test_names_of_one_model(named: str | None, asked: str) -> None:
    wire.check_model({"model": named}, asked)


@pytest.mark.parametrize("named", ["another", "gpt-4", "my-gpt-4o", "gpt-4omni"])
def test_names_of_another_model(named: str) -> None:
    with pytest.raises(Again) as caught:
        wire.check_model({"model": named}, "gpt-4o")
    assert caught.value.kind == "model" and named in str(caught.value)


def test_json_that_is_no_object() -> None:
    with pytest.raises(Again, match="instead of an object"):
        wire.check_model(["a"], "m")


def test_log_probabilities_in_vllms_form_are_those_of_the_prompts_tokens() -> None:
    entries = [None, {"5": {"logprob": -1.5, "rank": 3}, "9": {"logprob": -0.1, "rank": 1}}, {"7": {"logprob": -2.0}}]
    for payload in ({"choices": [{"prompt_logprobs": entries}]}, {"choices": [{}], "prompt_logprobs": entries}):
        scored = wire.read_scored({**payload, "usage": USAGE}, 0.5, TEXT, wire.SCORING[0], words)
        assert scored.logprobs.tolist() == [-1.5, -2.0]
        assert scored.usage == Usage(3, 2, 0.5)


def test_log_probabilities_by_echo_leave_out_what_was_generated() -> None:
    payload = {"choices": [{"logprobs": {"token_logprobs": [None, -1.0, -2.0]}}], "usage": USAGE}
    assert wire.read_scored(payload, 0.5, TEXT, wire.SCORING[1], words).logprobs.tolist() == [-1.0, -2.0]
    assert wire.read_scored(payload, 0.5, TEXT, wire.SCORING[2], words).logprobs.tolist() == [-1.0]


@pytest.mark.parametrize("form", wire.SCORING)
@pytest.mark.parametrize("choice", [{}, {"prompt_logprobs": None, "logprobs": None}, {"logprobs": {}}])
def test_no_log_probabilities(form: dict[str, Any], choice: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        wire.read_scored({"choices": [choice]}, 0.5, TEXT, form, words)


def test_embeddings_get_length_one_and_logits_stay() -> None:
    payload = {"data": [{"embedding": [3.0, 4.0], "probs": [3.0, -4.0]}], "usage": {"prompt_tokens": 3}}
    vector = wire.read_vector(payload, 0.5, TEXT, "embedding", words)
    np.testing.assert_allclose(vector.values, [0.6, 0.8], rtol=1e-6)
    assert vector.usage == Usage(3, 0, 0.5)
    assert wire.read_vector(payload, 0.5, TEXT, "probs", words).values.tolist() == [3.0, -4.0]
    with pytest.raises(Again):
        wire.read_vector({"data": []}, 0.5, TEXT, "probs", words)
