"""Classifiers and embedders on vLLM give what transformers computes from the same folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.models.engine import Failure, Prompt, Request, Vector
from stages.stage import StageError

pytest.importorskip("vllm.version", reason="vLLM has an environment of its own: make test-vllm")
pytestmark = pytest.mark.timeout(900)

from tests.stages.models.on_vllm import reference  # noqa: E402
from tests.stages.models.on_vllm.conftest import opened  # noqa: E402
from tests.stages.models.on_vllm.test_vllm_generate import in_order  # noqa: E402

TEXTS = ["The old mill", "Share this page. Sign up for our newsletter!", "Die Mühle steht am Fluss. " * 9]
TOO_LONG = Prompt(tokens=(5,) * 513)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("llama_classifier", ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")),
        ("bert_regression", ("LABEL_0",)),
        ("bert_labels", ("safe", "toxic")),
    ],
)
def test_logits(request: pytest.FixtureRequest, name: str, labels: tuple[str, ...]) -> None:
    folder: Path = request.getfixturevalue(name)
    engine = opened(folder)
    try:
        assert (engine.labels, engine.context) == (labels, 512)
        *found, failed = in_order(engine.classify([*(Prompt(text=text) for text in TEXTS), TOO_LONG]))
        for text, vector in zip(TEXTS, found, strict=True):
            tokens = reference.tokens_of(folder, text)
            assert isinstance(vector, Vector) and vector.usage.prompt_tokens == len(tokens)
            np.testing.assert_allclose(vector.values, reference.logits(folder, tokens), atol=2e-4)
        assert isinstance(failed, Failure) and "513 tokens" in failed.error
        with pytest.raises(StageError, match="generate needs"):
            list(engine.generate([Request(Prompt(text="x"))]))
    finally:
        engine.close()


def test_embeddings(qwen3_encoder: Path) -> None:
    engine: Any = opened(qwen3_encoder)
    try:
        assert engine.labels == ()
        *found, failed = in_order(engine.embed([*(Prompt(text=text) for text in TEXTS), TOO_LONG]))
        for text, vector in zip(TEXTS, found, strict=True):
            expected = reference.last_token(qwen3_encoder, reference.tokens_of(qwen3_encoder, text))
            assert abs(float(np.linalg.norm(vector.values)) - 1) < 1e-5
            np.testing.assert_allclose(vector.values, expected, atol=2e-4)
        assert isinstance(failed, Failure)
    finally:
        engine.close()


def test_a_head_that_is_not_there_is_not_made_up(bert_headless: Path) -> None:
    engine = opened(bert_headless)
    try:
        with pytest.raises(StageError, match="classify needs"):
            list(engine.classify([Prompt(text="x")]))
    finally:
        engine.close()
