"""Tiny models of the raters' classes, saved once a run."""

from pathlib import Path

import pytest

from tests.stages.models import tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A regression head, a classifier of four, one with names, encoders and a language model."""
    root = tmp_path_factory.mktemp("raters")
    return {
        "regression": tiny.bert_regression(root / "regression"),
        "four": tiny.llama_classifier(root / "four"),
        "names": tiny.bert_labels(root / "names", ("neutral", "toxic", "threat")),
        "encoder": tiny.bert_encoder(root / "encoder"),
        "causal": tiny.llama(root / "causal"),
        "headless": tiny.bert_headless(root / "headless"),
    }
