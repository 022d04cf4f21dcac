"""The `openai:` engine against a real server: `transformers serve` with a tiny Llama, also run in process."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling
from stages.models.openai_engine import OpenAIEngine
from stages.models.openai_pace import Backoff
from stages.models.spec import parse
from stages.stage import StageError
from tests.stages.models.serving import serving

pytestmark = pytest.mark.slow

TEXTS = ("The old mill stands", "Share this page.", "[0] Home | About", "Die Mühle", "remove_lines(")
CHAT = (("system", "Answer."), ("user", "Who sold the house?"))


@pytest.fixture(scope="module")
def served(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """(engine setting, process). Nothing waits for it here: the engine does."""
    folder = tmp_path_factory.mktemp("serve")
    with serving(llama, folder) as (url, process):
        yield f"openai:{url}?patience=120&tokenizer={llama}#{llama}", process


@pytest.fixture(scope="module")
def engine(served: tuple[str, Any]) -> Iterator[OpenAIEngine]:
    engine = OpenAIEngine(parse(served[0], "test"), Backoff(0.2, 0.5))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def expected(llama: Path) -> dict[str, tuple[str, int, int]]:
    """(text, prompt tokens, new tokens) by greedy `generate`, one prompt at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    messages = [{"role": role, "content": content} for role, content in CHAT]
    chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    found = {}
    for name, ids in [("chat", chat), *((text, tokenizer(text)["input_ids"]) for text in TEXTS)]:
        with torch.inference_mode():
            out = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0][len(ids) :]
        found[name] = (tokenizer.decode(out, skip_special_tokens=True), len(ids), len(out))
    return found


SHORT = Sampling(max_tokens=12)


def test_greedy_answers_are_those_of_the_model_in_process(engine: OpenAIEngine, expected: dict[str, Any]) -> None:
    assert engine.context is None  # it waited for the server, which does not tell
    requests = [Request(Prompt(text=text), SHORT) for text in TEXTS] + [Request(Prompt(chat=CHAT), SHORT)]
    results = dict(engine.generate(requests))
    for number, name in enumerate((*TEXTS, "chat")):
        answer = results[number]
        assert isinstance(answer, Answer)
        assert (answer.text, answer.usage.prompt_tokens, answer.usage.completion_tokens) == expected[name]
        assert answer.finish == ("length" if expected[name][2] == 12 else "stop")
        assert answer.usage.seconds > 0


def test_many_at_a_time(engine: OpenAIEngine, expected: dict[str, Any]) -> None:
    requests = [Request(Prompt(text=TEXTS[number % 5]), SHORT) for number in range(60)]
    results = dict(engine.generate(requests))
    assert [results[n].text for n in range(60)] == [expected[TEXTS[n % 5]][0] for n in range(60)]  # type: ignore[union-attr]


def test_what_the_server_does_not_take(engine: OpenAIEngine, served: tuple[str, Any]) -> None:
    (result,) = dict(engine.generate([Request(Prompt(tokens=(5, 6)), SHORT)])).values()
    assert isinstance(result, Failure) and "prompt must be a string" in result.error
    grammar = Sampling(max_tokens=4, grammar=Grammar("regex", "a"))
    with pytest.raises(StageError, match="422: Unexpected fields in the request"):
        list(engine.generate([Request(Prompt(text="a"), grammar)]))
    with pytest.raises(StageError, match="gives no log-probabilities of a prompt"):
        list(engine.score([Prompt(text="a b")]))
    other = OpenAIEngine(parse(served[0].partition("#")[0] + "#another", "test"))
    with pytest.raises(StageError, match="Server is pinned to"):
        list(other.generate([Request(Prompt(text="a"), SHORT)]))
    other.close()


def test_a_server_that_is_killed_ends_the_stage(served: tuple[str, subprocess.Popen[bytes]]) -> None:
    """The last test of this server. Answers that came before are handed over; no row is buried."""
    setting, process = served
    engine = OpenAIEngine(parse(setting.replace("patience=120", "patience=0.5&tries=2"), "test"), Backoff(0.05, 0.1))
    got: list[Answer | Failure] = []
    with pytest.raises(StageError, match="no answer for"):
        for _, result in engine.generate([Request(Prompt(text=f"{TEXTS[0]} {n}"), SHORT) for n in range(500)]):
            if not got:
                process.send_signal(signal.SIGKILL)
            got.append(result)
    assert all(isinstance(result, Answer) for result in got) and 1 <= len(got) < 500
    engine.close()
