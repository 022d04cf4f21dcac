"""What tests share: the real data where it is there, one local Ray for the session, both runners."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 server's line for every request
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a local cluster for tests saves no token in the home folder

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real pages that are not part of the project; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared data is not here")
    return SHARED


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for the session, with logical CPUs and a GPU that the machine need not have."""
    import ray

    ray.init(
        address="local",
        num_cpus=8,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=400_000_000,
        _memory=32_000_000_000,
    )
    yield
    ray.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def runner_name(request: pytest.FixtureRequest) -> str:
    """Every test of the conformance suite runs on both runners."""
    if request.param == "ray":
        request.getfixturevalue("ray_session")
    return str(request.param)
