"""How the hidden states of a text become one vector, by the files that sentence-transformers saves beside a model.

A folder without them: the last token of a model that reads left to right (Qwen3-Embedding), the mean of all tokens of
one that reads both ways, which is what sentence-transformers takes for a bare encoder.
"""

import json
from pathlib import Path
from typing import Any, Literal

from stages.stage import StageError

Pooling = Literal["mean", "cls", "max", "last"]
MODES: dict[str, Pooling] = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max", "lasttoken": "last"}
SHORT: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "last"}
KNOWN = ("Transformer", "Pooling", "Normalize")


def pooling_of(target: str | Path, model: Any) -> Pooling:
    """What `target`'s modules.json says; a module that is not carried out here ends the run."""
    modules = _read(target, "modules.json")
    if modules is None:
        causal = any(getattr(module, "is_causal", False) for module in model.modules())
        return "last" if causal else "mean"
    names = [str(module["type"]).rpartition(".")[2] for module in modules]
    if names[:2] != list(KNOWN[:2]) or not set(names) <= set(KNOWN):
        raise StageError(f"engine transformers:{target}: modules.json has {names}; embeddings here know {list(KNOWN)}")
    config = _read(target, f"{modules[1]['path']}/config.json")
    return _mode(config if config is not None else {}, target)


def pool(hidden: Any, mask: Any, pooling: Pooling) -> Any:
    """One vector of length 1 a row, in float32, of `hidden` (rows, positions, size) padded on the right."""
    import torch  # noqa: PLC0415 - an extra

    hidden, there = hidden.float(), mask.bool()[:, :, None]
    if pooling == "cls":
        vectors = hidden[:, 0]
    elif pooling == "last":
        vectors = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
    elif pooling == "max":
        vectors = hidden.masked_fill(~there, float("-inf")).amax(1)
    else:
        vectors = (hidden * there).sum(1) / mask.sum(1)[:, None]
    return torch.nn.functional.normalize(vectors, dim=1)


def _mode(config: dict[str, Any], target: str | Path) -> Pooling:
    found = [pooling for name, pooling in MODES.items() if config.get(f"pooling_mode_{name}")]
    others = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    if isinstance(config.get("pooling_mode"), str):
        found, others = [p for name, p in SHORT.items() if name == config["pooling_mode"]], ["pooling_mode"]
    if len(found) != 1 or len(others) != 1:
        raise StageError(f"engine transformers:{target}: pooling {config} is not one of {', '.join(SHORT)}")
    return found[0]


def _read(target: str | Path, name: str) -> Any:
    """A JSON file of a folder or of a hub's repository, None where it has none."""
    from transformers.utils import cached_file  # noqa: PLC0415 - an extra

    path = cached_file(
        str(target), name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
