"""Engines on vLLM's CPU build; the tests here run in the environment of `make vllm` and skip in any other.

The folder is not called vllm: tests beside it would import it instead of the package.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

with warnings.catch_warnings(), suppress(ImportError):  # torch and vLLM warn of themselves and each other
    warnings.simplefilter("ignore")
    import vllm.v1.engine.async_llm  # noqa: F401

SMALL = "gpus=0&dtype=float32&enforce_eager=true&kv_cache_gb=0.25"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "filterwarnings", "ignore:Unclosed context:ResourceWarning"
    )  # vLLM's, when it has shut down


def opened(folder: Path, options: str = "") -> Any:
    from stages.models.spec import open_engine, parse

    return open_engine(parse(f"vllm:{folder}?{SMALL}{options}", "test"))


@pytest.fixture(scope="session")
def vllm_llama(llama: Path) -> Iterator[Any]:
    """The tiny Llama, 64 sequences at a time."""
    engine = opened(llama, "&max_num_seqs=64")
    yield engine
    engine.close()
