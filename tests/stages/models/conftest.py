"""Tiny real models, saved once a run."""

from pathlib import Path

import pytest

from tests.stages.models import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the models of this run are saved in."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def llama(models: Path) -> Path:
    return tiny.llama(models / "llama")


@pytest.fixture(scope="session")
def llama_classifier(models: Path) -> Path:
    return tiny.llama_classifier(models / "llama-classifier")


@pytest.fixture(scope="session")
def bert_regression(models: Path) -> Path:
    return tiny.bert_regression(models / "bert-regression")


@pytest.fixture(scope="session")
def bert_labels(models: Path) -> Path:
    return tiny.bert_labels(models / "bert-labels")


@pytest.fixture(scope="session")
def bert_encoder(models: Path) -> Path:
    return tiny.bert_encoder(models / "bert-encoder")


@pytest.fixture(scope="session")
def qwen3_encoder(models: Path) -> Path:
    return tiny.qwen3_encoder(models / "qwen3-encoder")


@pytest.fixture(scope="session")
def llama_headless(models: Path) -> Path:
    return tiny.llama_headless(models / "llama-headless")


@pytest.fixture(scope="session")
def bert_headless(models: Path) -> Path:
    return tiny.bert_headless(models / "bert-headless")
