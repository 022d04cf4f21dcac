"""The tiny models are real: they load through the Auto* classes and are the same whenever they are made."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.stages.models import tiny


def test_a_causal_model_generates(llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    words = AutoTokenizer.from_pretrained(llama)
    assert 50_000 < sum(p.numel() for p in model.parameters()) < 300_000
    tokens = words("The mill", return_tensors="pt")["input_ids"]
    assert tokens[0, 0] == tiny.BOS and words.decode(tokens[0, 1:]) == "The mill"
    answer = model.generate(tokens, max_new_tokens=8, do_sample=False, pad_token_id=tiny.PAD)
    assert answer.shape == (1, tokens.shape[1] + 8)
    chat = words.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True)
    assert chat == "<|user|>\nx\n<|assistant|>\n"


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("llama", "LlamaForCausalLM"),
        ("llama_classifier", "LlamaForSequenceClassification"),
        ("bert_regression", "BertForSequenceClassification"),
        ("bert_labels", "BertForSequenceClassification"),
        ("bert_encoder", "BertModel"),
        ("qwen3_encoder", "Qwen3Model"),
        ("llama_headless", "LlamaModel"),
        ("bert_headless", "BertModel"),
    ],
)
def test_folders_say_what_they_are(request: pytest.FixtureRequest, name: str, architecture: str) -> None:
    assert AutoConfig.from_pretrained(request.getfixturevalue(name)).architectures == [architecture]


def test_heads_are_saved_or_missing(bert_regression: Path, bert_headless: Path) -> None:
    load = AutoModelForSequenceClassification.from_pretrained
    assert load(bert_regression, output_loading_info=True)[1]["missing_keys"] == set()
    assert load(bert_headless, output_loading_info=True)[1]["missing_keys"] == {"classifier.weight", "classifier.bias"}


def test_weights_follow_the_seed(tmp_path: Path, llama: Path) -> None:
    state = torch.random.get_rng_state()
    same, other = tiny.llama(tmp_path / "same"), tiny.llama(tmp_path / "other", seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (llama, same, other)]
    assert weights[0] == weights[1] != weights[2]
