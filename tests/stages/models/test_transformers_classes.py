"""Other classes of causal models are answered and scored as they answer and score themselves; rows leave when done."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from stages.models.batches import Row
from stages.models.engine import Answer, Prompt, Request, Sampling
from stages.models.padded import Padded
from stages.models.scoring import token_logprobs
from stages.stage import StageError
from tests.stages.models import tiny

SIZE = {"vocab_size": tiny.VOCABULARY, "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 32}
CLASSES = {
    "Mistral": {**LLAMA, "num_key_value_heads": 1, "sliding_window": 8},  # its cache forgets
    "Gemma2": {**LLAMA, "num_key_value_heads": 1, "sliding_window": 8, "final_logit_softcapping": 5.0},
    "Qwen3": {**LLAMA, "num_key_value_heads": 2},
    "GPT2": {"n_embd": 64, "n_layer": 2, "n_head": 2},  # places are learned
    "Bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 2},  # has no places
}
PROMPTS = [(1, *range(40, 40 + n)) for n in (3, 17, 9, 1, 30)]
LIMITS = [20, 1, 12, 20, 5]


def model_of(name: str) -> Any:
    config = getattr(transformers, f"{name}Config")(**SIZE, **CLASSES[name])
    torch.manual_seed(3)
    return getattr(transformers, f"{name}ForCausalLM" if name not in ("GPT2",) else "GPT2LMHeadModel")(config).eval()


@pytest.mark.parametrize("name", CLASSES)
def test_greedy_answers_are_those_of_single_calls(name: str) -> None:
    model, words = model_of(name), tiny.tokenizer()
    rows = [Row(i, prompt, 20) for i, prompt in enumerate(PROMPTS)]
    found = Padded(model, words, "test").answers(rows, [Sampling(limit) for limit in LIMITS])
    for prompt, limit, answer in zip(PROMPTS, LIMITS, found, strict=True):
        ids = torch.tensor([prompt])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, pad_token_id=0
        )
        assert isinstance(answer, Answer)
        assert answer.text == words.decode(output[0, len(prompt) :], skip_special_tokens=True)


@pytest.mark.parametrize("name", CLASSES)
def test_scores_are_those_of_single_calls_with_the_models_own_scaling(name: str) -> None:
    model = model_of(name)
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in PROMPTS])
    mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in PROMPTS])
    with torch.inference_mode():
        for cells in (1 << 25, tiny.VOCABULARY * len(PROMPTS) * 6):
            found = token_logprobs(model, ids, mask, cells)
            for prompt, row in zip(PROMPTS, found, strict=True):
                logs = model(torch.tensor([prompt])).logits[0].log_softmax(1)
                wanted = [float(logs[at, token]) for at, token in enumerate(prompt[1:])]
                np.testing.assert_allclose(row[: len(wanted)], wanted, rtol=1e-4, atol=1e-4)


def test_rows_leave_the_batch_when_they_have_ended(llama: Path) -> None:
    model, words = transformers.AutoModelForCausalLM.from_pretrained(llama), tiny.tokenizer()
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _m, _a, given: seen.append(len(given["input_ids"])), with_kwargs=True)
    limits = [1, 1, 3, 5, 5, 5, 5, 9]
    rows = [Row(i, (1, 50 + i), 9) for i in range(8)]
    found = Padded(model, words, "test").answers(rows, [Sampling(limit) for limit in limits])
    assert [answer.usage.completion_tokens for answer in found if isinstance(answer, Answer)] == limits
    assert seen == [8, *[6] * 4, *[1] * 4]  # 6 of 8 are left after one step; then 5 of 6, too many for a copy


def test_a_model_with_a_state_is_refused() -> None:
    config = transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=4)
    with pytest.raises(StageError, match="MambaForCausalLM keeps a state instead of a cache"):
        Padded(transformers.MambaForCausalLM(config), tiny.tokenizer(), "test")


def test_requests_keep_their_numbers(llama: Path) -> None:
    from stages.models.spec import open_engine, parse

    engine = open_engine(parse(f"transformers:{llama}?batch_size=3", "test"))
    requests = [Request(Prompt(tokens=prompt), Sampling(limit)) for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
    found = dict(engine.generate(requests))
    assert [found[i].usage.prompt_tokens for i in range(5)] == [len(prompt) for prompt in PROMPTS]  # type: ignore[union-attr]
    assert [found[i].usage.completion_tokens for i in range(5)] == LIMITS  # type: ignore[union-attr]
