"""`vllm:` answers as transformers does, and what is wrong with one request is that request's alone."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling, Scored
from stages.stage import StageError

pytest.importorskip("vllm.version", reason="vLLM has an environment of its own: make test-vllm")
pytestmark = pytest.mark.timeout(900)

from tests.stages.models.on_vllm import reference  # noqa: E402
from tests.stages.models.on_vllm.worker import LINES  # noqa: E402

PROGRAM = (
    'root ::= "keep_all()" | op ("\\n" op){0,2}\n'
    'op ::= "remove_lines(line_start=" num ", line_end=" num ")"\n'
    "num ::= [0-9]{1,3}\n"
)
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 8},
        "values": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
    },
    "required": ["title", "values"],
    "additionalProperties": False,
}


def in_order(found: Iterator[tuple[int, Any]]) -> list[Any]:
    results = dict(found)
    assert sorted(results) == list(range(len(results)))
    return [results[number] for number in range(len(results))]


def whole(text: str) -> str:
    """Without the character that the last token began and did not end: decoders differ in showing it."""
    return text.rstrip("\ufffd")


def test_greedy_answers_are_those_of_transformers(vllm_llama: Any, llama: Path) -> None:
    requests = [Request(Prompt(text=line), Sampling(max_tokens=24)) for line in LINES]
    for line, answer in zip(LINES, in_order(vllm_llama.generate(requests)), strict=True):
        tokens = reference.tokens_of(llama, line)
        text, written = reference.greedy(llama, tokens, 24)
        assert isinstance(answer, Answer)
        assert (whole(answer.text), answer.usage.completion_tokens) == (whole(text), written)
        assert answer.usage.prompt_tokens == len(tokens) and answer.usage.seconds > 0
        assert answer.finish == ("length" if written == 24 else "stop")


def test_texts_tokens_and_chats_are_prompts(vllm_llama: Any, llama: Path) -> None:
    sampling = Sampling(max_tokens=12)
    chat = "<|system|>\nKeep it.\n<|user|>\nThe mill\n<|assistant|>\n"
    tokens = {kind: reference.tokens_of(llama, text) for kind, text in (("text", "The mill"), ("chat", chat))}
    assert vllm_llama.tokenize(["The mill", chat]) == [tokens["text"][1:], tokens["chat"][1:]]
    assert vllm_llama.tokenize(["The mill"], special=True) == [tokens["text"]]
    prompts = [
        Prompt(text="The mill"),
        Prompt(tokens=tuple(tokens["text"])),
        Prompt(chat=(("system", "Keep it."), ("user", "The mill"))),
    ]
    text, same, chatted = in_order(vllm_llama.generate([Request(prompt, sampling) for prompt in prompts]))
    assert text.text == same.text and whole(text.text) == whole(reference.greedy(llama, tokens["text"], 12)[0])
    assert whole(chatted.text) == whole(reference.greedy(llama, tokens["chat"][1:], 12)[0])  # the template has no <s>


def test_stop_ends_the_answer_before_it(vllm_llama: Any) -> None:
    free, *_ = in_order(vllm_llama.generate([Request(Prompt(text="The mill"), Sampling(max_tokens=40))]))
    stop = free.text[len(free.text) // 2 :][:3]
    cut, *_ = in_order(vllm_llama.generate([Request(Prompt(text="The mill"), Sampling(max_tokens=40, stop=(stop,)))]))
    assert (cut.text, cut.finish) == (free.text[: free.text.index(stop)], "stop")


@pytest.mark.parametrize(
    ("grammar", "valid"),
    [
        (Grammar("regex", "(yes|no)( [a-f]{3}){2}"), lambda text: re.fullmatch("(yes|no)( [a-f]{3}){2}", text)),
        (Grammar("json", json.dumps(SCHEMA)), lambda text: set(json.loads(text)) == {"title", "values"}),
        (
            Grammar("ebnf", PROGRAM),
            lambda text: re.fullmatch(
                r"keep_all\(\)|(remove_lines\(line_start=\d{1,3}, line_end=\d{1,3}\)\n?){1,3}", text
            ),
        ),
    ],
    ids=["regex", "json", "ebnf"],
)
def test_grammars_are_kept_by_a_model_that_knows_nothing(vllm_llama: Any, grammar: Grammar, valid: Any) -> None:
    """150 tokens hold the longest derivation of each, byte by byte; JSON has no white space to lose them in."""
    requests = [
        Request(Prompt(text=line), Sampling(max_tokens=150, temperature=1.0, seed=seed, grammar=grammar))
        for seed, line in enumerate(LINES[:12])
    ]
    for answer in in_order(vllm_llama.generate(requests)):
        assert answer.finish == "stop" and valid(answer.text), answer
        assert grammar.kind != "json" or answer.text == json.dumps(
            json.loads(answer.text), ensure_ascii=False, separators=(",", ":")
        )


def test_scores_are_those_of_transformers(vllm_llama: Any, llama: Path) -> None:
    prompts = [Prompt(text=line) for line in LINES[:6]] + [Prompt(tokens=(1,)), Prompt(tokens=(1,) * 511)]
    found = in_order(vllm_llama.score(prompts))
    for prompt, scored in zip(prompts, found, strict=True):
        tokens = prompt.tokens or reference.tokens_of(llama, str(prompt.text))
        assert isinstance(scored, Scored) and scored.logprobs.dtype == np.float32
        np.testing.assert_allclose(scored.logprobs, reference.logprobs(llama, tokens), atol=2e-4)
        assert (scored.usage.prompt_tokens, scored.usage.completion_tokens) == (len(tokens), 0)


def test_a_request_that_cannot_be_answered_fails_alone(vllm_llama: Any) -> None:
    good = Request(Prompt(text="The mill"), Sampling(max_tokens=4))
    bad = [
        (Request(Prompt(tokens=(5,) * 600)), "longer than the context of 512"),
        (Request(Prompt(tokens=(5,) * 500), Sampling(max_tokens=13)), "longer than the context of 512"),
        (Request(Prompt(tokens=())), "no tokens"),
        (Request(Prompt(tokens=(1, 512))), "not among the model's 512"),
        (Request(Prompt(text="x"), Sampling(grammar=Grammar("regex", "(open"))), "unclosed group"),
        (Request(Prompt(text="x"), Sampling(grammar=Grammar("ebnf", "root ::= nothing"))), "nothing"),
    ]
    first, *failures, last = in_order(vllm_llama.generate([good, *(request for request, _ in bad), good]))
    assert isinstance(first, Answer) and first.text == last.text
    for failure, (_, why) in zip(failures, bad, strict=True):
        assert isinstance(failure, Failure) and why in failure.error


def test_threads_share_the_engine(vllm_llama: Any) -> None:
    def ask(part: int) -> list[str]:
        prompts = [Prompt(text=line) for line in LINES[part::4]]
        return [answer.text for answer in in_order(vllm_llama.generate([Request(p, Sampling(12)) for p in prompts]))]

    alone = [ask(part) for part in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == alone


def test_a_caller_may_stop_listening(vllm_llama: Any) -> None:
    requests = [Request(Prompt(text=line), Sampling(max_tokens=400, temperature=1.0, seed=1)) for line in LINES * 8]
    answers = vllm_llama.generate(requests)
    assert len(list(islice(answers, 2))) == 2
    answers.close()
    assert len(in_order(vllm_llama.generate([Request(Prompt(text="x"), Sampling(max_tokens=2))]))) == 1
    assert vllm_llama._llm.output_processor.get_num_unfinished_requests() == 0


def test_it_says_what_it_cannot_do(vllm_llama: Any) -> None:
    assert (vllm_llama.context, vllm_llama.labels) == (512, ())
    with pytest.raises(StageError, match=r"embed needs .* it has generate; .* runner=pooling"):
        list(vllm_llama.embed([Prompt(text="x")]))
    with pytest.raises(StageError, match="classify needs"):
        list(vllm_llama.classify([Prompt(text="x")]))
