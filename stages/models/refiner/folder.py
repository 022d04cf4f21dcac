"""The folder that a trained refiner is: what transformers writes, and what headrace must know to use it.

Weights are stored in half precision and read as float32 (`dtype` in config.json), in which a CPU computes.
"""

import json
from pathlib import Path
from typing import Any

PROFILE = "headrace.json"
TRAINING = "training.json"
CHUNK_TOKENS, MAX_TOKENS, CONTEXT = 600, 1000, 1800


def profile(chunk_tokens: int = CHUNK_TOKENS) -> dict[str, Any]:
    """How the stage asks this model: `stages.refine.profile` reads it."""
    return {
        "grammar": "strict",
        "prompt_format": "plain",
        "chunk_tokens": chunk_tokens,
        "max_tokens": MAX_TOKENS,
        "context": CONTEXT,
        "dialect": "each line as a comment, # 012, then remove_lines(line_start=012, line_end=012) if it goes",
    }


def save(folder: Path, model: Any, tokenizer: Any, chunk_tokens: int = CHUNK_TOKENS) -> None:
    """Write the model into `folder`; the model itself stays as it is."""
    import torch  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.to(torch.float16) for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]  # the vectors of tokens once more
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | {"dtype": "float32"})
    generation = json.loads((folder / "generation_config.json").read_text())
    write_json(folder / "generation_config.json", generation | {"max_new_tokens": MAX_TOKENS})
    write_json(folder / PROFILE, profile(chunk_tokens))


def write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Any, Any]:
    """The model and its tokenizer, from the folder alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return model.eval(), tokenizer


def history(folder: Path) -> dict[str, Any]:
    """How a refiner came to be, without its figures; and the one that it went on from."""
    told: dict[str, Any] = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    return {name: told[name] for name in ("cpu_seconds", "data_sha256", "settings", "losses", "start") if name in told}
