"""A real OpenAI-compatible server on loopback: `transformers serve` with a tiny model."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.ports import free_port


class Serving(NamedTuple):
    """`url` of the API, and the server's process. It may still be starting: engines wait for it."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(model: Path, folder: Path) -> Iterator[Serving]:
    """The server of `model`, with its log and its empty hub in `folder`; killed at the end."""
    (folder / "hub").mkdir()  # GET /v1/models is a 500 without one
    port = free_port()
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", model, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log)
        try:
            yield Serving(f"http://127.0.0.1:{port}/v1", process)
        finally:
            process.kill()
            process.wait()
