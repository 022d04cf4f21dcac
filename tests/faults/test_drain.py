"""A node that is about to go gets no new shards, and what is in work on it ends there: a cluster of three raylets.

The same in virtual time is in the normal suite (tests/cluster/test_balance.py).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.drained import SHARDS

LONG = pytest.mark.skipif("HEADRACE_FAULTS" not in os.environ, reason="the long form: make faults")
LATE_S = 3.0  # a look every 0.2 s, and the shard that was on its way


@LONG
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_draining_node_gets_no_new_shards(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.drained", str(tmp_path)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (step,) = found["result"]["steps"]
    assert (step["shards"], step["out"], found["failed"]) == (SHARDS, SHARDS, [])
    on_going = found["began"].get(found["going"], [])
    assert on_going, "the node had no work before it was drained"
    assert max(on_going) < found["at"] + LATE_S
    assert max(at for times in found["began"].values() for at in times) > found["at"] + LATE_S, (
        "the run ended too early"
    )
