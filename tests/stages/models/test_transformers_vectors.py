"""Scores, embeddings and classes equal what the model gives when it is called by hand, one prompt at a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from stages.models.engine import Failure, Prompt, Scored, Vector
from stages.models.scoring import token_logprobs
from stages.models.spec import open_engine, parse
from stages.stage import StageError
from tests.stages.models import tiny

TEXTS = ["The old mill", "Share this page. " * 20, "a", "Mrs. Hale was 47 years old.", "wheel " * 50]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # batched float32 is equal to 5e-7 of what one row gives


def open_at(folder: Path, options: str = "batch_tokens=400") -> Any:
    return open_engine(parse(f"transformers:{folder}?{options}", "test"))


def values(found: Any) -> list[np.ndarray]:
    by_number = dict(found)
    assert sorted(by_number) == list(range(len(by_number)))
    return [by_number[i].values for i in range(len(by_number))]


def by_hand(folder: Path, auto: Any) -> list[tuple[Any, torch.Tensor]]:
    """(output, ids) of every text, alone."""
    model, words = auto.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        ids = [words(text, return_tensors="pt")["input_ids"] for text in TEXTS]
        return [(model(input_ids=i, attention_mask=torch.ones_like(i)), i) for i in ids]


def test_scores_are_log_probabilities_of_the_tokens_that_are_there(llama: Path) -> None:
    found = dict(open_at(llama).score([Prompt(text=text) for text in TEXTS]))
    for i, (output, ids) in enumerate(by_hand(llama, AutoModelForCausalLM)):
        logs = torch.log_softmax(output.logits[0].double(), dim=1)
        wanted = [float(logs[at, ids[0, at + 1]]) for at in range(ids.shape[1] - 1)]
        assert isinstance(found[i], Scored)
        np.testing.assert_allclose(found[i].logprobs, wanted, **CLOSE)
        assert found[i].usage.prompt_tokens == ids.shape[1] and found[i].logprobs.dtype == np.float32


def test_scores_do_not_need_all_logits_at_once(llama: Path) -> None:
    model, words = AutoModelForCausalLM.from_pretrained(llama), AutoTokenizer.from_pretrained(llama)
    rows = words(TEXTS[:4], padding=True, padding_side="right", return_tensors="pt")
    ids, mask = rows["input_ids"], rows["attention_mask"]
    seen: list[int] = []
    model.register_forward_hook(lambda _m, _i, output: seen.append(output.logits.numel()))
    with torch.inference_mode():
        whole = token_logprobs(model, ids, mask)
        sliced = token_logprobs(model, ids, mask, cells=4 * 512 * 7)
    assert max(seen[1:]) <= 4 * 512 * 7 < seen[0]
    for row, other, length in zip(whole, sliced, mask.sum(1).tolist(), strict=True):
        np.testing.assert_allclose(other[: length - 1], row[: length - 1], **CLOSE)


def test_one_token_has_no_score(llama: Path) -> None:
    [(_, scored)] = open_at(llama).score([Prompt(tokens=(5,))])
    assert isinstance(scored, Scored) and scored.logprobs.shape == (0,)


def test_classes_are_the_models_logits(bert_regression: Path, bert_labels: Path, llama_classifier: Path) -> None:
    for folder, labels in (
        (bert_regression, ("LABEL_0",)),
        (bert_labels, ("safe", "toxic")),
        (llama_classifier, ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")),
    ):
        engine = open_at(folder)
        assert engine.labels == labels
        found = values(engine.classify([Prompt(text=text) for text in TEXTS]))
        for mine, (output, _) in zip(found, by_hand(folder, AutoModelForSequenceClassification), strict=True):
            np.testing.assert_allclose(mine, output.logits[0].numpy(), **CLOSE)


def test_a_decoder_without_padding_token_classifies_row_by_row(tmp_path: Path, llama_classifier: Path) -> None:
    folder = tiny.llama_classifier(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    tiny.tokenizer(chat=False, pad=False).save_pretrained(folder)
    found = values(open_at(folder).classify([Prompt(text=text) for text in TEXTS]))
    wanted = values(open_at(llama_classifier).classify([Prompt(text=text) for text in TEXTS]))
    np.testing.assert_allclose(found, wanted, **CLOSE)


@pytest.mark.parametrize("mode", ["mean", "cls", "lasttoken", "max", None])
def test_embeddings_are_pooled_as_the_folder_says(tmp_path: Path, mode: str | None) -> None:
    folder = tiny.bert_encoder(tmp_path, pooling=mode)
    found = values(open_at(folder).embed([Prompt(text=text) for text in TEXTS]))
    for mine, (output, _) in zip(found, by_hand(folder, AutoModel), strict=True):
        hidden = output.last_hidden_state[0].numpy()
        vector = {"cls": hidden[0], "lasttoken": hidden[-1], "max": hidden.max(0)}.get(str(mode), hidden.mean(0))
        np.testing.assert_allclose(mine, vector / np.linalg.norm(vector), **CLOSE)
        assert np.linalg.norm(mine) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pooling", ["lasttoken", None])
def test_a_causal_encoder_takes_its_last_token(tmp_path: Path, pooling: str | None) -> None:
    folder = tiny.qwen3_encoder(tmp_path, pooling)
    found = values(open_at(folder).embed([Prompt(text=text) for text in TEXTS]))
    for mine, (output, _) in zip(found, by_hand(folder, AutoModel), strict=True):
        vector = output.last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(mine, vector / np.linalg.norm(vector), **CLOSE)


def test_a_causal_model_embeds_by_what_is_under_its_head(llama: Path) -> None:
    engine = open_at(llama)
    found = values(engine.embed([Prompt(text=text) for text in TEXTS]))
    assert list(engine._models) == ["causal"]
    model, words = AutoModelForCausalLM.from_pretrained(llama), AutoTokenizer.from_pretrained(llama)
    with torch.inference_mode():
        output = model(**words(TEXTS[0], return_tensors="pt"), output_hidden_states=True)
    vector = output.hidden_states[-1][0, -1].numpy()
    np.testing.assert_allclose(found[0], vector / np.linalg.norm(vector), **CLOSE)


@pytest.mark.parametrize(
    ("name", "config", "error"),
    [
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "is not one of"),
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}, "is not one of"),
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "is not one of"),
        (
            "modules.json",
            [{"type": f"sentence_transformers.models.{n}", "path": n} for n in ("Transformer", "Pooling", "Dense")],
            "embeddings here know",
        ),
    ],
)
def test_pooling_that_is_not_carried_out_is_refused(tmp_path: Path, name: str, config: Any, error: str) -> None:
    folder = tiny.bert_encoder(tmp_path)
    (folder / name).write_text(json.dumps(config))
    with pytest.raises(StageError, match=error):
        list(open_at(folder).embed([Prompt(text="a")]))


def test_pooling_is_read_in_its_short_form(tmp_path: Path) -> None:
    folder = tiny.bert_encoder(tmp_path, pooling="mean")
    before = values(open_at(folder).embed([Prompt(text="The mill")]))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean", "include_prompt": True}))
    np.testing.assert_array_equal(values(open_at(folder).embed([Prompt(text="The mill")])), before)


@pytest.mark.parametrize("name", ["bert_headless", "llama_headless", "llama", "bert_encoder"])
def test_a_classifier_without_a_head_ends_the_run(request: pytest.FixtureRequest, name: str) -> None:
    engine = open_at(request.getfixturevalue(name))
    with pytest.raises(StageError, match=r"has no weights for (classifier\.bias, classifier\.weight|score\.weight),"):
        list(engine.classify([Prompt(text="a")]))


def test_texts_longer_than_the_context_fail_alone(bert_regression: Path, llama: Path) -> None:
    long, short = Prompt(tokens=(5,) * 513), Prompt(tokens=(5,) * 512)
    for verb in (open_at(bert_regression).classify, open_at(bert_regression).embed, open_at(llama).score):
        found = dict(verb([long, short]))
        assert found[0] == Failure("a prompt of 513 tokens is longer than the context of 512")
        assert isinstance(found[1], Vector | Scored)


def test_robertas_positions_begin_after_padding(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=tiny.VOCABULARY, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=66, pad_token_id=1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path)
    tiny.bert_tokenizer().save_pretrained(tmp_path)
    engine = open_at(tmp_path)
    assert engine.context == 64
    assert isinstance(dict(engine.embed([Prompt(tokens=(5,) * 64)]))[0], Vector)


def test_a_tokenizers_limit_counts_for_encoders(tmp_path: Path) -> None:
    folder = tiny.bert_encoder(tmp_path)
    words = tiny.bert_tokenizer()
    words.model_max_length = 100
    words.save_pretrained(folder)
    assert open_at(folder).context == 100
