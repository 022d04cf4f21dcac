"""Files of wordings that a stage draws from."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml


@lru_cache(maxsize=8)
def load_wordings(path: Path) -> dict[str, Any]:
    """The lists of the file, by name."""
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


@lru_cache(maxsize=8)
def wordings_hash(path: Path) -> str:
    """16 hex digits of the file: what is drawn from is part of what a stage is."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
