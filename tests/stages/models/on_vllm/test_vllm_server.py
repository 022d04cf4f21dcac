"""`openai:` against vLLM's own server: what it answers, what it refuses, what it says when it has too much to do."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling, Scored
from stages.models.spec import open_engine, parse
from stages.stage import StageError

pytest.importorskip("vllm.version", reason="vLLM has an environment of its own: make test-vllm")
pytestmark = pytest.mark.timeout(900)

from tests.ports import free_port  # noqa: E402
from tests.stages.models.on_vllm import reference  # noqa: E402
from tests.stages.models.on_vllm.test_vllm_generate import LINES, PROGRAM, SCHEMA, in_order, whole  # noqa: E402

QUEUE = 32


@pytest.fixture(scope="module")
def address(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server is started and not waited for: the engine's patience does that."""
    port = free_port()
    settings = {
        "model": llama,
        "served-model-name": "tiny",
        "host": "127.0.0.1",
        "port": port,
        "dtype": "float32",
        "max-num-seqs": 8,
        "max-num-queued-reqs": QUEUE,
        "kv-cache-memory-bytes": 1 << 28,
        "generation-config": "vllm",
        "structured-outputs-config": json.dumps({"backend": "guidance", "disable_any_whitespace": True}),
    }
    options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *options]
    with (tmp_path_factory.mktemp("server") / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        yield f"http://127.0.0.1:{port}/v1"
        server.terminate()
        server.wait(120)


@pytest.fixture(scope="module")
def served(address: str) -> Iterator[Any]:
    engine = open_engine(parse(f"openai:{address}?concurrency=16#tiny", "test"))
    yield engine
    engine.close()


def test_texts_and_tokens_are_answered_as_transformers_does(served: Any, llama: Path) -> None:
    tokens = [reference.tokens_of(llama, line) for line in LINES]
    prompts = [Prompt(text=LINES[i]) if i % 2 else Prompt(tokens=tuple(tokens[i])) for i in range(len(LINES))]
    answers = in_order(served.generate([Request(prompt, Sampling(max_tokens=12)) for prompt in prompts]))
    for ids, answer in zip(tokens, answers, strict=True):
        text, written = reference.greedy(llama, ids, 12)
        assert isinstance(answer, Answer) and whole(answer.text) == whole(text)
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), written)
    assert served.context == 512


def test_chats_have_the_model_s_template(served: Any, vllm_llama: Any) -> None:
    requests = [Request(Prompt(chat=(("system", "Keep it."), ("user", line))), Sampling(12)) for line in LINES[:6]]
    assert [a.text for a in in_order(served.generate(requests))] == [
        a.text for a in in_order(vllm_llama.generate(requests))
    ]


def test_seeds_and_grammars_give_what_the_engine_gives(served: Any, vllm_llama: Any) -> None:
    grammars = [
        Grammar("regex", "(yes|no)( [a-f]{3}){2}"),
        Grammar("json", json.dumps(SCHEMA)),
        Grammar("ebnf", PROGRAM),
    ]
    requests = [
        Request(Prompt(text=line), Sampling(150, 1.0, 0.9, (), seed, grammar))
        for seed, line in enumerate(LINES[:4])
        for grammar in [None, *grammars]
    ]
    texts = [answer.text for answer in in_order(served.generate(requests))]
    assert texts == [answer.text for answer in in_order(vllm_llama.generate(requests))]
    assert all(re.fullmatch(grammars[0].text, text) for text in texts[1::4])
    assert all(set(json.loads(text)) == {"title", "values"} for text in texts[2::4])


def test_scores_are_those_of_transformers(served: Any, llama: Path) -> None:
    for line, scored in zip(LINES[:4], in_order(served.score([Prompt(text=line) for line in LINES[:4]])), strict=True):
        assert isinstance(scored, Scored)
        expected = reference.logprobs(llama, reference.tokens_of(llama, line))
        np.testing.assert_allclose(scored.logprobs, expected, atol=2e-4)


def test_a_prompt_that_is_too_long_or_a_grammar_that_is_none_fails_alone(served: Any) -> None:
    good = Request(Prompt(text="The mill"), Sampling(max_tokens=4))
    long = Request(Prompt(tokens=(5,) * 600), Sampling(max_tokens=4))
    wrong = Request(Prompt(text="x"), Sampling(grammar=Grammar("ebnf", "root ::= nothing")))
    first, too_long, no_grammar, last = in_order(served.generate([good, long, wrong, good]))
    assert isinstance(first, Answer) and isinstance(last, Answer) and first.text == last.text
    assert isinstance(too_long, Failure) and "400" in too_long.error and "600" in too_long.error
    assert isinstance(no_grammar, Failure) and "400" in no_grammar.error


def test_a_model_that_is_not_there_ends_the_run(served: Any, address: str) -> None:
    assert served.context == 512  # it is up
    engine = open_engine(parse(f"openai:{address}#other", "test"))
    with pytest.raises(StageError, match="404"):
        list(engine.generate([Request(Prompt(text="x"))]))
    engine.close()


def test_a_full_queue_is_waited_for(served: Any, address: str) -> None:
    """The server says 503 without Retry-After to what is beyond its queue; every request is answered all the same."""
    assert served.context == 512
    engine = open_engine(parse(f"openai:{address}?concurrency=128#tiny", "test"))
    requests = [
        Request(Prompt(text=f"{line} {n}"), Sampling(max_tokens=64, temperature=1.0, seed=n))
        for n, line in enumerate(LINES * 12)
    ]
    answers = in_order(engine.generate(requests))
    engine.close()
    assert all(isinstance(answer, Answer) for answer in answers)
    with urlopen(address.removesuffix("/v1") + "/metrics") as page:
        said = page.read().decode()
    rejected = re.search(r'vllm:admission_rejections_total\{[^}]*reason="max_num_queued_reqs"[^}]*\} (\S+)', said)
    assert rejected is not None and float(rejected[1]) > 0
