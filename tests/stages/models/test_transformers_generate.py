"""The back end `transformers:` answers as the model's own `generate` does, prompt by prompt, whatever the batch."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.models.engine import Answer, Failure, Grammar, Prompt, Request, Sampling
from stages.models.spec import open_engine, parse
from stages.stage import StageError
from tests.stages.models import tiny

TEXTS = [
    "The old mill",
    "Share",
    "remove_lines(",
    "Mrs. Hale was 47 years old and sold the house. " * 4,
    "a",
    "wheel " * 9,
]
PROX = """root ::= "keep_all()" | op ("\\n" op){0,2}
op ::= "remove_lines(line_start=" num ", line_end=" num ")"
num ::= [0-9]{1,3}"""
PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 150}, "tags": {"enum": ["x", "y z"]}},
    "required": ["age", "tags"],
    "additionalProperties": False,
}


def engine_of(folder: Path, **options: Any) -> Any:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return open_engine(parse(f"transformers:{folder}?{query}" if query else f"transformers:{folder}", "test"))


def ask(engine: Any, prompts: list[Prompt], sampling: Sampling | list[Sampling]) -> list[Answer | Failure]:
    each = sampling if isinstance(sampling, list) else [sampling] * len(prompts)
    found = dict(engine.generate([Request(p, s) for p, s in zip(prompts, each, strict=True)]))
    assert sorted(found) == list(range(len(prompts)))
    return [found[i] for i in range(len(prompts))]


def texts_of(answers: list[Answer | Failure]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else f"FAILED {answer.error}" for answer in answers]


def alone(folder: Path, texts: list[str], n: int) -> list[str]:
    """What transformers itself answers to one prompt after another, without padding."""
    model, words = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    answers = []
    for text in texts:
        ids = words(text, return_tensors="pt")
        output = model.generate(**ids, max_new_tokens=n, do_sample=False, pad_token_id=0)
        answers.append(words.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    return answers


@pytest.fixture(scope="module")
def engine(llama: Path) -> Any:
    return engine_of(llama)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return [Prompt(text=text) for text in TEXTS]


def test_greedy_answers_are_those_of_single_calls(llama: Path, engine: Any, prompts: list[Prompt]) -> None:
    answers = ask(engine, prompts, Sampling(max_tokens=24))
    assert texts_of(answers) == alone(llama, TEXTS, 24)
    assert len(set(texts_of(answers))) == len(TEXTS)
    words = AutoTokenizer.from_pretrained(llama)
    usages = [answer.usage for answer in answers if isinstance(answer, Answer)]
    assert [u.prompt_tokens for u in usages] == [len(words(text)["input_ids"]) for text in TEXTS]
    assert {u.completion_tokens for u in usages} == {24} and all(0 < u.seconds < 60 for u in usages)
    assert {answer.finish for answer in answers if isinstance(answer, Answer)} == {"length"}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_batch(llama: Path, prompts: list[Prompt], temperature: float) -> None:
    samplings = [Sampling(16, temperature, top_p=0.9 if i % 2 else 1.0, seed=i) for i in range(len(prompts))]
    together = ask(engine_of(llama, batch_size=7), prompts, samplings)
    single = ask(engine_of(llama, batch_size=1), prompts, samplings)
    reverse = ask(engine_of(llama, batch_tokens=300), prompts[::-1], samplings[::-1])[::-1]
    assert texts_of(together) == texts_of(single) == texts_of(reverse)


def test_a_seed_draws_and_no_seed_draws_the_same_again(engine: Any) -> None:
    prompts = [Prompt(text="The mill")] * 4
    seeds = [Sampling(12, 1.0, seed=seed) for seed in (1, 2, 2**70 + 1)]
    first, second, large = texts_of(ask(engine, prompts[:3], seeds))
    assert first != second and first == large  # of a seed 64 bits count
    unseeded = texts_of(ask(engine, prompts, Sampling(12, 1.0)))
    assert len(set(unseeded)) == 1 and unseeded != texts_of(ask(engine, prompts, Sampling(12)))
    assert unseeded == texts_of(ask(engine, prompts, Sampling(12, 1.0)))


def test_rows_of_any_sampling_share_a_batch(engine: Any, prompts: list[Prompt]) -> None:
    grammar = Grammar("regex", "[0-9]{3}-[a-f]{2}")
    mixed = [
        Sampling(20), Sampling(9), Sampling(20, 0.7, seed=3), Sampling(20, grammar=grammar), Sampling(17, stop=("e",)),
        Sampling(20, 1.2, 0.5, seed=4, grammar=grammar),
    ]  # fmt: skip
    together = ask(engine, prompts, mixed)
    assert texts_of(together) == [texts_of(ask(engine, [p], s))[0] for p, s in zip(prompts, mixed, strict=True)]
    assert isinstance(together[1], Answer) and together[1].usage.completion_tokens == 9
    assert all(re.fullmatch(grammar.text, texts_of(together)[i]) for i in (3, 5))


def test_stop_strings_cut_an_answer_and_end_its_row(engine: Any, prompts: list[Prompt]) -> None:
    free = ask(engine, prompts, Sampling(max_tokens=24))
    stops = [text[len(text) // 2 :][:3] for text in texts_of(free)]
    stopped = ask(engine, prompts, [Sampling(24, stop=("never seen", stop)) for stop in stops])
    for long, short, stop in zip(free, stopped, stops, strict=True):
        assert isinstance(long, Answer) and isinstance(short, Answer)
        assert short.text == long.text.partition(stop)[0] and short.finish == "stop"
        assert short.usage.completion_tokens < 24


def test_an_end_token_ends_an_answer(tmp_path: Path, llama: Path) -> None:
    words = AutoTokenizer.from_pretrained(llama)
    [free] = ask(engine_of(llama), [Prompt(text="The mill")], Sampling(12))
    assert isinstance(free, Answer)
    model = AutoModelForCausalLM.from_pretrained(llama)
    ids = model.generate(**words("The mill", return_tensors="pt"), max_new_tokens=12, do_sample=False, pad_token_id=0)
    end = ids[0, -6].item()
    [ended] = ask(engine_of(tiny.llama(tmp_path, eos_token_id=[2, end])), [Prompt(text="The mill")], Sampling(12))
    assert isinstance(ended, Answer) and ended.finish == "stop"
    first = ids[0, -12:].tolist().index(end)
    assert ended.usage.completion_tokens == first + 1 and free.text.startswith(ended.text)


def test_settings_that_came_with_the_model_do_not_count(tmp_path: Path, llama: Path, prompts: list[Prompt]) -> None:
    folder = tiny.llama(tmp_path, pad=False)
    settings = {"do_sample": True, "top_k": 2, "temperature": 3.0, "repetition_penalty": 9.0, "eos_token_id": [2]}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert texts_of(ask(engine_of(folder), prompts, Sampling(8))) == alone(llama, TEXTS, 8)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize(
    ("grammar", "wanted"),
    [
        (Grammar("ebnf", PROX), r"keep_all\(\)|(remove_lines\(line_start=\d{1,3}, line_end=\d{1,3}\)(\n(?=r)|$)){1,3}"),
        (Grammar("regex", "(yes|no), [a-z]{2,5} \\d{1,2}"), r"(yes|no), [a-z]{2,5} \d{1,2}"),
        (Grammar("json", json.dumps(PERSON)), r'\{"age":\d{1,3},"tags":"(x|y z)"\}'),
    ],
    ids=lambda value: value.kind if isinstance(value, Grammar) else "",
)
def test_answers_follow_their_grammar(
    engine: Any, prompts: list[Prompt], grammar: Grammar, wanted: str, temperature: float
) -> None:
    samplings = [Sampling(120, temperature, seed=i, grammar=grammar) for i in range(len(prompts))]
    answers = ask(engine, prompts, samplings)
    assert [text for text in texts_of(answers) if not re.fullmatch(wanted, text)] == []
    assert {answer.finish for answer in answers if isinstance(answer, Answer)} == {"stop"}
    if grammar.kind == "json":
        assert all(0 <= json.loads(text)["age"] <= 150 for text in texts_of(answers))


@pytest.mark.parametrize(
    ("grammar", "error"),
    [
        (Grammar("regex", "([a"), "regex grammar: .*invalid regex"),
        (Grammar("json", "{"), "json grammar: the schema is no JSON"),
        (Grammar("json", '{"type": "nothing"}'), "json grammar: "),
        (Grammar("ebnf", "root ::= absent"), "ebnf grammar: Rule 'absent' not found"),
    ],
)
def test_a_grammar_that_is_none_fails_its_own_request(engine: Any, grammar: Grammar, error: str) -> None:
    prompts = [Prompt(text="The mill")] * 2
    good, bad = ask(engine, prompts, [Sampling(4), Sampling(4, grammar=grammar)])
    assert isinstance(good, Answer) and isinstance(bad, Failure) and re.match(error, bad.error)


def test_a_grammar_cut_by_max_tokens_says_length(engine: Any) -> None:
    [answer] = ask(engine, [Prompt(text="x")], Sampling(5, grammar=Grammar("regex", "[a-z]{40}")))
    assert isinstance(answer, Answer) and answer.finish == "length" and re.fullmatch("[a-z]+", answer.text)


def test_a_chat_takes_the_models_template(engine: Any, tmp_path: Path) -> None:
    chat = Prompt(chat=(("system", "be brief"), ("user", "hello")))
    plain = Prompt(text="<|system|>\nbe brief\n<|user|>\nhello\n<|assistant|>\n")
    tokens = tuple(engine.tokenize([plain.text], special=False)[0])
    by_chat, by_tokens = ask(engine, [chat, Prompt(tokens=tokens)], Sampling(6))
    assert by_chat == by_tokens and isinstance(by_chat, Answer)
    without = engine_of(tiny.llama(tmp_path, chat=False))
    with pytest.raises(StageError, match="no chat template"):
        ask(without, [chat], Sampling(6))


def test_what_cannot_be_asked_fails_alone(engine: Any) -> None:
    fits, long = (1,) * 502, (1,) * 503
    prompts = [Prompt(tokens=t) for t in (fits, long, (512,), (-1, 3), ())] + [Prompt(text="\ud800"), Prompt(text="a")]
    answers = ask(engine, prompts, Sampling(max_tokens=10))
    assert [type(answer) for answer in answers] == [Answer, *[Failure] * 5, Answer]
    errors = [answer.error for answer in answers if isinstance(answer, Failure)]
    assert errors[:2] == [
        "a prompt of 503 tokens and an answer of 10 is longer than the context of 512",
        "token 512 is not among the model's 512",
    ]
    assert errors[3] == "the prompt has no tokens" and errors[4].startswith("the prompt does not become tokens")
    assert ask(engine, [], Sampling()) == []


def test_tokenize_is_the_models_own(engine: Any, llama: Path) -> None:
    words = AutoTokenizer.from_pretrained(llama)
    assert engine.tokenize(["The mill", ""]) == words(["The mill", ""], add_special_tokens=False)["input_ids"]
    assert engine.tokenize(["The mill"], special=True) == words(["The mill"])["input_ids"]
    assert engine.tokenize([]) == [] and engine.context == 512 and engine.labels == ()


def test_threads_share_an_engine(engine: Any, prompts: list[Prompt]) -> None:
    once = texts_of(ask(engine, prompts, Sampling(8)))
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda _: ask(engine, prompts, Sampling(8)), range(8)):
            assert texts_of(answers) == once


def test_bfloat16_runs_on_a_cpu(llama: Path, prompts: list[Prompt]) -> None:
    answers = ask(engine_of(llama, dtype="bfloat16"), prompts, Sampling(8))
    assert all(isinstance(answer, Answer) and answer.usage.completion_tokens == 8 for answer in answers)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dtype": "bfloat"}, "dtype='bfloat' is none of auto, .*did you mean 'bfloat16'"),
        ({"device": "gpu"}, "device='gpu' is none"),
        ({"device": "cuda"}, "torch sees no CUDA device"),
        ({"gpus": "0.5"}, "gpus=0.5 but torch .* say device=cpu"),
        ({"continuous": "true"}, "continuous=true needs CUDA, and the device is cpu"),
        ({"tokenizer": "/nowhere"}, "no tokenizer in /nowhere"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without CUDA lacks")
def test_settings_that_cannot_work_end_the_run(llama: Path, options: dict[str, str], error: str) -> None:
    with pytest.raises(StageError, match=error):
        engine_of(llama, **options)


def test_a_model_that_is_not_there_or_has_no_head_ends_the_run(tmp_path: Path, llama_headless: Path) -> None:
    with pytest.raises(StageError, match="no model there"):
        engine_of(tmp_path)
    with pytest.raises(StageError, match=r"no weights for lm_head.weight, which LlamaForCausalLM needs"):
        ask(engine_of(llama_headless), [Prompt(text="a")], Sampling(2))


def test_lora_needs_its_package(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.models.checkpoint.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="lora=/adapter needs peft: pip install peft"):
        engine_of(llama, lora="/adapter")


def test_an_answer_has_a_token(engine: Any) -> None:
    with pytest.raises(StageError, match="max_tokens=0: an answer has at least one token"):
        ask(engine, [Prompt(text="a")], Sampling(0))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "StageError: .*the model does not fit on cpu: CUDA out of"),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ"),
    ],
    ids=["memory", "other"],
)
def test_a_model_that_does_not_fit_ends_the_run(
    llama: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: str
) -> None:
    def to(*_: Any) -> None:
        raise error

    monkeypatch.setattr("transformers.LlamaForCausalLM.to", to)
    with pytest.raises(RuntimeError) as caught:
        engine_of(llama)
    assert re.match(wanted, f"{type(caught.value).__name__}: {caught.value}")


def test_closing_lets_go_of_the_model(llama: Path) -> None:
    engine = engine_of(llama)
    ask(engine, [Prompt(text="a")], Sampling(2))
    engine.close()
    assert engine._models == {} and engine._padded is None
