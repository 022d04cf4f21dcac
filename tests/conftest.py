"""What tests share: how properties are tested, the real data where it is there, a Ray for the session, both runners."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 server's line for every request
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a local cluster for tests saves no token in the home folder

# No limit on time: it would be of the machine's clock, that stands still now and then. The same examples each time, so
# that nobody's change is refused for what another draw would have found; HEADRACE_HYPOTHESIS=random draws others.
with contextlib.suppress(ImportError):  # vLLM's environment has no Hypothesis, and its tests need none
    from hypothesis import HealthCheck, settings

    settings.register_profile("random", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("headrace", settings.get_profile("random"), derandomize=True)
    settings.load_profile(os.environ.get("HEADRACE_HYPOTHESIS", "headrace"))

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

    from cluster.driver.start import start_local

    start_local(num_cpus=8, num_gpus=2, object_store_memory=400_000_000, _memory=32_000_000_000)
    yield
    ray.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def runner_name(request: pytest.FixtureRequest) -> str:
    """Every test of the conformance suite runs on both runners."""
    if request.param == "ray":
        request.getfixturevalue("ray_session")
    return str(request.param)
