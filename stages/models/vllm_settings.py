"""What vLLM is told: an engine's options, how an answer is drawn, and the adapter, by vLLM's own names."""

import json
from pathlib import Path
from typing import Any

from stages.models.engine import Sampling
from stages.models.spec import Spec
from stages.stage import StageError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # of LoRA, that vLLM has kernels for
FIELDS = {"regex": "regex", "json": "json", "ebnf": "grammar"}  # of StructuredOutputsParams


def arguments(spec: Spec) -> dict[str, Any]:
    """The options by vLLM's names; what is not set is vLLM's own choice."""
    o = spec.options
    settings: dict[str, Any] = {
        "model": str(spec.folder or spec.target),
        "runner": o["runner"],
        "dtype": o["dtype"],
        "gpu_memory_utilization": o["gpu_memory_utilization"],
        "tensor_parallel_size": o["tensor_parallel_size"],
        "kv_cache_dtype": o["kv_cache_dtype"],
        "enforce_eager": o["enforce_eager"],
        "enable_prefix_caching": None if o["prefix_caching"] else False,  # an encoder that is told to have it dies
        # of a request, vLLM takes `disable_any_whitespace` and forgets it; where JSON allows it, weak models write
        # white space for ever
        "structured_outputs_config": {"backend": o["structured"], "disable_any_whitespace": True},
        "seed": 0,
        "disable_log_stats": True,
        "enable_log_requests": False,
    }
    for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "quantization", "tokenizer"):
        if o[name]:
            settings[name] = o[name]
    if o["kv_cache_gb"]:
        settings["kv_cache_memory_bytes"] = int(o["kv_cache_gb"] * (1 << 30))
    if o["lora"]:
        settings |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank(Path(o["lora"]))}
    return settings


def parameters(sampling: Sampling) -> Any:
    """How an answer is drawn, in vLLM's words."""
    from vllm import SamplingParams  # noqa: PLC0415 - an environment of its own
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams  # noqa: PLC0415

    grammar = sampling.grammar
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.temperature > 0 else 1.0,
        stop=list(sampling.stop),
        seed=sampling.seed,
        structured_outputs=StructuredOutputsParams(**{FIELDS[grammar.kind]: grammar.text}) if grammar else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def adapter(folder: str, who: str) -> Any:
    """The adapter that every request asks for, if there is one."""
    if not folder:
        return None
    from vllm.lora.request import LoRARequest  # noqa: PLC0415 - an environment of its own

    if not (Path(folder) / "adapter_config.json").is_file():
        raise StageError(f"{who}: lora={folder} has no adapter_config.json; it should be a folder of an adapter")
    return LoRARequest("adapter", 1, str(Path(folder).absolute()))


def rank(folder: Path) -> int:
    """The least rank that vLLM has and the adapter fits in."""
    wanted = int(json.loads((folder / "adapter_config.json").read_text())["r"])
    fitting = [known for known in RANKS if known >= wanted]
    if not fitting:
        raise ValueError(f"the adapter {folder} has rank {wanted}; vLLM takes up to {RANKS[-1]}")
    return fitting[0]
