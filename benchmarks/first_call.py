"""What the first call of a stage costs in a process of its own: its kernels compiled there, or found compiled."""

import os
import subprocess
import sys
from pathlib import Path


def first_call(code: str, cache: str) -> float:
    """CPU seconds that `code` prints in a new process whose compiled kernels are in the folder `cache`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, text=True).stdout)
