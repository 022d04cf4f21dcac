"""The back end is imported without torch, transformers and llguidance: they are an extra, and slow to import."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = (
    "batches", "checkpoint", "continuous", "decoding", "grammars", "padded", "pooling", "scoring", "tokens",
    "transformers_engine",
)  # fmt: skip
PROGRAM = """
import sys
for name in ("torch", "transformers", "llguidance", "tokenizers"):
    sys.modules[name] = None
"""


def test_modules_are_imported_without_the_extra() -> None:
    imports = "".join(f"import stages.models.{name}\n" for name in MODULES)
    command = [sys.executable, "-c", PROGRAM + imports]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
