"""Word rules do not bring torch into a worker, and do not keep it out for who needs it."""

import subprocess
import sys

import pytest

CODE = """
import sys
from stages.text.words import splitter
splitter("en")
assert "torch" not in sys.modules, "torch came with the word rules"
import torch
assert torch.tensor([1, 2]).sum() == 3
"""


def test_torch_is_not_imported_and_can_be() -> None:
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
